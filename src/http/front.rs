//! What answers requests: a tide application, gRPC services, the files of a node, and whatever else a
//! port serves. Each is a [`Front`]; the first that takes a request answers it.

use std::{pin::Pin, rc::Rc, sync::Arc};

use hyper::{Response, http::request};

use super::{exchange::Exchange, pieces::Source, refusal::Refusal};

/// Something that answers requests.
pub(crate) trait Front {
    /// Whether it answers this request, where there are other fronts. The last front is not asked.
    fn takes(&self, head: &request::Parts) -> bool;

    /// Answers a request. It may take parts out of the head. A panic is answered 500 and ends the
    /// connection.
    fn answer<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        head: &'a mut request::Parts,
    ) -> Answering<'a>;
}

/// An answer in the making.
pub(crate) type Answering<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Source>, Refusal>> + 'a>>;

/// A front that the threads of a server share.
pub(super) type SharedFront = Arc<dyn Front + Send + Sync>;

/// What answers the requests of one thread.
#[derive(Clone)]
pub(super) enum ThreadFronts {
    /// The same as those of other threads.
    Shared(Fronts),
    /// It lives on this thread alone.
    Own(Rc<dyn Front>),
}

impl ThreadFronts {
    /// Which front answers a request.
    pub(super) fn of(&self, head: &request::Parts) -> &dyn Front {
        match self {
            Self::Shared(fronts) => fronts.of(head),
            Self::Own(front) => &**front,
        }
    }
}

/// The fronts behind a server's ports. The last one answers what no other takes.
#[derive(Clone)]
pub(super) struct Fronts {
    others: Arc<[SharedFront]>,
    last: SharedFront,
}

impl Fronts {
    pub(super) fn new(others: Vec<SharedFront>, last: SharedFront) -> Self {
        Self { others: others.into(), last }
    }

    fn of(&self, head: &request::Parts) -> &dyn Front {
        let taking = self.others.iter().find(|front| front.takes(head));
        &**taking.unwrap_or(&self.last)
    }
}
