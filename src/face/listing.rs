//! The names in a folder, as a page or as JSON: one page of a bounded length at a time.

use std::{cell::Cell, fmt::Write as _, rc::Rc};

use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};
use serde_json::json;
use smol::future;

use super::{
    body, conditions,
    limits::{
        FILES_NAMES_MAX, LISTING_ASKS_MAX, LISTING_NAMES_FEW, LISTING_NAMES_MAX, LISTINGS_MAX,
        SEARCH_ASKS_MAX,
    },
    negotiation::Form,
    reply::{self, Answer, escaped},
};
use crate::{
    net::handle::{NodeHandle, Reply},
    ring::{
        limits::{LIST_NAMES_MAX, NAME_BYTES_MAX},
        message::{Answer as NodeAnswer, FileRow, Refusal, Request, Status},
        name::encode,
        size,
    },
};

/// How many lists are being made or sent.
#[derive(Clone, Default)]
pub(super) struct Listings(Rc<Cell<usize>>);

/// One of them.
pub(super) struct Listing(Rc<Cell<usize>>);

impl Listings {
    /// Begins one.
    pub(super) fn begin(&self) -> Result<Listing, Refusal> {
        if self.0.get() >= LISTINGS_MAX {
            let reason = "too many lists are being sent; try again";
            return Err(Refusal::new(Status::Unavailable, reason));
        }
        self.0.set(self.0.get() + 1);
        Ok(Listing(self.0.clone()))
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What is directly in a folder.
enum Entry {
    File(FileRow),
    /// Its name in the folder, without the `/`.
    Folder(String),
}

/// A page of a folder.
struct FolderPage {
    entries: Vec<Entry>,
    /// After which name the next page begins, if there is one.
    next: Option<String>,
}

/// Whether any name begins with this.
pub(super) async fn is_any(node: &NodeHandle, prefix: &str) -> Result<bool, Refusal> {
    let (files, _) = names(node, prefix, "", 1, false).await?;
    Ok(!files.is_empty())
}

/// A page of the names in a folder; `None`: there is no such folder.
pub(super) async fn folder(
    node: &NodeHandle,
    prefix: &str,
    after: &str,
    form: Form,
    listing: Listing,
) -> Result<Option<Answer>, Refusal> {
    let page = read(node, prefix, after).await?;
    if page.entries.is_empty() && after.is_empty() && !prefix.is_empty() {
        return Ok(None);
    }
    let (kind, text) = match form {
        Form::Json => ("application/json", as_json(prefix, &page)),
        Form::Html | Form::Any => ("text/html; charset=utf-8", as_html(prefix, after, &page)),
    };
    let mut answer = reply::fresh(StatusCode::OK, kind, body::held(text, listing));
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    reply::as_page(&mut answer);
    Ok(Some(answer))
}

async fn read(node: &NodeHandle, prefix: &str, after: &str) -> Result<FolderPage, Refusal> {
    let mut entries = Vec::new();
    let mut after = after.to_owned();
    let mut limit = LIST_NAMES_MAX;
    for _ in 0..LISTING_ASKS_MAX {
        let (files, more) = names(node, prefix, &after, limit, true).await?;
        limit = LIST_NAMES_MAX;
        let last = files.last().map(|row| row.name.clone());
        for row in files {
            if row.name.as_str() <= after.as_str() {
                continue;
            }
            if entries.len() == LISTING_NAMES_MAX {
                return Ok(FolderPage { entries, next: Some(after) });
            }
            let rest = &row.name.as_str()[prefix.len()..];
            match rest.split_once('/') {
                None => {
                    after = row.name.as_str().to_owned();
                    entries.push(Entry::File(row));
                }
                Some((folder, _)) => {
                    after = behind(&format!("{prefix}{folder}/"));
                    entries.push(Entry::Folder(folder.to_owned()));
                }
            }
        }
        if !more {
            return Ok(FolderPage { entries, next: None });
        }
        if last.is_some_and(|last| after.as_str() > last.as_str()) {
            // There may be many folders with many names: of the next, only a few are asked for.
            limit = LISTING_NAMES_FEW;
        }
        // Others have their turn.
        future::yield_now().await;
    }
    Ok(FolderPage { entries, next: Some(after) })
}

/// A text behind all names that begin so.
fn behind(prefix: &str) -> String {
    let last = "\u{10ffff}";
    prefix.to_owned() + &last.repeat(NAME_BYTES_MAX / last.len())
}

/// The names that begin so, behind `after`; and whether there are more.
pub(super) async fn names(
    node: &NodeHandle,
    prefix: &str,
    after: &str,
    limit: usize,
    hashes: bool,
) -> Result<(Vec<FileRow>, bool), Refusal> {
    let (prefix, after) = (prefix.to_owned(), after.to_owned());
    match node.ask(Request::List { prefix, after, limit, hashes }).await {
        Reply::Whole(NodeAnswer::Listing { files, more }) => Ok((files, more)),
        other => Err(reply::refusal_of(other)),
    }
}

/// Which files of the ring are wanted.
pub(super) struct Wanted<'a> {
    /// How their names begin.
    pub(super) prefix: &'a str,
    /// What their names contain; upper and lower case are alike.
    pub(super) contains: &'a str,
    pub(super) after: &'a str,
    pub(super) limit: Option<usize>,
}

/// A page of all names of the ring. One that is searched may be short, or empty, and not be the last.
pub(super) async fn files(
    node: &NodeHandle,
    wanted: &Wanted<'_>,
    listing: Listing,
) -> Result<Answer, Refusal> {
    let limit = wanted.limit.unwrap_or(FILES_NAMES_MAX).clamp(1, FILES_NAMES_MAX);
    let contains = wanted.contains.to_lowercase();
    let (mut rows, mut next) = (Vec::new(), Some(wanted.after.to_owned()));
    for _ in 0..SEARCH_ASKS_MAX {
        let Some(after) = next.take() else { break };
        let asked = if contains.is_empty() { limit } else { LIST_NAMES_MAX };
        let (files, more) = names(node, wanted.prefix, &after, asked, true).await?;
        let last = files.last().filter(|_| more).map(|row| row.name.to_string());
        for row in files {
            if contains.is_empty() || row.name.as_str().to_lowercase().contains(&contains) {
                rows.push(row);
            }
        }
        next = last;
        if rows.len() >= limit {
            break;
        }
        // Others have their turn.
        future::yield_now().await;
    }
    if rows.len() > limit {
        rows.truncate(limit);
        next = rows.last().map(|row| row.name.to_string());
    }
    let rows: Vec<_> = rows.iter().map(|row| row_as_json(row, 0)).collect();
    let text = format!("{}\n", json!({ "files": rows, "next": next }));
    Ok(reply::fresh(StatusCode::OK, "application/json", body::held(text, listing)))
}

/// A file as JSON, without the first bytes of its name.
fn row_as_json(row: &FileRow, prefix_bytes: usize) -> serde_json::Value {
    json!({
        "name": &row.name.as_str()[prefix_bytes..],
        "bytes": row.bytes,
        "modified_ms": row.version.stamp.wall_ms(),
        "version": row.version.to_string(),
        "blake3": row.hash.map(|hash| hash.to_hex().to_string()),
    })
}

fn as_json(prefix: &str, page: &FolderPage) -> String {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in &page.entries {
        match entry {
            Entry::File(row) => files.push(row_as_json(row, prefix.len())),
            Entry::Folder(name) => folders.push(format!("{name}/")),
        }
    }
    let next = &page.next;
    format!("{}\n", json!({ "folder": prefix, "folders": folders, "files": files, "next": next }))
}

fn as_html(prefix: &str, after: &str, page: &FolderPage) -> String {
    let mut rows = String::new();
    if prefix.is_empty() && after.is_empty() {
        rows.push_str(
            "<p>This is a node of a ring; /_ring/ is its page. A file named index.html would be here \
             instead.</p>\n",
        );
    }
    rows.push_str("<table>\n<tr><th>Name</th><th>Size</th><th>Written</th></tr>\n");
    if !prefix.is_empty() {
        rows.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in &page.entries {
        let _ = match entry {
            Entry::Folder(name) => {
                let (to, shown) = (encode(name), escaped(name));
                writeln!(rows, "<tr><td><a href=\"{to}/\">{shown}/</a></td><td></td><td></td></tr>")
            }
            Entry::File(row) => {
                let name = &row.name.as_str()[prefix.len()..];
                let (to, shown) = (encode(name), escaped(name));
                let bytes = size::in_words(row.bytes.unwrap_or_default() as u64);
                let at = conditions::http_date(row.version.stamp.wall_ms() / 1000);
                writeln!(
                    rows,
                    "<tr><td><a href=\"{to}\">{shown}</a></td><td>{bytes}</td><td>{at}</td></tr>"
                )
            }
        };
    }
    rows.push_str("</table>\n");
    if let Some(next) = &page.next {
        let _ = writeln!(rows, "<p><a href=\"?after={}\">More</a></p>", encode(next));
    }
    reply::page(&format!("/{prefix}"), &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_are_the_names_in_a_folder_and_no_others() {
        let after = behind("a/b/");
        let longest = format!("a/b/{}", "\u{10ffff}".repeat(255));
        assert!(longest.len() == NAME_BYTES_MAX && longest.as_str() < after.as_str());
        assert!("a/b0" > after.as_str() && "a/c" > after.as_str() && "a/b/x" < after.as_str());
    }

    #[test]
    fn names_do_no_harm_in_a_page() {
        let version = "0000000000000001@127.0.0.1:1".parse().unwrap();
        let name = "d/<script>\"&'".parse_name();
        let row = FileRow { name, version, bytes: Some(1), hash: None };
        let entries = vec![Entry::File(row), Entry::Folder("javascript:alert(1)".into())];
        let page = as_html("d/", "", &FolderPage { entries, next: Some("d/\"><x".into()) });
        assert!(
            page.contains("<a href=\"%3Cscript%3E%22%26%27\">&lt;script&gt;&quot;&amp;&#39;</a>")
        );
        assert!(page.contains("<a href=\"javascript%3Aalert%281%29/\">"), "{page}");
        assert!(page.contains("?after=d/%22%3E%3Cx\""), "{page}");
    }

    trait ParseName {
        fn parse_name(&self) -> crate::ring::name::Name;
    }

    impl ParseName for str {
        fn parse_name(&self) -> crate::ring::name::Name {
            crate::ring::name::Name::new(self).unwrap()
        }
    }
}
