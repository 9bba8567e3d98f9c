//! What answers requests: a tide application, gRPC services, and whatever else a port serves. Each
//! is a [`Front`]; the first that takes a request answers it.

use std::{pin::Pin, sync::Arc};

use hyper::{Response, http::request};

use super::{exchange::Exchange, pieces::Source, refusal::Refusal};

/// Something that answers requests. The threads of a server share it.
pub(crate) trait Front: Send + Sync {
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

/// The fronts behind a server's ports. The last one answers what no other takes.
#[derive(Clone)]
pub(super) struct Fronts {
    others: Arc<[Arc<dyn Front>]>,
    last: Arc<dyn Front>,
}

impl Fronts {
    pub(super) fn new(others: Vec<Arc<dyn Front>>, last: Arc<dyn Front>) -> Self {
        Self { others: others.into(), last }
    }

    /// Which of them answers a request.
    pub(super) fn of(&self, head: &request::Parts) -> &dyn Front {
        let taking = self.others.iter().find(|front| front.takes(head));
        &**taking.unwrap_or(&self.last)
    }
}
