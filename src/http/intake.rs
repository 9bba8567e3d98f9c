//! What hyper is given of the bytes that a client sends over HTTP/1: heads that are whole and make
//! sense, and the bodies after them.
//!
//! hyper would refuse the rest as well, but it does not say why, takes both a length and chunks, and
//! refuses targets that are common. So each head is read here first, by the same reader that
//! `raw-api-server` has: that decides what is refused, and in which words. Bytes pass through as they
//! came, and are not copied, but for three kinds:
//!
//! - a head that is not complete waits here;
//! - an empty line before a request is dropped;
//! - a target with bytes that hyper would not take is percent-encoded.

use crate::{
    http1::{
        limits::RequestLimits,
        refusal::Refusal,
        request_reader::{Part, RequestReader, Stage},
    },
    serve::Options,
};

/// Reads what a connection receives before hyper does.
pub(super) struct Intake {
    reader: RequestReader,
    /// The beginning of a head.
    held: Vec<u8>,
    /// The client has said of a request that it is its last: what comes after it is nothing.
    is_over: bool,
    refused: Option<Refused>,
}

/// What hyper is not given any more.
#[derive(Clone, Copy)]
enum Refused {
    Head(Refusal),
    /// The request that it belongs to is in progress.
    Body(Refusal),
}

impl Intake {
    pub(super) fn new(options: &Options) -> Self {
        let reader = RequestReader::new(RequestLimits {
            head_bytes_max: options.head_bytes_max,
            headers_max: options.headers_max,
            url_bytes_max: options.url_bytes_max,
            // It does not hold for bodies that are taken as they come.
            body_bytes_max: usize::MAX,
            takes_all_methods: options.takes_all_methods,
            // The application looks at them.
            notes_headers: false,
        });
        Self { reader, held: Vec::new(), is_over: false, refused: None }
    }

    /// Takes what was read, and passes on what hyper may have of it. After a refusal, and after a request
    /// that is the client's last, it takes nothing. Returns whether there was more than empty lines between two requests.
    pub(super) fn take(&mut self, input: &[u8], mut pass: impl FnMut(&[u8])) -> bool {
        // What is passed on as it came goes in one piece.
        let (mut from, mut at) = (0, 0);
        let mut has_more = false;
        while at < input.len() && !self.is_over && self.refused.is_none() {
            let step = match self.reader.step(&input[at..]) {
                Ok(step) => step,
                Err(refusal) => {
                    self.refused = Some(match self.reader.stage() {
                        Stage::Body => Refused::Body(refusal),
                        Stage::Nothing | Stage::Head => Refused::Head(refusal),
                    });
                    has_more = true;
                    break;
                }
            };
            let end = at + step.taken;
            has_more |= step.part != Part::Blank;
            self.is_over = step.is_last && !self.reader.head().keeps_alive();
            match step.part {
                Part::Body => {}
                Part::HeadEnd if self.held.is_empty() && self.encoded_target().is_none() => {}
                Part::Blank | Part::Head | Part::HeadEnd => {
                    pass(&input[from..at]);
                    from = end;
                    if step.part != Part::Blank {
                        self.held.extend_from_slice(&input[at..end]);
                    }
                    if step.part == Part::HeadEnd {
                        self.pass_held(&mut pass);
                    }
                }
            }
            at = end;
        }
        pass(&input[from..at]);
        has_more
    }

    fn encoded_target(&self) -> Option<&str> {
        self.reader.head().encoded_target()
    }

    /// Passes on a head that was held, with the target as hyper takes it.
    fn pass_held(&mut self, pass: &mut impl FnMut(&[u8])) {
        let held = std::mem::take(&mut self.held);
        let mut words = held.splitn(3, |&byte| byte == b' ');
        match (self.encoded_target(), words.next(), words.next(), words.next()) {
            (Some(target), Some(method), Some(_), Some(rest)) => {
                pass(&[method, target.as_bytes(), rest].join(&b' '));
            }
            _ => pass(&held),
        }
    }

    /// How far the present request has come, of which hyper may not know yet.
    pub(super) fn stage(&self) -> Stage {
        self.reader.stage()
    }

    /// Whether the client has made its last request.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether hyper gets nothing more.
    pub(super) fn has_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Why the next request is refused.
    pub(super) fn head_refusal(&self) -> Option<Refusal> {
        match self.refused {
            Some(Refused::Head(refusal)) => Some(refusal),
            _ => None,
        }
    }

    /// What is wrong with the body of the request in progress.
    pub(super) fn body_refusal(&self) -> Option<Refusal> {
        match self.refused {
            Some(Refused::Body(refusal)) => Some(refusal),
            _ => None,
        }
    }

    /// Method and target of a request whose head is not complete or was refused, as far as they are known.
    pub(super) fn asked(&self) -> Option<(&str, &str)> {
        self.reader.head().asked().filter(|_| self.stage() == Stage::Head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What hyper is given of these pieces, and the cause of a refusal.
    fn passed(pieces: &[&str]) -> (String, Option<&'static str>) {
        let mut intake = Intake::new(&Options::default());
        let mut out = Vec::new();
        for piece in pieces {
            intake.take(piece.as_bytes(), |bytes| out.extend_from_slice(bytes));
        }
        (
            String::from_utf8(out).unwrap(),
            intake.refused.map(|it| match it {
                Refused::Head(refusal) | Refused::Body(refusal) => refusal.cause,
            }),
        )
    }

    #[test]
    fn bytes_pass_as_they_came_but_for_three_kinds() {
        let stream = "\r\n\r\nPOST /\"?ü HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
                      2\r\n\r\n\r\n0\r\n\r\n\r\n\nGET /a HTTP/1.1\nHost: x\r\nA: \u{e9}\n\nGET /b";
        let expected = "POST /%22?%C3%BC HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\n\r\n\r\n0\r\n\r\nGET /a HTTP/1.1\nHost: x\r\nA: \u{e9}\n\n";
        assert_eq!(passed(&[stream]), (expected.into(), None));
        for at in (1..stream.len()).filter(|at| stream.is_char_boundary(*at)) {
            let (first, second) = stream.split_at(at);
            assert_eq!(passed(&[first, second]), (expected.into(), None), "cut at {at}");
        }
    }

    #[test]
    fn nothing_passes_of_a_head_that_is_refused_or_after_a_chunk_that_is() {
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let (out, cause) = passed(&[get, "GET / HTTP/1.1\r\nno colon\r\n\r\n", get]);
        assert_eq!((out.as_str(), cause), (get, Some("a header line has no colon")));
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (out, cause) = passed(&[head, "1\r\na\r\nx", get]);
        assert_eq!(out, format!("{head}1\r\na"));
        assert_eq!(cause, Some("a chunk is malformed"));
        let (out, cause) = passed(&["GET / HTTP/1.0\r\n\r\nno", " request\r\n\r\n"]);
        assert_eq!((out.as_str(), cause), ("GET / HTTP/1.0\r\n\r\n", None));
    }
}
