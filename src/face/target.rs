//! What the target of a request is: a file, a folder, or something of the node itself.

use percent_encoding::percent_decode_str;

use crate::ring::{
    name::{Name, decode},
    version::Version,
};

/// What begins with this is not a file.
const OWN: &str = "_ring";

/// What a request is about.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Target {
    /// A file, or one version of it.
    File { name: Name, version: Option<Version> },
    /// The names that begin so: empty, or with `/` at its end. Those after `after`.
    Folder { prefix: String, after: String },
    /// Something of the node itself: the path behind `/_ring/`; `None`: the `/` is missing.
    Own(Option<String>),
}

/// Reads path and query of a target. What is no target of a node is told in words. The path is decoded
/// once, as names are on the wire: `%2F` is `/`, and `%2e%2e` is `..`, which no name has.
pub(super) fn read(path: &str, query: Option<&str>) -> Result<Target, String> {
    let path = path.strip_prefix('/').ok_or("the target is no path")?;
    let path = decode(path).map_err(|error| error.to_string())?;
    if path == OWN {
        return Ok(Target::Own(None));
    }
    if let Some(own) = path.strip_prefix(OWN).and_then(|it| it.strip_prefix('/')) {
        return Ok(Target::Own(Some(own.to_owned())));
    }
    let folder = path.strip_suffix('/').or(path.is_empty().then_some(""));
    match folder {
        Some(folder) => {
            if !path.is_empty() {
                Name::new(folder).map_err(|error| error.to_string())?;
            }
            let after = parameter(query, "after").unwrap_or_default();
            Ok(Target::Folder { prefix: path.into_owned(), after })
        }
        None => {
            let name = Name::new(&path).map_err(|error| error.to_string())?;
            let version = match parameter(query, "version") {
                Some(version) => Some(version.parse().map_err(|_| {
                    format!(
                        "{version:?} is no version: take one that LOG or Smolring-Version shows"
                    )
                })?),
                None => None,
            };
            Ok(Target::File { name, version })
        }
    }
}

/// The first value of a query's parameter, decoded. What is not UTF-8 is as if it were not there.
pub(super) fn parameter(query: Option<&str>, key: &str) -> Option<String> {
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let value = pairs.into_iter().find(|(it, _)| *it == key)?.1;
    percent_decode_str(value).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Target {
        Target::File { name: Name::new(name).unwrap(), version: None }
    }

    fn folder(prefix: &str) -> Target {
        Target::Folder { prefix: prefix.into(), after: String::new() }
    }

    #[test]
    fn targets_are_files_folders_and_what_is_the_nodes() {
        for (path, expected) in [
            ("/", folder("")),
            ("/a", file("a")),
            ("/a/b.html", file("a/b.html")),
            ("/a/", folder("a/")),
            ("/a%2Fb", file("a/b")),
            ("/a%20b", file("a b")),
            ("/%C3%BC", file("ü")),
            ("/100%", file("100%")),
            ("/..a", file("..a")),
            ("/_ring", Target::Own(None)),
            ("/_ring/", Target::Own(Some(String::new()))),
            ("/%5Fring/status", Target::Own(Some("status".into()))),
            ("/_ring/../a", Target::Own(Some("../a".into()))),
            ("/_rings", file("_rings")),
            ("/a/_ring/b", file("a/_ring/b")),
        ] {
            assert_eq!(read(path, None), Ok(expected), "{path}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_store() {
        for path in [
            "/../a",
            "/a/../b",
            "/a/..",
            "/..",
            "/.",
            "/%2e%2e/a",
            "/%2E%2E%2Fa",
            "/a/%2e%2e/%2e%2e/b",
            "//host/a",
            "//",
            "/a//b",
            "/a//",
            "/%2Fetc/passwd",
            "/a%00b",
            "/a%0Ab",
            "/%7F",
            "/%C2%85",
            "/%FF",
            "/%C3",
            "*",
            "",
            "host:80",
            "/./a",
            "/../",
            "/a/./",
        ] {
            assert!(read(path, None).is_err(), "{path}: {:?}", read(path, None));
        }
        assert!(read(&format!("/{}", "a".repeat(1025)), None).is_err());
        assert!(read(&format!("/{}", "a".repeat(1024)), None).is_ok());
    }

    #[test]
    fn a_query_names_a_version_or_where_a_page_begins() {
        let version = "0000000000000001@127.0.0.1:1";
        for query in [
            "version=0000000000000001@127.0.0.1:1",
            "x=1&version=0000000000000001%40127.0.0.1%3A1&version=",
        ] {
            let Ok(Target::File { version: Some(read), .. }) = read("/a", Some(query)) else {
                panic!("{query}");
            };
            assert_eq!(read, version.parse().unwrap());
        }
        for query in ["version=", "version=1", "version"] {
            assert!(read("/a", Some(query)).is_err(), "{query}");
        }
        let after = Target::Folder { prefix: "a/".into(), after: "a/ü".into() };
        assert_eq!(read("/a/", Some("after=a/%C3%BC")), Ok(after));
        assert_eq!(read("/a/", Some("version=1&after=%FF")), Ok(folder("a/")));
    }
}
