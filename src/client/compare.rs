//! Whether a content has to be sent at all.

use super::{content::Content, error::Error, failover::Client, requests::Held};
use crate::ring::{message::FileRow, name::Name};

/// Whether a node holds this content under this name. Of a large one, the hash is computed only where
/// the sizes are the same.
pub(super) async fn held(
    client: &mut Client,
    name: &Name,
    content: &mut Content<'_>,
) -> Result<Held, Error> {
    let Content::File(file) = content else {
        return match content.hash().await? {
            Some(hash) => client.held(name, hash).await,
            None => Ok(Held::Unknown),
        };
    };
    let listed = client.listed(name).await?;
    let same_size = |row: &FileRow| row.bytes.map(|bytes| bytes as u64) == Some(file.bytes);
    let Some(FileRow { version, hash, .. }) = listed.filter(same_size) else {
        return Ok(Held::Other);
    };
    Ok(match hash {
        None => Held::Unknown,
        Some(hash) if hash == file.hash().await? => Held::Same(version),
        Some(_) => Held::Other,
    })
}
