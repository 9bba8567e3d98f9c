//! Where a large content goes while it is received: it is written and hashed on another thread.

use blake3::{Hash, Hasher};
use smol::Task;

use super::pieces::{Pour, pour};
use crate::ring::version::Version;

/// Which content it is, as a node said before it sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub version: Version,
    pub bytes: u64,
    pub hash: Hash,
}

/// Something that a large content is written to. All of it blocks.
pub(super) trait Sink: Send + 'static {
    type Failure: Send + 'static;

    /// A content begins. If it can begin again, this is called again after what was written is of no
    /// use.
    fn begin(&mut self, of: &Of) -> Result<(), Self::Failure>;

    /// The next part of it.
    fn piece(&mut self, bytes: &[u8]) -> Result<(), Self::Failure>;

    /// Whether what was written can be taken back. If not, the rest of the same version follows when
    /// a connection has broken.
    fn can_begin_again(&self) -> bool;
}

/// A sink, and what has been written to it.
pub(super) struct Filling<S> {
    /// `None`: it is being written to.
    filled: Option<Box<Filled<S>>>,
}

struct Filled<S> {
    sink: S,
    hasher: Hasher,
    taken: u64,
    /// `None`: nothing has begun.
    of: Option<Of>,
}

impl<S: Sink> Filling<S> {
    pub fn new(sink: S) -> Self {
        let filled = Filled { sink, hasher: Hasher::new(), taken: 0, of: None };
        Self { filled: Some(Box::new(filled)) }
    }

    /// The sink itself. `None`: writing to it was given up while it went on.
    pub fn into_sink(self) -> Option<S> {
        self.filled.map(|filled| filled.sink)
    }

    /// What has begun and cannot begin again, and how much of it there is.
    pub fn pinned(&self) -> Option<(Of, u64)> {
        let filled = self.filled.as_ref()?;
        filled.of.filter(|_| !filled.sink.can_begin_again()).map(|of| (of, filled.taken))
    }

    /// Begins to write what is given to the one, and returns the sink to the other.
    pub fn write(&mut self, of: Of) -> (Pour, Writing<S>) {
        let mut filled = self.filled.take().expect("nothing else writes to it");
        let goes_on = filled.of.is_some() && !filled.sink.can_begin_again();
        let (pour, drain) = pour();
        let task = smol::unblock(move || {
            let mut written = Ok(());
            if !goes_on {
                (filled.hasher, filled.taken, filled.of) = (Hasher::new(), 0, Some(of));
                written = filled.sink.begin(&of);
            }
            let written = written.and_then(|()| {
                drain.run(|bytes| {
                    filled.hasher.update(bytes);
                    filled.taken += bytes.len() as u64;
                    filled.sink.piece(bytes)
                })
            });
            (filled, written)
        });
        (pour, Writing(task))
    }
}

/// A sink that is being written to.
pub(super) struct Writing<S: Sink>(Task<Written<S>>);

/// The sink again, and whether all was written.
type Written<S> = (Box<Filled<S>>, Result<(), <S as Sink>::Failure>);

impl<S: Sink> Writing<S> {
    /// Waits until all that was given is written, and says what hash that has. The other end must be
    /// gone.
    pub async fn end(self, filling: &mut Filling<S>) -> Result<Hash, S::Failure> {
        let (filled, written) = self.0.await;
        let hash = filled.hasher.finalize();
        filling.filled = Some(filled);
        written.map(|()| hash)
    }
}
