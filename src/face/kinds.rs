//! The media type of a file, by the ending of its name.

/// The endings that are known, and their types. Text is UTF-8.
const KINDS: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("jsonld", "application/ld+json"),
    ("geojson", "application/geo+json"),
    ("webmanifest", "application/manifest+json"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/x-icon"),
    ("bmp", "image/bmp"),
    ("tif", "image/tiff"),
    ("tiff", "image/tiff"),
    ("jxl", "image/jxl"),
    ("heic", "image/heic"),
    ("woff2", "font/woff2"),
    ("woff", "font/woff"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("txt", "text/plain; charset=utf-8"),
    ("text", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
    ("conf", "text/plain; charset=utf-8"),
    ("ini", "text/plain; charset=utf-8"),
    ("toml", "text/plain; charset=utf-8"),
    ("rs", "text/plain; charset=utf-8"),
    ("py", "text/plain; charset=utf-8"),
    ("c", "text/plain; charset=utf-8"),
    ("h", "text/plain; charset=utf-8"),
    ("sh", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("ics", "text/calendar; charset=utf-8"),
    ("xml", "text/xml; charset=utf-8"),
    ("xhtml", "application/xhtml+xml; charset=utf-8"),
    ("rss", "application/rss+xml; charset=utf-8"),
    ("atom", "application/atom+xml; charset=utf-8"),
    ("xsl", "text/xml; charset=utf-8"),
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("wasm", "application/wasm"),
    ("pdf", "application/pdf"),
    ("epub", "application/epub+zip"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("tgz", "application/gzip"),
    ("zst", "application/zstd"),
    ("br", "application/octet-stream"),
    ("bz2", "application/x-bzip2"),
    ("xz", "application/x-xz"),
    ("7z", "application/x-7z-compressed"),
    ("tar", "application/x-tar"),
    ("jar", "application/java-archive"),
    ("rtf", "application/rtf"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("mp3", "audio/mpeg"),
    ("m4a", "audio/mp4"),
    ("ogg", "audio/ogg"),
    ("oga", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("flac", "audio/flac"),
    ("weba", "audio/webm"),
    ("mp4", "video/mp4"),
    ("m4v", "video/mp4"),
    ("webm", "video/webm"),
    ("ogv", "video/ogg"),
    ("mov", "video/quicktime"),
    ("mkv", "video/x-matroska"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("ts", "video/mp2t"),
    ("glb", "model/gltf-binary"),
];

/// Of files with another ending, or none: a browser saves them, and does not guess.
const OTHER: &str = "application/octet-stream";

/// The value of `Content-Type` for a file of this name.
pub(super) fn of(name: &str) -> &'static str {
    let last = name.rsplit('/').next().unwrap_or_default();
    let ending = last.rsplit_once('.').map_or("", |(_, ending)| ending);
    let kind = KINDS.iter().find(|(it, _)| it.eq_ignore_ascii_case(ending));
    kind.map_or(OTHER, |(_, kind)| kind)
}

/// Whether a browser may run scripts of a file of this type when it opens it.
pub(super) fn is_document(kind: &str) -> bool {
    kind.starts_with("text/html") || kind.contains("xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ending_counts_in_any_case() {
        for (name, kind) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/b/STYLE.CSS", "text/css; charset=utf-8"),
            ("a.tar.gz", "application/gzip"),
            ("a.png/b", OTHER),
            ("README", OTHER),
            ("html", OTHER),
            (".html", "text/html; charset=utf-8"),
            ("a.", OTHER),
            ("a.ht\u{fc}ml", OTHER),
        ] {
            assert_eq!(of(name), kind, "{name}");
        }
    }

    #[test]
    fn each_ending_stands_once_and_is_lower_case() {
        for (at, (ending, _)) in KINDS.iter().enumerate() {
            assert_eq!(*ending, ending.to_lowercase());
            assert!(KINDS[at + 1..].iter().all(|(other, _)| other != ending), "{ending}");
        }
    }

    #[test]
    fn what_may_run_scripts_is_a_document() {
        let documents: Vec<_> =
            KINDS.iter().filter(|(_, kind)| is_document(kind)).map(|(ending, _)| *ending).collect();
        for ending in ["html", "htm", "svg", "xml", "xhtml", "xsl"] {
            assert!(documents.contains(&ending), "{ending}");
        }
        assert!(!is_document(of("a.js")) && !is_document(of("a.png")) && !is_document(OTHER));
    }
}
