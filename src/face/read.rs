//! GET and HEAD of a file: which content, all of it or some, or none because the client has it.

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderValue},
    http::request,
};

use super::{
    body::{self, FileContent},
    conditions::{self, Outcome, Validators},
    kinds,
    limits::READS_MAX,
    negotiation::{self, CODINGS, Coding},
    ranges::Ranges,
    reply::{self, Answer},
};
use crate::{
    net::handle::{NodeHandle, Reply},
    ring::{
        entry::EntryKind,
        message::{Answer as NodeAnswer, ItemValue, Refusal, Request, Status},
        name::Name,
        version::Version,
    },
};

/// What a page from the store may do: run, but not as a page of this node. Its origin is one of its own, so
/// it reads nothing of this node and changes nothing here, as a page of any other server.
const SANDBOX: &str = "sandbox allow-downloads allow-forms allow-modals allow-popups \
                       allow-popups-to-escape-sandbox allow-scripts \
                       allow-top-navigation-by-user-activation";

/// How a file is answered.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// 200, or 404 for the file that says that there is none: of that, all is sent.
    pub status: StatusCode,
    /// Pages from the store are as those of the node itself.
    pub trusts_pages: bool,
}

/// What is known of a version of a file.
struct Found {
    version: Version,
    hash: blake3::Hash,
    bytes: u64,
}

/// One form of a file.
struct Variant {
    name: Name,
    coding: Option<Coding>,
    /// There are others.
    varies: bool,
}

/// Answers with a file; `Err` if the node does not.
pub(super) async fn file(
    node: &NodeHandle,
    head: &request::Parts,
    name: &Name,
    version: Option<Version>,
    reading: Reading,
) -> Result<Answer, Refusal> {
    let variant = match version {
        None => variant(node, head, name),
        Some(_) => Variant { name: name.clone(), coding: None, varies: false },
    };
    let kind = kinds::of(name.as_str());
    let plan = |found: &Found| Plan::new(head, found, kind, &variant, version.is_some(), reading);
    for _ in 0..READS_MAX {
        // Most requests want all of a file, and its content is at hand with the rest.
        if (head.method == Method::HEAD || conditions::are_any_of_read(&head.headers))
            && let Some(held) = node.at_hand(&variant.name, version)
            && let EntryKind::File { hash, bytes } = held.kind
        {
            let found = Found { version: held.version, hash, bytes: bytes as u64 };
            let plan = plan(&found);
            if head.method == Method::HEAD || !plan.needs_content() {
                return Ok(plan.without_content());
            }
        }
        let request = Request::Get { name: variant.name.clone(), version };
        let (found, content) = match node.ask(request).await {
            Reply::Streamed(file) => {
                let found = Found { version: file.version, hash: file.hash, bytes: file.bytes };
                (found, FileContent::Streamed(file))
            }
            Reply::Whole(NodeAnswer::Found(item)) => match item.value {
                ItemValue::File { hash, body } => {
                    let content = body.content().bytes().clone();
                    let bytes = content.len() as u64;
                    let found = Found { version: item.version, hash, bytes };
                    (found, FileContent::Whole(content))
                }
                ItemValue::Tombstone => break,
            },
            Reply::Whole(NodeAnswer::Refused(refusal)) => {
                // The form that was chosen may have gone meanwhile.
                if variant.coding.is_some() && refusal.status == Status::NotFound {
                    continue;
                }
                return Err(refusal);
            }
            Reply::Whole(_) => break,
        };
        let plan = plan(&found);
        return Ok(match head.method == Method::HEAD || !plan.needs_content() {
            true => plan.without_content(),
            false => plan.with(&content, node),
        });
    }
    Err(Refusal::new(Status::NotFound, format!("there is no file {}", name.wire())))
}

/// The form of a file that this client wants most, of those that are here.
fn variant(node: &NodeHandle, head: &request::Parts, name: &Name) -> Variant {
    let form = |coding: Coding| {
        let name = name.with_ending(coding.ending).ok()?;
        let held = node.at_hand(&name, None).filter(|held| !held.is_tombstone());
        held.map(|_| (coding, name))
    };
    let here: Vec<_> = CODINGS.into_iter().filter_map(form).collect();
    let varies = !here.is_empty();
    let wanted = match varies {
        true => negotiation::codings(text_of(&head.headers, &header::ACCEPT_ENCODING).as_deref()),
        false => Vec::new(),
    };
    // Where the file itself is gone, its other forms are files of their own.
    let is_plain_here = || node.at_hand(name, None).is_some_and(|held| !held.is_tombstone());
    let best = wanted.iter().find_map(|it| here.iter().find(|(coding, _)| coding == it));
    match best.filter(|_| is_plain_here()) {
        Some((coding, name)) => Variant { name: name.clone(), coding: Some(*coding), varies },
        None => Variant { name: name.clone(), coding: None, varies },
    }
}

