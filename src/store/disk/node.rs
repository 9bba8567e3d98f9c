//! `node.json`: what a node wants to know of itself when it starts again.

use std::{io, net::SocketAddr, path::Path};

use serde_json::{Value, json};

use super::{
    error::{OpenError, failed},
    file::Disk,
    limits::{FORMAT, NODE_JSON_BYTES_MAX},
    types::SavedNode,
};
use crate::ring::name::is_ring_name;

const NAME: &str = "node.json";
const DRAFT: &str = "node.json.new";

/// Writes it under another name, syncs it, and gives it its name. So it is there whole, before and
/// after. Blocks.
pub fn write(disk: &dyn Disk, folder: &Path, node: &SavedNode) -> io::Result<()> {
    let members: Vec<String> = node.members.iter().map(ToString::to_string).collect();
    let mut json = json!({
        "format": FORMAT,
        "ring": node.ring,
        "address": node.address.to_string(),
        "incarnation": node.incarnation,
        "members": members,
        "alive_ms": node.alive_ms,
    });
    json["check"] = check(node).into();
    let text = format!("{json:#}\n");
    let draft = folder.join(DRAFT);
    let file = disk.create(&draft)?;
    file.write_at(text.as_bytes(), 0)?;
    file.sync()?;
    disk.rename(&draft, &folder.join(NAME))?;
    disk.sync_folder(folder)
}

/// Reads it. The inner error says that it is damaged. Blocks.
pub fn read(
    disk: &dyn Disk,
    folder: &Path,
) -> Result<Result<Option<SavedNode>, String>, OpenError> {
    let path = folder.join(NAME);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(None)),
        file => file.map_err(failed(&path))?,
    };
    let bytes = file.bytes().map_err(failed(&path))?.min(NODE_JSON_BYTES_MAX);
    let mut text = vec![0; bytes as usize];
    let read = file.read_at(&mut text, 0).map_err(failed(&path))?;
    text.truncate(read);
    let damage = || format!("{} is damaged: the node begins anew", path.display());
    let Ok(json) = serde_json::from_slice::<Value>(&text) else { return Ok(Err(damage())) };
    match json["format"].as_u64() {
        Some(format) if format > u64::from(FORMAT) => {
            Err(OpenError::NewerFormat { folder: folder.into(), format })
        }
        _ => Ok(decode(json).map(Some).ok_or_else(damage)),
    }
}

fn decode(json: Value) -> Option<SavedNode> {
    let address = |it: &Value| -> Option<SocketAddr> { it.as_str()?.parse().ok() };
    let node = SavedNode {
        ring: json["ring"].as_str().filter(|ring| is_ring_name(ring))?.into(),
        address: address(&json["address"])?,
        incarnation: json["incarnation"].as_u64()?,
        members: json["members"].as_array()?.iter().map(address).collect::<Option<_>>()?,
        alive_ms: json["alive_ms"].as_u64()?,
    };
    (json["check"].as_str()? == check(&node)).then_some(node)
}

/// What tells a damaged file from a whole one.
fn check(node: &SavedNode) -> String {
    let SavedNode { ring, address, incarnation, members, alive_ms } = node;
    let mut text = format!("{FORMAT} {ring} {address} {incarnation} {alive_ms}");
    members.iter().for_each(|member| text.push_str(&format!(" {member}")));
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}
