//! The words of a command line: checked against the options that a program has, and brought into
//! the one form and order that argh understands.
//!
//! argh takes `--port 80` and `-p 80`, an option only before its verb, and any word as a value.
//! [`Grammar::read`] takes `--port=80` and `-p80` as well, in any place; and it refuses a value
//! that was forgotten, which argh would not notice: in `get f -o --json` the file is not called
//! `--json`. It asks argh for the options, so no list here can get out of date.

use std::collections::BTreeMap;

use argh::{ArgsInfo, FlagInfo, FlagInfoKind, Optionality};

use super::{exit::UsageError, near::nearest};

/// The options of a program, and its verbs with theirs.
#[derive(Clone, Debug)]
pub(crate) struct Grammar {
    options: Vec<OptionRule>,
    verbs: Vec<VerbRule>,
}

/// An option of a program or a verb.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptionRule {
    /// Without the dashes.
    pub long: &'static str,
    pub short: Option<char>,
    /// What its value is called; `None`: a switch, which takes none.
    pub value: Option<&'static str>,
    /// Whether it may be given more than once.
    repeats: bool,
    /// Whether argh knows it. The others are left to the caller.
    is_of_argh: bool,
}

#[derive(Clone, Debug)]
struct VerbRule {
    name: &'static str,
    options: Vec<OptionRule>,
}

/// An option that several programs share, and that argh does not know.
#[derive(Clone, Copy, Debug)]
pub struct SharedOption {
    /// Without the dashes.
    pub name: &'static str,
    /// The letter that is its short form.
    pub short: Option<char>,
    /// What its value is called; `None`: a switch, which takes none.
    pub value: Option<&'static str>,
}

/// The shared options that were given, with their values; that of a switch is 1.
pub type Given = BTreeMap<&'static str, String>;

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Help,
    Version,
    Run { words: Vec<String>, given: Given },
}

/// A command line that was read.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// The verb, if it has one that exists.
    pub verb: Option<&'static str>,
    pub wanted: Result<Wanted, UsageError>,
}

impl OptionRule {
    fn of(info: &FlagInfo<'static>) -> Self {
        let value = match info.kind {
            FlagInfoKind::Switch => None,
            FlagInfoKind::Option { arg_name } => Some(arg_name),
        };
        Self {
            long: info.long.trim_start_matches('-'),
            short: info.short,
            value,
            repeats: value.is_none() || info.optionality == Optionality::Repeating,
            is_of_argh: true,
        }
    }

    fn shared(SharedOption { name, short, value }: SharedOption) -> Self {
        let repeats = value.is_none();
        Self { long: name, short, value, repeats, is_of_argh: false }
    }
}

