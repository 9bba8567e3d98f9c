//! How far a transfer is: counted here, shown by whoever wants to.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// Counts bytes and files. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    bytes: Cell<u64>,
    bytes_total: Cell<Option<u64>>,
    files: Cell<usize>,
    files_total: Cell<Option<usize>>,
    name: RefCell<Option<String>>,
}

/// How far it is at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The one file that it is about. `None`: it is about several.
    pub name: Option<String>,
    pub bytes: u64,
    /// `None`: not known.
    pub bytes_total: Option<u64>,
    pub files: usize,
    /// `None`: not known.
    pub files_total: Option<usize>,
}

impl Meter {
    /// For one file of this name.
    pub fn of_one(name: &str) -> Self {
        let meter = Self::default();
        *meter.0.name.borrow_mut() = Some(name.to_owned());
        meter
    }

    /// It is about so many files, if that is known, which have so many bytes, if that is known.
    pub fn expect(&self, files: Option<usize>, bytes: Option<u64>) {
        self.0.files_total.set(files);
        self.0.bytes_total.set(bytes);
    }

    /// The one file has so many bytes. Of several files it was known before, or never is.
    pub fn one_has(&self, bytes: u64) {
        if self.0.name.borrow().is_some() {
            self.0.bytes_total.set(Some(bytes));
        }
    }

    /// So many bytes have moved.
    pub fn moved(&self, bytes: u64) {
        self.0.bytes.set(self.0.bytes.get() + bytes);
    }

    /// So many bytes that have moved have to move again.
    pub fn back(&self, bytes: u64) {
        self.0.bytes.set(self.0.bytes.get().saturating_sub(bytes));
    }

    /// A file is done, or will not be.
    pub fn file_done(&self) {
        self.0.files.set(self.0.files.get() + 1);
    }

    /// So many bytes need not move.
    pub fn spared(&self, bytes: u64) {
        let total = self.0.bytes_total.get();
        self.0.bytes_total.set(total.map(|total| total.saturating_sub(bytes)));
    }

    pub fn state(&self) -> State {
        State {
            name: self.0.name.borrow().clone(),
            bytes: self.0.bytes.get(),
            bytes_total: self.0.bytes_total.get(),
            files: self.0.files.get(),
            files_total: self.0.files_total.get(),
        }
    }
}
