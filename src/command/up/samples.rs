//! The files that `up` puts into the ring if it is given no folder: those of `test_files/`,
//! embedded in the program, so that it needs no file on disk.

use crate::{
    client::{Origin, Source},
    ring::name::Name,
};

/// A file of `test_files/`, with its name.
macro_rules! sample {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../test_files/", $name)))
    };
}

const SAMPLES: &[(&str, &[u8])] = &[
    sample!("Grüße.txt"),
    sample!("css/style.css"),
    sample!("empty"),
    sample!("img/ring.png"),
    sample!("index.html"),
];

/// All of them.
pub(super) fn sources() -> Vec<Source> {
    let source = |(name, bytes): &(&str, &[u8])| {
        let name = Name::new(name).expect("the names of the samples are valid");
        Source { name, origin: Origin::Bytes(bytes.to_vec()) }
    };
    SAMPLES.iter().map(source).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::client::collect;

    #[test]
    fn the_samples_are_the_files_of_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("test_files");
        let found = collect(&[folder]).unwrap();
        assert!(found.skipped.is_empty(), "{:?}", found.skipped);
        let sorted = |sources: Vec<Source>| {
            let mut files: Vec<_> = (sources.iter())
                .map(|source| (source.name.to_string(), source.read().unwrap()))
                .collect();
            files.sort();
            files
        };
        assert_eq!(sorted(sources()), sorted(found.sources));
    }
}
