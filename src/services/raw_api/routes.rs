//! Which function answers which request.

use std::{collections::BTreeMap, panic};

use super::answer::{self, AnswerOptions, DateClock};
use crate::{http1::request::Request, serve::ErrorForm, services::form::Reply};

/// Answers a request. It cannot wait for anything: it runs between two reads.
pub type Handler = fn(&Request) -> Reply;

/// The table of routes. HEAD is answered by the handler of GET, without the body.
#[derive(Clone, Debug, Default)]
pub struct Routes(BTreeMap<&'static str, Vec<(&'static str, Handler)>>);

impl Routes {
    /// An empty table: everything is 404.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route. It answers requests for exactly this path. If a path gets a method twice, the first
    /// counts.
    pub fn route(mut self, method: &'static str, path: &'static str, handler: Handler) -> Self {
        self.0.entry(path).or_default().push((method, handler));
        self
    }

    /// Appends the answer to a request to `out`: `made`, or else what its route answers. Returns its
    /// status, the length of its body, and why the request was refused.
    pub(super) fn answer(
        &self,
        request: &Request,
        made: Option<Reply>,
        closes: bool,
        errors: ErrorForm,
        headers: &str,
        clock: &DateClock,
        out: &mut Vec<u8>,
    ) -> (u16, u64, Option<&'static str>) {
        let is_head = request.method == "HEAD";
        let mut options =
            AnswerOptions { is_head, closes, is_old: request.is_old, allow: None, headers };
        let methods = self.0.get(request.path.as_str()).map_or(&[][..], Vec::as_slice);
        let wanted = if is_head { "GET" } else { request.method.as_str() };
        let error = |status| answer::status(errors, status, None);
        let allowed: String;
        let reply = match (made, methods.iter().find(|(method, _)| *method == wanted)) {
            (Some(made), _) => made,
            // A handler that panics costs one answer.
            (None, Some((_, handler))) => {
                panic::catch_unwind(|| handler(request)).unwrap_or_else(|_| error(500))
            }
            _ if methods.is_empty() => error(404),
            _ => {
                allowed = allow(methods);
                options.allow = Some(&allowed);
                error(405)
            }
        };
        answer::write(out, &reply, options, clock);
        (reply.status, if is_head { 0 } else { reply.body.len() as u64 }, reply.cause)
    }
}

fn allow(methods: &[(&'static str, Handler)]) -> String {
    let names = methods.iter().flat_map(|(method, _)| match *method {
        "GET" => &["GET", "HEAD"][..],
        _ => std::slice::from_ref(method),
    });
    names.copied().collect::<Vec<_>>().join(", ")
}