impl Grammar {
    /// The grammar of `T`, with some more options.
    pub fn of<T: ArgsInfo>(shared: &[SharedOption]) -> Self {
        let rules = |flags: &'static [FlagInfo<'static>]| {
            // `--help` is not among those that are parsed.
            let own = flags.iter().filter(|it| it.long != "--help");
            own.map(OptionRule::of).collect::<Vec<_>>()
        };
        let info = T::get_args_info();
        let mut options = rules(info.flags);
        options.extend(shared.iter().copied().map(OptionRule::shared));
        let verb = |it: &argh::SubCommandInfo| VerbRule {
            name: it.name,
            options: rules(it.command.flags),
        };
        Self { options, verbs: info.commands.iter().map(verb).collect() }
    }

    /// Every option, of the program and of each verb, with the verb.
    #[cfg(test)]
    pub fn all(&self) -> Vec<(Option<&'static str>, OptionRule)> {
        let own = self.options.iter().map(|rule| (None, *rule));
        let verbs = self.verbs.iter();
        let of_verbs = verbs.flat_map(|it| it.options.iter().map(|rule| (Some(it.name), *rule)));
        own.chain(of_verbs).collect()
    }

    /// The verbs.
    #[cfg(test)]
    pub fn verbs(&self) -> Vec<&'static str> {
        self.verbs.iter().map(|verb| verb.name).collect()
    }

    /// Reads the arguments of a program. A word after `--` is not an option, whatever it looks
    /// like.
    pub fn read(&self, args: &[String]) -> Reading {
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let (line, rest) = (&args[..end], args.get(end + 1..).unwrap_or_default());
        let found = self.find_verb(line, rest);
        let has = |names: [&str; 2]| line.iter().any(|arg| names.contains(&arg.as_str()));
        let rule = found.as_ref().ok().and_then(|found| found.rule);
        let verb = rule.map(|rule| rule.name);
        // A verb may have an option of this name, which takes a value.
        let is_own = rule.is_some_and(|rule| rule.options.iter().any(|it| it.long == "version"));
        let version = ["-V", if is_own { "-V" } else { "--version" }];
        let wanted = match found {
            Ok(found) if found.is_help || has(["-h", "--help"]) => Ok(Wanted::Help),
            _ if has(version) => Ok(Wanted::Version),
            Ok(found) => self.read_words(line, rest, &found),
            Err(why) => Err(why),
        };
        Reading { verb, wanted }
    }

    /// Finds the verb: the first word that is neither an option nor its value.
    fn find_verb(&self, line: &[String], rest: &[String]) -> Result<FoundVerb<'_>, UsageError> {
        let mut found = FoundVerb { rule: None, at: usize::MAX, is_help: false };
        if self.verbs.is_empty() {
            return Ok(found);
        }
        let verb_named = |name: &str| self.verbs.iter().find(|verb| verb.name == name);
        let mut words = line.iter().chain(rest).enumerate().peekable();
        while let Some((at, word)) = words.next() {
            let (name, is_option) = match is_dashed(word) && at < line.len() {
                // `-put` and `--get=NAME` are the older way to write a verb.
                true => (word.trim_start_matches('-').split('=').next().unwrap_or_default(), true),
                false => (word.as_str(), false),
            };
            // The older way is only for names that are no options: `--delete push` is a push.
            let is_option_too = is_option
                && self.verbs.iter().flat_map(|verb| &verb.options).any(|it| it.long == name);
            match verb_named(name).filter(|_| !is_option_too) {
                Some(rule) => return Ok(FoundVerb { rule: Some(rule), at, ..found }),
                None if is_option => {
                    if self.awaits_value(word) {
                        words.next_if(|(_, next)| !is_dashed(next));
                    }
                }
                None if word == "help" => found.is_help = true,
                None => {
                    let names = self.verbs.iter().map(|verb| verb.name);
                    let hint = hint(nearest(word, names), "", "`");
                    return Err(UsageError(format!("there is no verb `{word}`{hint}")));
                }
            }
        }
        let asks_help = line.iter().any(|word| word == "-h" || word == "--help");
        found.is_help |= asks_help;
        if found.is_help {
            return Ok(found);
        }
        let names: Vec<_> = self.verbs.iter().map(|verb| verb.name).collect();
        Err(UsageError(format!("a verb is missing, one of {}", names.join(", "))))
    }

    /// Whether a word is an option, of the program or of any verb, whose value is the next word.
    fn awaits_value(&self, word: &str) -> bool {
        let takes = |it: &OptionRule| {
            let is_short = || it.short.is_some_and(|short| word == format!("-{short}"));
            it.value.is_some() && (word.strip_prefix("--") == Some(it.long) || is_short())
        };
        let verbs = self.verbs.iter().flat_map(|verb| &verb.options);
        self.options.iter().chain(verbs).any(takes)
    }

    fn read_words(
        &self,
        line: &[String],
        rest: &[String],
        found: &FoundVerb<'_>,
    ) -> Result<Wanted, UsageError> {
        let own = found.rule.map_or(&[][..], |verb| &verb.options);
        let mut parts = Parts::new(&self.options, own);
        let mut words = line.iter().enumerate().peekable();
        while let Some((at, word)) = words.next() {
            if at == found.at {
                // `--get=NAME` contains the first word after the verb.
                let value = word.split_once('=').filter(|_| is_dashed(word));
                parts.words.extend(value.map(|(_, value)| value.to_owned()));
                continue;
            }
            let next = || words.next_if(|(_, next)| !is_dashed(next)).map(|(_, it)| &**it);
            match word.strip_prefix("--") {
                Some(option) => {
                    let (name, value) = match option.split_once('=') {
                        Some((name, value)) => (name, Some(value)),
                        None => (option, None),
                    };
                    let rule = parts.find(|it| it.long == name);
                    let rule = rule.ok_or_else(|| self.unknown(&format!("--{name}"), found))?;
                    parts.take(rule, &format!("--{name}"), value, next)?;
                }
                None if is_dashed(word) => self.read_short(&word[1..], &mut parts, found, next)?,
                None => parts.words.push(word.clone()),
            }
        }
        let behind = rest.iter().enumerate().filter(|(i, _)| line.len() + i != found.at);
        parts.words.extend(behind.map(|(_, word)| word.clone()));
        Ok(parts.in_order(found.rule.map(|verb| verb.name)))
    }

    /// Reads one or more short options in one word: `-l`, `-p80`, `-vi`.
    fn read_short<'a>(
        &self,
        letters: &'a str,
        parts: &mut Parts<'_>,
        found: &FoundVerb<'_>,
        mut next: impl FnMut() -> Option<&'a str>,
    ) -> Result<(), UsageError> {
        // A user who writes `-port` does not mean `-p ort`.
        if letters.len() > 1 && parts.find(|it| it.long == letters).is_some() {
            return Err(self.unknown(&format!("-{letters}"), found));
        }
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            let shown = format!("-{letter}");
            let rule = parts.find(|it| it.short == Some(letter));
            let rule = rule.ok_or_else(|| self.unknown(&shown, found))?;
            let rest = letters.as_str();
            let takes_rest = parts.rules[rule].value.is_some() || rest.starts_with('=');
            let is_value = !rest.is_empty() && takes_rest;
            let value = is_value.then(|| rest.strip_prefix('=').unwrap_or(rest));
            parts.take(rule, &shown, value, &mut next)?;
            if is_value {
                break;
            }
        }
        Ok(())
    }

    /// Reports that there is no such option, and what may have been meant.
    fn unknown(&self, shown: &str, found: &FoundVerb<'_>) -> UsageError {
        let own = found.rule.map_or(&[][..], |verb| &verb.options);
        let name = shown.trim_start_matches('-');
        // Without a value they are known: the value is what is wrong.
        if ["--help", "--version"].contains(&shown) {
            return UsageError(format!("{shown} takes no value"));
        }
        let known = self.options.iter().chain(own).map(|it| it.long).chain(["help", "version"]);
        // A single letter is close to everything.
        let near = nearest(name, known).filter(|_| name.len() > 1);
        let is_it = |it: &OptionRule| match shown.starts_with("--") {
            true => it.long == name,
            false => it.short.is_some_and(|short| short.to_string() == name),
        };
        let others = self.verbs.iter().filter(|verb| verb.options.iter().any(is_it));
        let others: Vec<_> = others.map(|verb| format!("`{}`", verb.name)).collect();
        let hint = match (near, others.is_empty()) {
            (None, false) => format!(", only {} has it", others.join(" or ")),
            _ => hint(near, "--", ""),
        };
        UsageError(match found.rule {
            Some(verb) => format!("`{}` has no option {shown}{hint}", verb.name),
            None => format!("there is no option {shown}{hint}"),
        })
    }
}

