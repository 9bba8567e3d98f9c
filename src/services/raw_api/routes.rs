//! Which function answers which request.

use std::{collections::BTreeMap, panic};

use super::answer;
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

    /// What the route of a request answers. Headers that go with that are added to `headers`.
    pub(super) fn answer(
        &self,
        request: &Request,
        errors: ErrorForm,
        headers: &mut String,
    ) -> Reply {
        let methods = self.0.get(request.path.as_str()).map_or(&[][..], Vec::as_slice);
        let wanted = if request.method == "HEAD" { "GET" } else { request.method.as_str() };
        let error = |status| answer::status(errors, status, None);
        match methods.iter().find(|(method, _)| *method == wanted) {
            // A handler that panics costs one answer.
            Some((_, handler)) => {
                panic::catch_unwind(|| handler(request)).unwrap_or_else(|_| error(500))
            }
            None if methods.is_empty() => error(404),
            None => {
                *headers += &format!("Allow: {}\r\n", allow(methods));
                error(405)
            }
        }
    }
}

fn allow(methods: &[(&'static str, Handler)]) -> String {
    let names = methods.iter().flat_map(|(method, _)| match *method {
        "GET" => &["GET", "HEAD"][..],
        _ => std::slice::from_ref(method),
    });
    names.copied().collect::<Vec<_>>().join(", ")
}
