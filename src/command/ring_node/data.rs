//! The folder in which a node keeps its files.

use std::{net::SocketAddr, path::Path};

use super::settings::Settings;
use crate::{
    cli,
    net::wall_ms,
    serve::lines::Lines,
    store::{
        self, OpenedStore,
        disk::{DiskOptions, DiskStore, OpenError},
    },
};

/// What is known of a folder once it is open.
pub(super) struct Data {
    pub store: OpenedStore,
    /// Where a node listened that used it before.
    pub address: Option<SocketAddr>,
    /// What users are to know.
    remarks: Vec<String>,
}

impl Data {
    /// Opens the folder. What has been away for too long is set aside: others may have forgotten what was
    /// deleted meanwhile.
    pub fn open(folder: &Path, settings: &Settings) -> Result<Self, OpenError> {
        let mut remarks = Vec::new();
        let saved = DiskStore::saved_node(folder).unwrap_or_default();
        let address = saved.as_ref().map(|saved| saved.address);
        let ttl_ms = settings.tombstone_ttl.as_millis() as u64;
        let now_ms = wall_ms();
        if let Some(saved) = saved
            && saved.ring == settings.ring
            && saved.alive_ms.saturating_add(ttl_ms) < now_ms
        {
            let aside = DiskStore::set_aside(folder, now_ms)?;
            remarks.push(format!(
                "this node was away for longer than deletions are remembered (--tombstone-ttl): \
                 what it had is now in {}, and it begins with nothing",
                aside.display()
            ));
        }
        let options =
            DiskOptions { durability: settings.durability, ..DiskOptions::new(&settings.ring) };
        let store = store::open(folder, options, settings.store_bytes_max, settings.keep_versions)?;
        remarks.extend(store.opened.remarks.iter().map(|it| format!("damaged: {it}")));
        let files = cli::counted(store.index.len(), "file");
        remarks.push(format!("{files} in {}", folder.display()));
        Ok(Self { store, address, remarks })
    }

    /// Tells users what opening it has shown.
    pub fn say(&self, lines: &Lines) {
        self.remarks.iter().for_each(|remark| lines.say_at_once(remark));
    }
}
