//! Opening a folder: which versions there are, what is damaged, and where writing goes on.
//!
//! Logs are read from the newest to the oldest, so it is known what is dead before it is found, and only
//! one log is looked at at a time. What was found is handed on at once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use blake3::Hash;

use super::{
    contents::{DRAFT, Large},
    engine::{Engine, LogState, heads_name},
    error::{OpenError, failed},
    file::{Disk, FolderEntry},
    heads,
    limits::REMARKS_MAX,
    node,
    record::heads as each_head,
    record::{BadHeader, HEADER_BYTES, Head, LogHeader, RecordKind, RecordValue, Spot, ended_by},
    scan::{LogPart, Scanned, scan},
    table::{OpenLog, Place, SharedTable},
    types::{DiskOptions, Found, FoundKind, Opened},
};
use crate::ring::item::Ticket;

/// What the folder may have in it besides what a user finds there: a new file system has `lost+found`.
const KNOWN: &[&str] = &["lock", "log", "files", "node.json", "node.json.new", "lost+found"];
/// What the names of folders begin with that were set aside.
pub const ASIDE: &str = "aside-";

/// Opens a folder, or makes a store in an empty one. Blocks.
///
/// # Errors
///
/// Nothing was changed then, but folders may have been made.
pub fn open(
    disk: Arc<dyn Disk>,
    folder: &Path,
    options: DiskOptions,
    table: SharedTable,
    on_found: &mut dyn FnMut(Found),
) -> Result<(Engine, Opened), OpenError> {
    check_folder(&*disk, folder)?;
    let mut opening = Opening {
        engine: Engine::new(disk.clone(), folder, options, table),
        opened: Opened::default(),
        remarks: 0,
        files: HashMap::new(),
        drafts: Vec::new(),
        newest_damaged: 0,
        dead: BTreeMap::new(),
        on_found,
    };
    opening.read_node()?;
    let logs = opening.list_logs()?;
    for folder in ["log", "files"] {
        let path = opening.engine.folder.join(folder);
        disk.make_folder(&path).map_err(failed(&path))?;
    }
    disk.sync_folder(folder).map_err(failed(folder))?;
    opening.list_files()?;
    opening.read_logs(logs)?;
    Ok(opening.finish())
}

/// Refuses a folder that is in use for something else.
pub fn check_folder(disk: &dyn Disk, folder: &Path) -> Result<(), OpenError> {
    let entries = disk.list(folder).map_err(failed(folder))?;
    let is_known = |name: &str| KNOWN.contains(&name) || name.starts_with(ASIDE);
    let is_ours = |name: &str| name == "log" || name == "node.json";
    let names: Vec<_> = entries.iter().map(|it| it.name.to_string_lossy()).collect();
    match names.iter().find(|name| !is_known(name)) {
        Some(strange) if !names.iter().any(|name| is_ours(name)) => {
            Err(OpenError::Strange { folder: folder.into(), strange: strange.to_string() })
        }
        _ => Ok(()),
    }
}

/// A log whose header can be read.
struct FoundLog {
    header: LogHeader,
    log: OpenLog,
    path: PathBuf,
    bytes: u32,
    /// How much of it counts, if the log after it says so.
    counts: Option<u32>,
}

struct Opening<'a> {
    engine: Engine,
    opened: Opened,
    /// How many there are, described or not.
    remarks: usize,
    /// The contents in files of their own, with the lengths of the files.
    files: HashMap<Hash, u64>,
    /// Files that were not completed.
    drafts: Vec<PathBuf>,
    /// The newest log that is not used.
    newest_damaged: u32,
    /// Records that count no more, by log.
    dead: BTreeMap<u32, HashSet<u32>>,
    on_found: &'a mut dyn FnMut(Found),
}