/// The values of a header as one list.
pub(super) fn text_of(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(|it| it.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// What a client may have of a version.
pub(super) fn validators(version: Version, hash: blake3::Hash) -> Validators {
    let modified_s = version.stamp.wall_ms() / 1000;
    Validators { etag: format!("\"{}\"", hash.to_hex()), modified_s }
}

/// An answer before its content is there.
struct Plan {
    answer: Answer,
    kind: &'static str,
    bytes: u64,
    /// What is sent; `None`: no content at all.
    ranges: Option<Ranges>,
}

impl Plan {
    fn new(
        head: &request::Parts,
        found: &Found,
        kind: &'static str,
        variant: &Variant,
        is_one_version: bool,
        reading: Reading,
    ) -> Self {
        let held = validators(found.version, found.hash);
        let is_whole = reading.status != StatusCode::OK;
        let outcome = match is_whole {
            true => Outcome::Done,
            false => conditions::of_read(&head.headers, &held),
        };
        let ranges = match outcome {
            Outcome::Done if is_whole || head.method != Method::GET => Some(Ranges::All),
            Outcome::Done => {
                let now_s = conditions::now_s();
                Some(conditions::ranges_of(&head.headers, &held, found.bytes, now_s))
            }
            Outcome::NotModified | Outcome::Failed => None,
        };
        let status = match (outcome, &ranges) {
            (Outcome::NotModified, _) => StatusCode::NOT_MODIFIED,
            (Outcome::Failed, _) => StatusCode::PRECONDITION_FAILED,
            (_, Some(Ranges::Some(_))) => StatusCode::PARTIAL_CONTENT,
            (_, Some(Ranges::Unsatisfiable)) => StatusCode::RANGE_NOT_SATISFIABLE,
            _ => reading.status,
        };
        let mut answer = reply::bare(status, body::empty());
        let headers = answer.headers_mut();
        if !is_whole {
            reply::set(headers, header::ETAG, &held.etag);
            reply::set(headers, header::LAST_MODIFIED, &conditions::http_date(held.modified_s));
            headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        let cache = match is_one_version {
            true => "max-age=31536000, immutable",
            false => "no-cache",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        reply::set(headers, reply::VERSION, &found.version.to_string());
        if variant.varies {
            headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        let has_content = !matches!(ranges, None | Some(Ranges::Unsatisfiable));
        if has_content {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            if let Some(coding) = variant.coding {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name));
            }
        }
        if kinds::is_document(kind) && !reading.trusts_pages {
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
        }
        Self { answer, kind, bytes: found.bytes, ranges }
    }

    fn needs_content(&self) -> bool {
        match &self.ranges {
            Some(Ranges::All) => self.bytes > 0,
            Some(Ranges::Some(_)) => true,
            _ => false,
        }
    }

    fn without_content(mut self) -> Answer {
        let headers = self.answer.headers_mut();
        match self.ranges {
            Some(Ranges::All) => drop(headers.insert(header::CONTENT_LENGTH, self.bytes.into())),
            Some(Ranges::Unsatisfiable) => {
                reply::set(headers, header::CONTENT_RANGE, &format!("bytes */{}", self.bytes));
            }
            _ => {}
        }
        self.answer
    }

    fn with(mut self, content: &FileContent, node: &NodeHandle) -> Answer {
        let headers = self.answer.headers_mut();
        let source = match &self.ranges {
            Some(Ranges::Some(ranges)) if ranges.len() == 1 => {
                let (from, to) = ranges[0];
                reply::set(headers, header::CONTENT_RANGE, &content_range(from, to, self.bytes));
                content.part(node, from, to)
            }
            Some(Ranges::Some(ranges)) => {
                let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
                let kind = format!("multipart/byteranges; boundary={boundary}");
                reply::set(headers, header::CONTENT_TYPE, &kind);
                let mut parts = content.begin(node);
                for &(from, to) in ranges {
                    let range = content_range(from, to, self.bytes);
                    let kind = self.kind;
                    let head = format!(
                        "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n"
                    );
                    parts.push_bytes(head.into());
                    parts.push(content, from, to);
                }
                parts.push_bytes(format!("\r\n--{boundary}--\r\n").into());
                headers.insert(header::CONTENT_LENGTH, parts.bytes().into());
                parts.into_source()
            }
            _ => content.part(node, 0, self.bytes),
        };
        *self.answer.body_mut() = source;
        self.answer
    }
}

fn content_range(from: u64, to: u64, bytes: u64) -> String {
    format!("bytes {from}-{}/{bytes}", to - 1)
}
