//! The parameters of a header: `form-data; name="a"; filename*=UTF-8''b%20c`.
//!
//! They are read as Werkzeug reads them, which is under Flask, so that what is a file there is a file
//! here. What is no parameter is passed over.

use std::collections::HashMap;

/// The parameters of a header, by their names in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parameters(HashMap<String, Parameter>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Parameter {
    value: String,
    /// It was sent in pieces, `name*0=…; name*1=…`; further ones are appended.
    is_in_pieces: bool,
    /// Of the pieces that follow and name none.
    charset: Option<Charset>,
}

/// The charsets that are read. Clients of today send UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// US-ASCII.
    Ascii,
    /// UTF-8.
    #[default]
    Utf8,
    /// ISO 8859-1.
    Latin1,
}

impl Charset {
    /// `None`: it is another one.
    pub fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "ascii" | "us-ascii" => Some(Self::Ascii),
            "utf-8" => Some(Self::Utf8),
            "iso-8859-1" => Some(Self::Latin1),
            _ => None,
        }
    }

    /// Bytes that have no meaning become U+FFFD.
    pub fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Latin1 => bytes.iter().copied().map(char::from).collect(),
            Self::Ascii => {
                let char = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '\u{fffd}' };
                bytes.iter().map(char).collect()
            }
        }
    }
}

impl Parameters {
    /// Takes a header apart: what is before the first `;`, and the parameters behind it.
    pub fn of(header: &str) -> (&str, Self) {
        let (value, rest) = header.split_once(';').unwrap_or((header, ""));
        let mut parameters = Self::default();
        let mut rest = rest.trim_matches(BLANKS);
        loop {
            if let Some((name, value, end)) = pair(rest) {
                parameters.add(name, value);
                rest = &rest[end..];
            } else if is_unclosed(rest) {
                break;
            }
            match rest.split_once(';') {
                Some((_, next)) => rest = next.trim_start_matches(BLANKS),
                None => break,
            }
        }
        (value.trim_matches(BLANKS), parameters)
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|it| it.value.as_str())
    }

    /// Adds a parameter as it was sent. Later ones replace earlier ones, but for pieces.
    fn add(&mut self, name: &str, sent: &str) {
        let mut name = name.to_ascii_lowercase();
        let is_coded = name.ends_with('*');
        if is_coded {
            name.pop();
        }
        let number = name.rsplit_once('*').map(|(_, number)| number.len());
        let is_piece = number.is_some_and(|digits| {
            digits > 0 && name[name.len() - digits..].bytes().all(|byte| byte.is_ascii_digit())
        });
        if let (true, Some(digits)) = (is_piece, number) {
            name.truncate(name.len() - digits - 1);
        }
        let kept = self.0.entry(name).or_default();
        if !(is_piece && kept.is_in_pieces) {
            *kept = Parameter { is_in_pieces: is_piece, ..Parameter::default() };
        }
        if is_coded {
            let (value, charset) = coded(sent, kept.charset);
            kept.value.push_str(&value);
            kept.charset = charset;
        } else {
            kept.value.push_str(&unquoted(sent).replace("%22", "\""));
        }
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_!#$%&'*+-.^`|~".contains(&byte)
}

/// How many characters of a token there are at the beginning.
fn token_bytes(text: &str) -> usize {
    text.bytes().take_while(|byte| is_token(*byte)).count()
}

/// The name and the value at the beginning, and where they end. A value in quotes keeps them.
fn pair(text: &str) -> Option<(&str, &str, usize)> {
    let name = &text[..token_bytes(text)];
    let rest = text[name.len()..].strip_prefix('=').filter(|_| !name.is_empty())?;
    let bytes = match token_bytes(rest) {
        0 => quoted_bytes(rest)?,
        bytes => bytes,
    };
    Some((name, &rest[..bytes], name.len() + 1 + bytes))
}

/// Whether a value in quotes begins here that has no end: then nothing behind it is a parameter.
fn is_unclosed(text: &str) -> bool {
    let name = token_bytes(text);
    let value = text[name..].strip_prefix('=').filter(|_| name > 0);
    value.is_some_and(|it| it.starts_with('"') && quoted_bytes(it).is_none())
}

/// The length of the value in quotes at the beginning, with its quotes. `\` escapes a quote and itself.
fn quoted_bytes(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    if bytes.first() != Some(&b'"') {
        return None;
    }
    loop {
        match bytes.get(at..)? {
            [b'\\', b'\\' | b'"', ..] => at += 2,
            [b'"', ..] => return Some(at + 1),
            [_, ..] => at += 1,
            [] => return None,
        }
    }
}

fn unquoted(text: &str) -> String {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) => {
            let mut chars = inner.chars();
            let mut plain = String::with_capacity(inner.len());
            while let Some(char) = chars.next() {
                plain.push(if char == '\\' { chars.next().unwrap_or(char) } else { char });
            }
            plain
        }
        None => text.to_owned(),
    }
}

/// `UTF-8'en'b%20c`, or a further piece `d%20e`, in the charset of the one before. What has none that is
/// known stays as it is.
fn coded(sent: &str, before: Option<Charset>) -> (String, Option<Charset>) {
    let is_word = |text: &str| text.bytes().all(|byte| is_token(byte) && byte != b'\'');
    let mut parts = sent.splitn(3, '\'');
    let (charset, text) = match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(language), Some(text))
            if is_word(charset)
                && is_word(language)
                && !text.is_empty()
                && text.bytes().all(is_token) =>
        {
            let charset = if charset.is_empty() { before } else { Charset::of(charset) };
            (charset, text)
        }
        _ => (before, sent),
    };
    match charset {
        None => (text.to_owned(), None),
        Some(charset) => {
            let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
            (charset.decode(&bytes), Some(charset))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        for (header, name, value) in [
            ("x; name=a", "name", Some("a")),
            ("x;\tNAME=\"a b\" ;c=d", "name", Some("a b")),
            ("x; flag; name=a", "name", Some("a")),
            ("x; name=; other=b", "other", Some("b")),
            ("x; name=", "name", None),
            ("x; name =a", "name", None),
            ("x; name=\"a\\\"b\\\\c\\d%22\"", "name", Some("a\"b\\cd\"")),
            ("x; name=\"a; other=b", "other", None),
            ("x; a=\"; name=b\"; name=c", "name", Some("c")),
            ("x; name=a; name=b", "name", Some("b")),
            ("x; name*=UTF-8''a%20%C3%BC", "name", Some("a ü")),
            ("x; name*=iso-8859-1'en'%FC", "name", Some("ü")),
            ("x; name*=koi8-r''%FC", "name", Some("%FC")),
            ("x; name*0=a; name*1=\"b c\"", "name", Some("ab c")),
            ("x; name*0*=utf-8''%C3%BC; name*1*=%20b; name*2=%20", "name", Some("ü b%20")),
            ("x; name*0=a; name=b", "name", Some("b")),
            ("x; name=b; name*0=a", "name", Some("a")),
            ("x; filename*=\"\"", "filename", Some("\"\"")),
            ("x", "name", None),
        ] {
            let (kind, parameters) = Parameters::of(header);
            assert_eq!((kind, parameters.get(name)), ("x", value), "{header}");
        }
    }
}
