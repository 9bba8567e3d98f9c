//! `ring-client get`.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::outcome::{Failure, print_json, valid};
use crate::{
    cli::{Exit, UsageError},
    client::{error::Error, failover::Client, files, verbs::Get},
};

pub(super) async fn get(mut client: Client, verb: Get) -> Result<Exit, Failure> {
    let name = valid(&verb.name)?;
    if verb.json && verb.output.as_deref() == Some("-") {
        return Err(UsageError("--json and -o - would both write to stdout".into()).into());
    }
    let file = match client.get(&name).await {
        Err(Error::Status { status: 404, .. }) => return Err(Failure::Missing(name)),
        result => result?,
    };
    let path = match verb.output.as_deref() {
        None if verb.json => None,
        None | Some("-") => {
            let mut stdout = io::stdout().lock();
            let written = stdout.write_all(&file.content).and_then(|()| stdout.flush());
            written.map_err(Failure::Stdout)?;
            None
        }
        Some(path) => {
            let mut path = PathBuf::from(path);
            if path.is_dir() {
                path.extend(Path::new(name.as_str()).file_name());
            }
            match files::save(&path, &file.content) {
                Ok(()) => Some(path),
                Err(error) => return Err(Failure::File(path, error)),
            }
        }
    };
    if verb.json {
        print_json(&json!({
            "name": name.as_str(),
            "bytes": file.content.len(),
            "version": file.version.to_string(),
            "blake3": blake3::hash(&file.content).to_hex().as_str(),
            "path": path.map(|path| path.display().to_string()),
        }))?;
    }
    Ok(Exit::Done)
}
