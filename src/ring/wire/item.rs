//! The keys at the end of a line that say which version of a file comes after it.

use super::{
    line::{BadKey, Line, push_line},
    refusal::Reject,
};
use crate::ring::item::{Body, Content, Item};

/// Appends a line that begins with `head` and ends with the keys of the item, if there is one.
pub(super) fn push_item<'a>(
    out: &mut Vec<u8>,
    head: std::fmt::Arguments<'_>,
    item: Option<&'a Item>,
) -> Option<&'a Content> {
    let Some(Item { version, hash, body }) = item else {
        push_line(out, head);
        return None;
    };
    let content = body.content();
    let len = content.len();
    push_line(out, format_args!("{head} version={version} blake3={hash} len={len}"));
    Some(content)
}

/// The item that a line describes, if it has one, with its content still to come.
pub(super) fn item(line: Line<'_>) -> Result<Option<Item>, Reject> {
    if line.key("len").is_none() {
        return Ok(None);
    }
    let bytes = line.number("len")?;
    let bytes = usize::try_from(bytes).map_err(|_| BadKey("len"))?;
    let hash = line.key("blake3").and_then(|it| blake3::Hash::from_hex(it).ok());
    let hash = hash.ok_or(BadKey("blake3"))?;
    Ok(Some(Item { version: line.parsed("version")?, hash, body: Body::Coming { bytes } }))
}
