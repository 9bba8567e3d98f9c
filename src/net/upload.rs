//! A large file that a client sends, on its way to the disk: of it, only a few pieces are in memory.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{driver::Driver, limits::PIECE_BYTES_MAX, pieces::Pieces};
use crate::ring::{
    ArrivedPut, Input, StoreFault,
    item::ArrivalId,
    message::{Condition, Refusal, Status},
    name::Name,
    size,
};

/// A file that is arriving. If it is dropped before it was put, what has come of it is forgotten.
pub(super) struct Upload {
    driver: Rc<Driver>,
    arrival: ArrivalId,
    name: Name,
    /// Its length, if that was said.
    bytes: Option<usize>,
    /// How much has come.
    come: usize,
    only_if: Option<Condition>,
    pieces: Pieces,
    /// All has come; its hash is awaited.
    has_ended: bool,
    /// The node has it now.
    is_put: bool,
}

impl Upload {
    /// Begins one, unless the node would refuse the file.
    pub(super) fn begin(
        driver: &Rc<Driver>,
        name: Name,
        bytes: usize,
        only_if: Option<Condition>,
    ) -> Result<Self, Refusal> {
        let arrival = driver.begin_upload(&name, bytes, only_if)?;
        Ok(Self::new(driver, arrival, name, Some(bytes), only_if))
    }

    /// Begins one whose length is not known: the other members are not offered it.
    pub(super) fn of_unknown_length(
        driver: &Rc<Driver>,
        name: Name,
        only_if: Option<Condition>,
    ) -> Self {
        Self::new(driver, driver.begin_arrival(), name, None, only_if)
    }

    fn new(
        driver: &Rc<Driver>,
        arrival: ArrivalId,
        name: Name,
        bytes: Option<usize>,
        only_if: Option<Condition>,
    ) -> Self {
        Self {
            driver: driver.clone(),
            arrival,
            name,
            bytes,
            come: 0,
            only_if,
            pieces: Pieces::default(),
            has_ended: false,
            is_put: false,
        }
    }

    /// The next piece has come.
    pub(super) fn push(&mut self, come: &[u8]) {
        let Some(disk) = self.driver.disk() else { return };
        for come in come.chunks(PIECE_BYTES_MAX) {
            let mut buffer = self.pieces.buffer();
            buffer[..come.len()].copy_from_slice(come);
            disk.append(self.arrival, self.pieces.piece(buffer, come.len()));
        }
    }

    /// The same, without a copy.
    pub(super) fn push_bytes(&mut self, piece: Bytes) -> Result<(), Refusal> {
        self.come += piece.len();
        if self.bytes.is_none() && self.come > self.driver.bytes_max.any {
            let reason = size::beyond(self.come as u64, self.driver.bytes_max.any);
            return Err(Refusal::new(Status::ContentTooLarge, reason));
        }
        self.driver.disk().into_iter().for_each(|disk| disk.append(self.arrival, piece.clone()));
        Ok(())
    }

    /// Whether more of it may be read. If not, the task is woken.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), StoreFault>> {
        match self.driver.disk() {
            Some(disk) => disk.poll_room(cx, self.arrival),
            None => Poll::Ready(Err(StoreFault::Broken)),
        }
    }

    /// Whether more of it may be read at once.
    pub(super) fn has_room(&self) -> bool {
        !self.has_ended && self.driver.disk().is_some_and(|disk| disk.has_room(self.arrival))
    }

    /// All has come.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
        self.driver.disk().into_iter().for_each(|disk| disk.finish(self.arrival));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// What is put, once all of it is on the disk.
    pub(super) fn poll_put(&mut self, cx: &Context<'_>) -> Poll<Result<ArrivedPut, StoreFault>> {
        let Some(disk) = self.driver.disk() else {
            return Poll::Ready(Err(StoreFault::Broken));
        };
        disk.poll_finished(cx, self.arrival).map_ok(|hash| {
            self.is_put = true;
            let Self { arrival, only_if, .. } = *self;
            let bytes = self.bytes.unwrap_or(self.come);
            ArrivedPut { name: self.name.clone(), arrival, hash, bytes, only_if }
        })
    }

    /// What a client is told whose file the disk does not take.
    pub(super) fn refusal(&self, fault: StoreFault) -> Refusal {
        let me = self.driver.address();
        match fault {
            StoreFault::Full => {
                Refusal::new(Status::InsufficientStorage, format!("the disk of {me} is full"))
            }
            StoreFault::Broken => {
                Refusal::new(Status::Unavailable, format!("the disk of {me} fails"))
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_put {
            self.driver.disk().into_iter().for_each(|disk| disk.abort(self.arrival));
            self.driver.drive(Input::UploadBroken { arrival: self.arrival });
        }
    }
}
