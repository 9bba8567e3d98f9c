//! The keys at the end of a line that say which version of a name comes after it.

use std::net::SocketAddr;

use super::{
    line::{BadKey, Line, push_line},
    refusal::Reject,
};
use crate::ring::{
    digits::Hex,
    item::{Body, Content, Item, ItemValue},
};

/// Appends a line that begins with `head` and ends with the keys of the item, if there is one.
pub(super) fn push_item<'a>(
    out: &mut Vec<u8>,
    head: std::fmt::Arguments<'_>,
    item: Option<&'a Item>,
) -> Option<&'a Content> {
    let Some(Item { version, value }) = item else {
        push_line(out, head);
        return None;
    };
    match value {
        ItemValue::File { hash, body: Body::Apart { at, bytes } } => {
            let head = format_args!("{head} version={version}");
            push_line(out, format_args!("{head}{}", apart(*hash, *at, *bytes)));
            None
        }
        ItemValue::File { hash, body } => {
            let (hash, content) = (Hex(*hash), body.content());
            let len = content.len();
            push_line(out, format_args!("{head} version={version} blake3={hash} len={len}"));
            Some(content)
        }
        ItemValue::Tombstone => {
            push_line(out, format_args!("{head} version={version} deleted=1"));
            None
        }
    }
}

/// The keys of a content that is not sent with the line.
pub(super) fn apart(hash: blake3::Hash, at: SocketAddr, bytes: usize) -> String {
    format!(" blake3={hash} size={bytes} at={at}")
}

/// The item that a line describes, if it has one, with the content of a file still to come.
pub(super) fn item(line: Line<'_>) -> Result<Option<Item>, Reject> {
    if line.key("deleted") == Some("1") && line.key("len").is_none() {
        return Ok(Some(Item::tombstone(line.parsed("version")?)));
    }
    let (is_here, is_apart) = (line.key("len").is_some(), line.key("size").is_some());
    if !is_here && !is_apart {
        return Ok(None);
    }
    let key = if is_here { "len" } else { "size" };
    let bytes = usize::try_from(line.number(key)?).map_err(|_| BadKey(key))?;
    let hash = line.key("blake3").and_then(|it| blake3::Hash::from_hex(it).ok());
    let hash = hash.ok_or(BadKey("blake3"))?;
    let body = match is_here {
        true => Body::Coming { bytes },
        false => Body::Apart { at: line.parsed("at")?, bytes },
    };
    let value = ItemValue::File { hash, body };
    Ok(Some(Item { version: line.parsed("version")?, value }))
}