impl Opening<'_> {
    fn remark(&mut self, remark: String) {
        self.remarks += 1;
        if self.remarks <= REMARKS_MAX {
            self.opened.remarks.push(remark);
        }
    }

    fn remark_lost(&mut self, log: &Path) {
        self.remark(format!("{} has lost what was in it", log.display()));
    }

    fn read_node(&mut self) -> Result<(), OpenError> {
        let folder = self.engine.folder.clone();
        match node::read(&*self.engine.disk, &folder)? {
            Ok(node) => self.opened.node = node,
            Err(damage) => self.remark(damage),
        }
        match &self.opened.node {
            Some(node) if node.ring != self.engine.options.ring => {
                Err(OpenError::OtherRing { folder, ring: node.ring.clone() })
            }
            _ => Ok(()),
        }
    }

    /// All logs, the oldest first.
    fn list_logs(&mut self) -> Result<Vec<FoundLog>, OpenError> {
        let folder = self.engine.log_folder();
        let disk = self.engine.disk.clone();
        let entries = match disk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed(&folder))?,
        };
        let (mut logs, mut begun) = (Vec::new(), Vec::new());
        for entry in entries.iter().filter(|entry| !entry.is_folder) {
            let Some((number, ending)) = entry.text().and_then(number_of) else { continue };
            let path = folder.join(&entry.name);
            self.engine.next_number = self.engine.next_number.max(number.saturating_add(1));
            if ending != "log" {
                continue;
            }
            match self.read_header(number, &path, entry.bytes)? {
                Some(log) => logs.push(log),
                None if entry.bytes <= u64::from(HEADER_BYTES) => begun.push((number, path)),
                None => {
                    self.newest_damaged = self.newest_damaged.max(number);
                    let path = path.display();
                    self.remark(format!("{path} is damaged at its beginning, so it is not used"));
                }
            }
        }
        logs.sort_unstable_by_key(|log| log.header.number);
        let before: Vec<Spot> = logs.iter().map(|log| log.header.before).collect();
        for log in &mut logs {
            let next = before.iter().find(|before| before.log == log.header.number);
            log.counts = next.map(|before| before.offset);
        }
        for (number, path) in begun {
            // The log after it knows the one before. If that is an earlier one, nothing was ever
            // written to this one, and neither if there is none after it.
            let after = logs.iter().find(|log| log.header.number > number);
            match after.map(|log| log.header.before) {
                Some(before) if before.log > number => self.remark_lost(&path),
                Some(before) if before.log == number && before.offset > HEADER_BYTES => {
                    self.remark_lost(&path);
                }
                _ => drop(disk.remove(&path)),
            }
        }
        let has = |number| logs.iter().any(|log| log.header.number == number);
        for entry in &entries {
            let parts = entry.text().and_then(number_of);
            let is_left_over = match parts {
                Some((number, "heads")) => !has(number),
                _ => entry.text().is_some_and(|name| name.ends_with(DRAFT)),
            };
            if is_left_over {
                let _ = disk.remove(&folder.join(&entry.name));
            }
        }
        Ok(logs)
    }

    fn read_header(
        &mut self,
        number: u32,
        path: &Path,
        bytes: u64,
    ) -> Result<Option<FoundLog>, OpenError> {
        let mut header = [0; HEADER_BYTES as usize];
        let opened = self.engine.disk.open(path);
        let read = opened.and_then(|file| file.read_at(&mut header, 0).map(|read| (file, read)));
        let (file, read) = read.map_err(failed(path))?;
        match LogHeader::decode(&header[..read]) {
            Ok(header) if header.number == number => {
                let log = OpenLog { file, key: header.key };
                // A log cannot be longer than its offsets.
                let bytes = bytes.min(u64::from(u32::MAX)) as u32;
                Ok(Some(FoundLog { header, log, path: path.into(), bytes, counts: None }))
            }
            Err(BadHeader::NewerFormat(format)) => {
                let folder = self.engine.folder.clone();
                Err(OpenError::NewerFormat { folder, format: u64::from(format) })
            }
            _ => Ok(None),
        }
    }

    /// The contents in files of their own.
    fn list_files(&mut self) -> Result<(), OpenError> {
        let disk = self.engine.disk.clone();
        let root = self.engine.folder.join("files");
        let is_draft = |entry: &FolderEntry| entry.text().is_some_and(|it| it.ends_with(DRAFT));
        for folder in disk.list(&root).map_err(failed(&root))? {
            let path = root.join(&folder.name);
            if !folder.is_folder {
                self.drafts.extend(is_draft(&folder).then_some(path));
                continue;
            }
            for entry in disk.list(&path).map_err(failed(&path))? {
                let file = path.join(&entry.name);
                let hash = entry.text().and_then(|name| Hash::from_hex(name).ok());
                match hash.filter(|hash| self.engine.contents.path(*hash) == file) {
                    Some(hash) => drop(self.files.insert(hash, entry.bytes)),
                    None => self.drafts.extend(is_draft(&entry).then_some(file)),
                }
            }
        }
        Ok(())
    }

    fn read_logs(&mut self, logs: Vec<FoundLog>) -> Result<(), OpenError> {
        let newest = logs.last().map(|log| log.header.number);
        let can_continue = newest.is_some_and(|newest| newest > self.newest_damaged);
        for log in &logs {
            let state = LogState::new(log.bytes);
            self.engine.logs.insert(log.header.number, state);
        }
        for log in logs.iter().rev() {
            let number = log.header.number;
            self.engine.table.lock().logs.insert(number, log.log.clone());
            let is_newest = Some(number) == newest && can_continue;
            self.read_log(log, is_newest)?;
            self.dead.remove(&number);
        }
        Ok(())
    }

    fn read_log(&mut self, log: &FoundLog, is_newest: bool) -> Result<(), OpenError> {
        let number = log.header.number;
        let to = log.counts.unwrap_or(log.bytes).min(log.bytes);
        if let Some(counts) = log.counts.filter(|counts| *counts > log.bytes) {
            let (path, bytes) = (log.path.display(), log.bytes);
            self.remark(format!("{path} ends at {bytes}, and had {counts} bytes"));
        }
        let (disk, key) = (self.engine.disk.clone(), &log.log.key);
        let heads = heads::read(&*disk, &self.engine.log_folder(), number, key, log.bytes);
        let covers = heads.as_ref().map_or(HEADER_BYTES, |it| it.covers).max(HEADER_BYTES);
        let scanned = scan(&LogPart {
            file: &*log.log.file,
            key: *key,
            from: covers,
            to,
            synced: covers,
            is_newest,
        });
        for gap in &scanned.gaps {
            let what = if scanned.is_unreadable { "cannot be read" } else { "is damaged" };
            let path = log.path.display();
            self.remark(format!("{path} {what} from byte {} to byte {}", gap.from, gap.to));
        }
        if is_newest {
            self.go_on_with(log, &scanned)?;
        }
        let has_heads = scanned.heads.is_empty() && covers > HEADER_BYTES;
        let end = if is_newest { scanned.end.max(covers) } else { to };
        let has_rest = !is_newest && to < log.bytes;
        self.engine.logs.insert(number, LogState { has_heads, has_rest, ..LogState::new(end) });
        self.note_deaths(number, &scanned.heads);
        if let Some(heads) = heads {
            let noted = heads.each(|some| self.note_deaths(number, some));
            let taken = noted.and_then(|()| heads.each(|some| self.take_all(number, some)));
            if taken.is_err() {
                let path = self.engine.log_folder().join(heads_name(number));
                self.remark(format!("{} cannot be read again", path.display()));
            }
        }
        self.take_all(number, &scanned.heads);
        Ok(())
    }

    /// Cuts off what is torn, and makes sure that the rest is on the disk, so that it can be written to.
    fn go_on_with(&mut self, log: &FoundLog, scanned: &Scanned) -> Result<(), OpenError> {
        let (number, file) = (log.header.number, &log.log.file);
        self.engine.newest = Spot { log: number, offset: scanned.end };
        self.opened.torn_bytes = u64::from(log.bytes - scanned.end);
        let cut = || if scanned.end < log.bytes { file.cut(scanned.end.into()) } else { Ok(()) };
        // A process that has ended may not have synced what it had written.
        let result = cut().and_then(|()| file.sync());
        let folder = self.engine.log_folder();
        let result = result.and_then(|()| self.engine.disk.sync_folder(&folder));
        result.map_err(failed(&log.path))?;
        let is_whole = scanned.gaps.is_empty() && !scanned.is_unreadable;
        self.engine.active = is_whole.then_some(number);
        Ok(())
    }

    fn note_deaths(&mut self, number: u32, heads: &[u8]) {
        let mut said = Vec::new();
        ended_by(heads, |spot| {
            if spot.log <= number && self.engine.logs.contains_key(&spot.log) {
                self.dead.entry(spot.log).or_default().insert(spot.offset);
                said.push(spot);
            }
        });
        let log = self.engine.logs.get_mut(&number).expect("it is being read");
        log.add_deaths(&said);
    }

    fn take_all(&mut self, number: u32, heads: &[u8]) {
        each_head(heads).for_each(|(head, head_bytes)| self.take(number, head, head_bytes));
    }

    /// Takes a version that was found, if it counts.
    fn take(&mut self, number: u32, head: Head, head_bytes: usize) {
        let is_dead = self.dead.get(&number).is_some_and(|dead| dead.contains(&head.offset));
        let bytes = head_bytes as u32 + head.content_bytes();
        let RecordKind::Version { name, version, value } = head.kind else { return };
        let spot = Spot { log: number, offset: head.offset };
        if is_dead {
            return;
        }
        let ticket = Ticket(self.opened.versions + 1);
        let kind = match value {
            RecordValue::Tombstone => FoundKind::Tombstone,
            RecordValue::Small { hash, bytes } => FoundKind::Content { hash, bytes: bytes.into() },
            RecordValue::Large { hash, bytes } => {
                let large = Large { hash, bytes };
                if self.files.get(&hash) != large.file_bytes().as_ref() {
                    let path = self.engine.contents.path(hash);
                    self.remark(format!("{} is missing or has another length", path.display()));
                    self.engine.deaths.push(spot);
                    return;
                }
                self.engine.contents.hold(large);
                self.engine.table.lock().large.insert(ticket.0, large);
                FoundKind::Content { hash, bytes }
            }
        };
        self.opened.versions = ticket.0;
        self.engine.table.lock().places.insert(ticket.0, Place { spot, bytes });
        let log = self.engine.logs.get_mut(&number).expect("it is being read");
        log.live_bytes += u64::from(bytes);
        (self.on_found)(Found { ticket, name, version, kind });
    }

    fn finish(mut self) -> (Engine, Opened) {
        let contents = &self.engine.contents;
        let unused = self.files.keys().filter(|hash| !contents.is_here(**hash));
        let mut unused: Vec<PathBuf> = unused.map(|hash| contents.path(*hash)).collect();
        // What a damaged record has named is kept until the damage is gone.
        if self.remarks > 0 {
            unused.clear();
        }
        for path in unused.iter().chain(&self.drafts) {
            let _ = self.engine.disk.remove(path);
        }
        let more = self.remarks - self.opened.remarks.len();
        if more > 0 {
            self.opened.remarks.push(format!("and {more} more damages"));
        }
        (self.engine, self.opened)
    }
}

/// `0000000007.log` is number 7 and `log`.
fn number_of(name: &str) -> Option<(u32, &str)> {
    let (digits, ending) = name.split_once('.')?;
    let is_number = digits.len() == 10 && digits.bytes().all(|it| it.is_ascii_digit());
    Some((digits.parse().ok().filter(|number| is_number && *number > 0)?, ending))
}
