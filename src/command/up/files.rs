//! The files that `up` puts into the ring, and those that it skips.

use std::{fs, path::PathBuf};

use smol::unblock;

use super::samples;
use crate::{
    cli,
    client::{self, Collected, Error, Node, Origin, Source, Timeouts, collect_folder, shown},
    ring::size,
};

/// This many skipped files are named; the others are counted.
const SKIPPED_SHOWN: usize = 10;

/// The files to put.
pub(super) struct Files {
    pub sources: Vec<Source>,
    /// Why each of the others is not put, one line per file.
    pub skipped: Vec<String>,
}

impl Files {
    /// Finds the files of a folder, or those that are part of the program, up to a size.
    pub(super) async fn find(dir: Option<PathBuf>, bytes_max: usize) -> Result<Self, String> {
        let found = unblock(move || {
            let Collected { mut sources, skipped } = match dir {
                Some(dir) => collect_folder(&dir)?,
                None => Collected { sources: samples::sources(), skipped: Vec::new() },
            };
            let mut skipped: Vec<_> = skipped.iter().map(ToString::to_string).collect();
            sources.retain(|source| {
                let is_larger = is_larger(source, bytes_max);
                skipped.extend(is_larger.then(|| too_large(source, bytes_max)));
                !is_larger
            });
            Ok(Self { sources, skipped })
        });
        found.await.map_err(|error: Error| error.to_string())
    }

    /// Prints what was skipped.
    pub(super) fn say_skipped(&self, name: &str) {
        self.skipped.iter().take(SKIPPED_SHOWN).for_each(|why| cli::say(name, why));
        match self.skipped.len().saturating_sub(SKIPPED_SHOWN) {
            0 => {}
            1 => cli::say(name, "skipped 1 more file"),
            more => cli::say(name, format_args!("skipped {more} more files")),
        }
    }
}

/// Puts all files into the ring. Those that no node takes are skipped from now on; returns what
/// else went wrong.
pub(super) async fn put(ring: &[Node], files: &mut Files, mut step: impl FnMut()) -> Vec<String> {
    let (mut skipped, mut failed) = (Vec::new(), Vec::new());
    let sources = files.sources.clone();
    client::upload(ring, Timeouts::default(), sources, client::Selection::All, |source, result| {
        step();
        let name = shown(source.name.as_str());
        match result {
            Ok(_) => {}
            Err(Error::File { cause, .. }) => skipped.push((source.name.clone(), cause)),
            Err(Error::Changed { .. }) => {
                skipped.push((source.name.clone(), "it changes while it is read".into()));
            }
            Err(error) if matches!(error.status(), Some(413 | 507)) => {
                skipped.push((source.name.clone(), error.to_string()));
            }
            Err(error) => failed.push(format!("{name} was not put: {error}")),
        }
    })
    .await;
    files.sources.retain(|source| !skipped.iter().any(|(name, _)| *name == source.name));
    let said =
        skipped.into_iter().map(|(name, why)| format!("skipped {}: {why}", shown(name.as_str())));
    files.skipped.extend(said);
    failed
}

fn is_larger(source: &Source, bytes_max: usize) -> bool {
    match &source.origin {
        Origin::Bytes(bytes) => bytes.len() > bytes_max,
        // A file that cannot be read is noticed when it is put.
        Origin::Path(path) => fs::metadata(path).is_ok_and(|it| it.len() > bytes_max as u64),
        Origin::Stdin => false,
    }
}

fn too_large(source: &Source, bytes_max: usize) -> String {
    let (name, most) = (shown(source.name.as_str()), size::in_words(bytes_max as u64));
    format!("skipped {name}: it is larger than {most}; to raise that: `-- --max-file-bytes SIZE`")
}
