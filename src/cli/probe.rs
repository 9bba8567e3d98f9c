//! Looks at how a program reads its command line, without running it: for tests of all programs.

use std::cell::RefCell;

pub(crate) use super::grammar::Wanted;
use super::{
    exit::Exit,
    grammar::{Grammar, Reading},
};

/// What a program understood, and by which grammar.
pub(crate) struct Probed {
    pub grammar: Grammar,
    pub reading: Reading,
}

thread_local! {
    /// `Some`: the next command line that is parsed on this thread goes here.
    static PROBE: RefCell<Option<Option<Probed>>> = const { RefCell::new(None) };
}

/// Makes a program read these arguments and end. `None`: it has not got that far.
pub(crate) fn probe(run: fn(&str, &[String]) -> Exit, args: &[&str]) -> Option<Probed> {
    PROBE.set(Some(None));
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    run("program", &args);
    PROBE.take().flatten()
}

/// Whether this command line is only looked at.
pub(super) fn takes(grammar: &Grammar, reading: &Reading) -> bool {
    PROBE.with_borrow_mut(|probe| {
        let waits = matches!(probe, Some(None));
        if waits {
            *probe = Some(Some(Probed { grammar: grammar.clone(), reading: reading.clone() }));
        }
        waits
    })
}
