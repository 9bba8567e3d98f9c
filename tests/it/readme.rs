//! README.md and the pages of docs, done as they are written: what they show is what is printed.
//!
//! A block ` ```console ` is a session: a line after `$ ` is typed, `> ` goes on with it, the other lines
//! are printed. Each section has a network of its own, so that its ports are free. Times, process ids and
//! hashes differ each time and are not compared.

mod session;

use std::{collections::BTreeSet, fs, path::Path};

use self::session::Session;
use crate::needs::is_here;

/// A line that is typed, and what is shown after it.
struct Step {
    command: String,
    shown: Vec<String>,
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The blocks of this language, each as its lines, section by section.
fn blocks(text: &str, language: &str) -> Vec<Vec<String>> {
    let mut sections = vec![Vec::new()];
    let mut fence: Option<&str> = None;
    for line in text.lines() {
        match (fence, line.strip_prefix("```")) {
            (None, Some(opened)) => fence = Some(opened),
            (Some(_), Some(_)) => fence = None,
            (Some(opened), None) if opened == language => {
                sections.last_mut().unwrap().push(line.to_owned());
            }
            (None, None) if line.starts_with("## ") => sections.push(Vec::new()),
            _ => {}
        }
    }
    sections
}

fn steps(lines: &[String]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), shown: Vec::new() });
        } else if let Some(step) = steps.last_mut() {
            match line.strip_prefix("> ") {
                Some(more) => {
                    step.command.push('\n');
                    step.command.push_str(more);
                }
                None => step.shown.push(line.clone()),
            }
        }
    }
    steps
}

fn sessions_of(file: &str) {
    if !Session::is_possible() {
        return;
    }
    for lines in blocks(&read(file), "console") {
        let steps = steps(&lines);
        let has = |word: &str| steps.iter().any(|it| it.command.starts_with(word));
        if ["curl", "nc"].into_iter().any(|tool| has(tool) && !is_here(tool)) || steps.is_empty() {
            continue;
        }
        let mut session = Session::start();
        for Step { command, shown } in &steps {
            session.type_in(command, shown);
        }
    }
}

#[test]
fn the_readme_shows_what_is_printed() {
    sessions_of("README.md");
}

#[test]
fn the_page_of_services_shows_what_is_printed() {
    sessions_of("docs/SERVICES.md");
}

#[test]
fn the_page_of_operations_shows_what_is_printed() {
    sessions_of("docs/OPERATIONS.md");
}

/// What a node prints is written in `src/ring/event.rs`.
#[test]
fn every_line_of_a_node_is_on_the_page_of_operations() {
    let (page, source) = (read("docs/OPERATIONS.md"), read("src/ring/event.rs"));
    let page = page.split("## What a node prints").nth(1).expect("the page has the table");
    let shown = source.split("impl fmt::Display for Event").nth(1).expect("events are shown");
    let literals = shown.split('"').skip(1).step_by(2);
    let parts = literals.flat_map(|text| text.split(['{', '}']).step_by(2));
    let parts: Vec<&str> = parts.filter(|part| part.len() > 4).collect();
    assert!(parts.len() > 15, "{parts:?}");
    for part in parts {
        assert!(page.contains(part.trim()), "the page does not have {part:?}");
    }
}

#[test]
fn the_picture_is_what_up_prints() {
    if !Session::is_possible() {
        return;
    }
    let picture = &blocks(&read("README.md"), "text")[0];
    let [up, kill, back, status] = &steps(picture)[..] else {
        panic!("the picture has four steps")
    };
    assert!(up.command.starts_with("cargo run ") && up.command.ends_with(" up"), "{}", up.command);
    let mut session = Session::start();
    session.type_in("target/release/smolring up &", &up.shown);
    let pid = session.wait_for("kill -9 ");
    session.wait_for("What happens");
    assert!(kill.command.starts_with("kill -9 "), "{}", kill.command);
    session.type_in_and_hear(&format!("kill -9 {pid}"), &kill.shown);
    let again = session.wait_for("To bring it back: ");
    assert_eq!(session::normal(&back.command), session::normal(&again));
    session.type_in(&format!("{again} &"), &back.shown);
    session.type_in(&status.command, &status.shown);
}

#[test]
fn what_is_not_tried_here_only_installs_and_starts() {
    for file in ["README.md", "docs/SERVICES.md", "docs/OPERATIONS.md", "CONTRIBUTING.md"] {
        for line in blocks(&read(file), "sh").concat() {
            let mut words = line.split_whitespace().skip_while(|it| it.starts_with("SMOLRING_"));
            let word = words.next().unwrap_or("cargo");
            let only_builds = ["git", "cargo", "tests/run"].contains(&word);
            assert!(only_builds, "{file}: is this tried anywhere? {line}");
            let builds = line.starts_with("cargo run") || line.starts_with("cargo install");
            assert!(
                !builds || file == "CONTRIBUTING.md" || line.contains("--locked"),
                "{file}: {line}"
            );
        }
    }
}

#[test]
fn every_program_is_on_a_page() {
    let pages = read("README.md") + &read("docs/SERVICES.md");
    let bins = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("bins")).unwrap();
    let names = bins.map(|it| it.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    for name in names.filter(|name| name != "launch").collect::<BTreeSet<_>>() {
        assert!(pages.contains(&name), "no page has {name}");
    }
}
