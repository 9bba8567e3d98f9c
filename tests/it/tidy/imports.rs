//! Which file of `src` uses which: read from the text, as far as this crate's style goes.
//!
//! A path to something that another module re-exports leads to the file that defines it. A
//! re-export (`pub use`) does not count as a use.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// One name that a file imports.
struct Import {
    path: Vec<String>,
    /// What it is called there.
    name: String,
    is_handed_on: bool,
}

/// A file with its imports and the paths in its code.
struct Module {
    file: PathBuf,
    imports: Vec<Import>,
    paths: Vec<Vec<String>>,
}

/// By module path: `["http", "client"]`. The crate's root is empty.
type Modules = BTreeMap<Vec<String>, Module>;

/// The files that each file uses. Paths are below `root`.
pub fn uses(root: &Path, sources: &[(PathBuf, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: Modules = sources
        .iter()
        .filter_map(|(file, text)| {
            let module = module_path(file.strip_prefix(root).ok()?)?;
            Some((module.clone(), parse(file.clone(), &module, text)))
        })
        .collect();
    let shown = |file: PathBuf| file.strip_prefix(root).unwrap().display().to_string();
    let used = |(at, module): (&Vec<String>, &Module)| {
        let imports = module.imports.iter().filter(|it| !it.is_handed_on).map(|it| &it.path);
        let paths = imports.chain(&module.paths);
        let files = paths.filter_map(|path| file_of(&modules, at, path, 8));
        let others = files.filter(|file| *file != module.file).map(shown).collect();
        (shown(module.file.clone()), others)
    };
    modules.iter().map(used).collect()
}

/// The sets of files that use each other, directly or by way of others.
pub fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let mut reached = BTreeMap::new();
    for from in uses.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(uses[file].iter().filter(|it| seen.insert(*it)));
        }
        reached.insert(from, seen);
    }
    let in_a_circle = reached.iter().filter(|(file, seen)| seen.contains(*file));
    let circle = |file: &String, seen: &BTreeSet<&String>| {
        let others = seen.iter().filter(|other| reached[**other].contains(file));
        others.map(|it| (*it).clone()).collect()
    };
    in_a_circle.map(|(file, seen)| circle(file, seen)).collect()
}

/// `http/client/mod.rs` is `["http", "client"]`. `None`: a replacement for a feature that is off.
fn module_path(file: &Path) -> Option<Vec<String>> {
    let path = file.with_extension("");
    let mut words: Vec<String> = path.iter().map(|it| it.to_str().unwrap().to_owned()).collect();
    match words.last()?.as_str() {
        "mod" | "lib" => drop(words.pop()),
        stands_in if stands_in.starts_with("no_") => return None,
        _ => {}
    }
    Some(words)
}

fn parse(file: PathBuf, at: &[String], text: &str) -> Module {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join("\n");
    let (mut imports, mut code) = (Vec::new(), String::new());
    for statement in text.split_inclusive(';') {
        let line_start = statement.rmatch_indices("use ").find(|(at, _)| {
            let line = &statement[..*at];
            let line = &line[line.rfind('\n').map_or(0, |it| it + 1)..];
            let line = line.trim();
            line.is_empty() || line.starts_with("pub")
        });
        match line_start {
            Some((start, _)) => {
                let before = statement[..start].lines().last().unwrap_or_default();
                let is_handed_on = before.trim_start().starts_with("pub");
                let tree = statement[start + 4..].trim_end_matches(';');
                expand(tree, &[], is_handed_on, &mut imports);
                code.push_str(&statement[..start]);
            }
            None => code.push_str(statement),
        }
    }
    let declared: Vec<&str> = code
        .split(';')
        .filter_map(|it| it.rsplit_once("mod ").map(|(_, name)| name.trim()))
        .filter(|name| !name.is_empty() && name.chars().all(is_of_a_name))
        .collect();
    let paths = paths(&code, &declared).iter().map(|path| from_root(at, path)).collect();
    let imports = imports.into_iter().filter_map(|import| {
        let is_below = declared.contains(&import.path[0].as_str());
        let path = (is_below || is_ours(&import.path)).then(|| from_root(at, &import.path))?;
        Some(Import { path, ..import })
    });
    Module { file, imports: imports.collect(), paths }
}

fn is_ours(path: &[String]) -> bool {
    ["crate", "super", "self"].contains(&path[0].as_str())
}

/// `a::{b, c::d as e}` as `a::b` and `a::c::d`.
fn expand(tree: &str, before: &[String], is_handed_on: bool, imports: &mut Vec<Import>) {
    let tree = tree.trim();
    if let Some((path, branches)) = tree.split_once('{') {
        let path = path.split("::").map(|it| it.trim().to_owned()).filter(|it| !it.is_empty());
        let before: Vec<String> = before.iter().cloned().chain(path).collect();
        for branch in branches_of(branches.trim_end().trim_end_matches('}')) {
            expand(branch, &before, is_handed_on, imports);
        }
    } else if !tree.is_empty() {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(a, b)| (a, Some(b)));
        let path = path.split("::").map(|it| it.trim().to_owned());
        let mut path: Vec<String> = before.iter().cloned().chain(path).collect();
        if path.last().is_some_and(|it| it == "self") && path.len() > 1 {
            path.pop();
        }
        let name = name.map_or_else(|| path.last().unwrap().clone(), |it| it.trim().to_owned());
        imports.push(Import { path, name, is_handed_on });
    }
}

/// Splits at commas that are in no braces.
fn branches_of(text: &str) -> Vec<&str> {
    let mut depth = 0;
    text.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    })
    .collect()
}

/// The paths in code that begin with `crate`, `super`, `self` or a module that is declared there.
fn paths(code: &str, declared: &[&str]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let words = code.split(|c: char| !is_of_a_name(c) && c != ':');
    for word in words.filter(|word| word.contains("::") && !word.starts_with(':')) {
        let mut path: Vec<String> =
            word.split("::").map(str::to_owned).filter(|it| !it.is_empty()).collect();
        if path.first().is_some_and(|first| declared.contains(&first.as_str())) {
            path.insert(0, "self".into());
        }
        if !path.is_empty() && is_ours(&path) {
            paths.push(path);
        }
    }
    paths
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The same path from the crate's root on.
fn from_root(at: &[String], path: &[String]) -> Vec<String> {
    let mut from: Vec<String> = at.to_vec();
    for (i, word) in path.iter().enumerate() {
        match word.as_str() {
            "crate" if i == 0 => from.clear(),
            "self" if i == 0 => {}
            "super" => drop(from.pop()),
            _ => {
                from.extend_from_slice(&path[i..]);
                break;
            }
        }
    }
    from
}

/// The file that defines what a path from the root names; `hops` bounds the number of re-exports.
fn file_of(modules: &Modules, at: &[String], path: &[String], hops: usize) -> Option<PathBuf> {
    let length = (0..=path.len()).rev().find(|&it| modules.contains_key(&path[..it]))?;
    let module = &modules[&path[..length]];
    let Some(name) = path.get(length) else { return Some(module.file.clone()) };
    match module.imports.iter().find(|it| it.name == *name) {
        Some(import) if hops > 0 && at != &path[..length] => {
            let rest = &path[length + 1..];
            file_of(modules, at, &[&import.path[..], rest].concat(), hops - 1)
        }
        _ => Some(module.file.clone()),
    }
}