/// The position of the verb among all words but `--`.
struct FoundVerb<'a> {
    rule: Option<&'a VerbRule>,
    at: usize,
    is_help: bool,
}

/// A command line that is being put together.
struct Parts<'a> {
    rules: Vec<&'a OptionRule>,
    /// How many of the rules are the program's; the others are its verb's.
    common: usize,
    seen: Vec<&'static str>,
    before_verb: Vec<String>,
    behind_verb: Vec<String>,
    words: Vec<String>,
    given: Given,
}

impl<'a> Parts<'a> {
    fn new(common: &'a [OptionRule], own: &'a [OptionRule]) -> Self {
        Self {
            rules: common.iter().chain(own).collect(),
            common: common.len(),
            seen: Vec::new(),
            before_verb: Vec::new(),
            behind_verb: Vec::new(),
            words: Vec::new(),
            given: Given::new(),
        }
    }

    /// The place of a rule.
    fn find(&self, is_it: impl Fn(&OptionRule) -> bool) -> Option<usize> {
        self.rules.iter().position(|rule| is_it(rule))
    }

    /// Takes an option that is written like `shown`, with the value that is attached to it or else
    /// the next word.
    fn take<'b>(
        &mut self,
        place: usize,
        shown: &str,
        attached: Option<&'b str>,
        mut next: impl FnMut() -> Option<&'b str>,
    ) -> Result<(), UsageError> {
        let rule = self.rules[place];
        let value = match (rule.value, attached) {
            (None, None) => None,
            (None, Some(_)) => return Err(UsageError(format!("{shown} takes no value"))),
            (Some(_), Some(value)) => Some(value),
            (Some(kind), None) => Some(next().ok_or_else(|| {
                UsageError(format!(
                    "{shown} needs a value: {shown} <{kind}>, or --{0}=<{kind}> if that begins \
                     with a dash",
                    rule.long
                ))
            })?),
        };
        if !rule.repeats && self.seen.contains(&rule.long) {
            return Err(UsageError(format!("--{} is given twice", rule.long)));
        }
        self.seen.push(rule.long);
        if !rule.is_of_argh {
            self.given.insert(rule.long, value.unwrap_or("1").to_owned());
            return Ok(());
        }
        let options =
            if place < self.common { &mut self.before_verb } else { &mut self.behind_verb };
        options.push(format!("--{}", rule.long));
        options.extend(value.map(str::to_owned));
        Ok(())
    }

    fn in_order(self, verb: Option<&str>) -> Wanted {
        let mut words = self.before_verb;
        words.extend(verb.map(str::to_owned));
        words.extend(self.behind_verb);
        if !self.words.is_empty() {
            words.push("--".into());
            words.extend(self.words);
        }
        Wanted::Run { words, given: self.given }
    }
}

/// Whether a word has the form of an option. A dash alone is stdin or stdout, and a dash before a
/// digit is a minus.
fn is_dashed(word: &str) -> bool {
    let option = word.strip_prefix('-').unwrap_or_default();
    option.starts_with(|c: char| !c.is_ascii_digit())
}

fn hint(near: Option<&str>, dashes: &str, quote: &str) -> String {
    near.map_or_else(String::new, |it| format!("; did you mean {quote}{dashes}{it}{quote}?"))
}

#[cfg(test)]
mod tests;
