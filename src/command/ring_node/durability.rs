//! What a file that is kept on a disk survives, as a word.

use std::{fmt, str::FromStr};

use crate::store::disk::Durability;

/// `sync` or `os`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct DurabilityWord(pub Durability);

impl FromStr for DurabilityWord {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "sync" => Ok(Self(Durability::Sync)),
            "os" => Ok(Self(Durability::Os)),
            _ => Err("is neither sync nor os".into()),
        }
    }
}

impl fmt::Display for DurabilityWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Durability::Sync => "sync",
            Durability::Os => "os",
        })
    }
}
