//! A NODE AS A WEB SERVER: what is put into the ring is a site at every node.
//!
//! ```text
//! (net)        recognises HTTP by its first bytes, and hands the connection over
//!    |
//! (http)       carries it, with its limits and deadlines
//!    |
//! mod          who may ask; which of these answers
//!    |   guard        which hosts are this node's; what a page of another origin may not do
//!    |   target       a file, a folder, or something of the node itself
//! read         GET and HEAD of a file        conditions, ranges, negotiation, kinds: its rules, pure
//! listing      the names in a folder
//! write        PUT and DELETE
//! own          everything below /_ring/       status, events, metrics, restore
//!    |         upload, multipart: files from a form as it comes
//!    |         page: what people see
//!    |
//! reply, body  an answer: its headers, and its bytes
//!    |
//! (net)        the node is asked through a handle, on its own thread
//! ```
//!
//! What was decided, and why:
//!
//! - **Every node answers every name**, also while it catches up: it asks the ring as it does for a client of
//!   the line protocol. What it cannot know is 503.
//! - **`Cache-Control: no-cache`**: a browser may keep a file, and asks each time whether it still is the
//!   newest: a write that was acknowledged is seen at once. One version, `?version=`, never changes, and may be
//!   kept.
//! - **The tag is the hash** of the content: equal contents have equal tags at all nodes, after any restart.
//! - **Pages from the store run in a sandbox** (`Content-Security-Policy: sandbox`), unless the node was
//!   started with `--trust-pages`: whoever may put a file could otherwise act in the browser of whoever
//!   looks at it, as a page of this node: read all files, and write. In the sandbox a page has an origin of
//!   its own. Scripts, styles, pictures and forms work; what needs an origin (fetch, modules, web fonts,
//!   storage) does not.
//! - **A host must be known** (`--host`), or be an address or `localhost`: see `guard`.
//! - **The page is one document** whose style and script are named by their hashes in its policy: nothing that is
//!   put into the ring can become a part of it. It may ask the other members whether they live, and nothing
//!   else of them.
//! - **A watcher is a position**: who watches a node and is slow misses messages, and costs no memory.
//! - **Names that begin with `_ring/`** can be in the ring, but are not answered over HTTP.

mod body;
mod conditions;
mod events;
mod guard;
mod kinds;
pub mod limits;
mod listing;
mod metrics;
mod multipart;
mod negotiation;
mod own;
mod page;
mod ranges;
mod read;
mod reply;
mod restore;
mod status;
mod target;
mod upload;
mod write;

use std::{rc::Rc, sync::Arc};

use async_io::Async;
use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
    http::request,
};

use self::{
    listing::Listings, negotiation::Form, own::Own, read::Reading, reply::Answer, target::Target,
};
use crate::{
    http::{
        exchange::Exchange,
        front::{Answering, Front},
        heads::authority,
        hosted::Hosted,
        refusal::Refusal as HttpRefusal,
    },
    net::{
        clock::wall_ms,
        face::{Face, Visit},
        handle::{MakeFace, NodeHandle},
        limits::STALL,
    },
    ring::{
        message::{Refusal, Status},
        name::{Name, encode},
    },
    serve::{Lines, Options, Peer, metrics::Metrics},
};

/// What a folder is answered with.
const INDEX: &str = "index.html";
/// What is answered where there is no file.
const NOT_FOUND_PAGE: &str = "404.html";

/// What can be posted below `/_ring/`.
const UPLOAD: &str = "upload";
const RESTORE: &str = "restore";
/// Why a write is refused.
const CROSS_SITE: &str = "a web page of another origin may not write here";

/// What the user has decided.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct FaceOptions {
    /// Hosts that are this node, besides addresses and `localhost`; `*`: all are.
    pub hosts: Vec<String>,
    /// Nothing is written over HTTP.
    pub is_read_only: bool,
    /// Pages from the store may act as those of the node itself.
    pub trusts_pages: bool,
}

/// Has a node speak HTTP. `lines` is where it says what users are to know.
pub(crate) fn make(options: FaceOptions, lines: Lines) -> MakeFace {
    MakeFace::new(move |node| {
        let executor = node.executor();
        let (listings, http) = (Listings::default(), Arc::new(Metrics::new()));
        let own = Own {
            node: node.clone(),
            is_read_only: options.is_read_only,
            listings: listings.clone(),
            http: http.clone(),
            life: wall_ms(),
        };
        let files = Rc::new(Files { node, options, listings, own });
        Rc::new(HttpFace(Hosted::new(http_options(), lines, http, files, executor)))
    })
}

/// The limits of a connection: as on the line protocol, where that has the same.
fn http_options() -> Options {
    Options {
        request_timeout: STALL,
        keep_alive: limits::KEEP_ALIVE,
        url_bytes_max: limits::TARGET_BYTES_MAX,
        // A node has no access log.
        is_quiet: true,
        ..Options::default()
    }
}

struct HttpFace(Hosted);

impl Face for HttpFace {
    fn serve(&self, stream: Async<std::net::TcpStream>, peer: Peer, read: Vec<u8>) -> Visit {
        let (connection, work) = self.0.serve(stream, peer, read);
        Visit { connection, work: Box::pin(work) }
    }

    fn drain(&self) {
        self.0.drain();
    }
}

/// What answers all requests of a node.
struct Files {
    node: NodeHandle,
    options: FaceOptions,
    listings: Listings,
    own: Own,
}

impl Front for Files {
    fn takes(&self, _: &request::Parts) -> bool {
        true
    }

    fn answer<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        head: &'a mut request::Parts,
    ) -> Answering<'a> {
        Box::pin(self.respond(exchange, head))
    }
}

impl Files {
    async fn respond(
        &self,
        exchange: &mut Exchange,
        head: &request::Parts,
    ) -> Result<Answer, HttpRefusal> {
        let form = form_of(head);
        let authority = authority(head)?;
        if !guard::is_known(authority, &self.options.hosts) {
            let why = "this node does not know that it is the host of this request; if it is, start it \
                       with --host and that name, or ask by address";
            return Ok(reply::error(StatusCode::MISDIRECTED_REQUEST, why, form));
        }
        if head.uri.path() == "*" && head.method == Method::OPTIONS {
            return Ok(self.options_of(None));
        }
        let target = match target::read(head.uri.path(), head.uri.query()) {
            Ok(target) => target,
            Err(why) => return Ok(reply::error(StatusCode::BAD_REQUEST, &why, form)),
        };
        match (&head.method, target) {
            (&Method::OPTIONS, target) => Ok(self.options_of(Some(&target))),
            (&Method::GET | &Method::HEAD, target) if !is_posted_to(&target) => {
                Ok(self.read(head, target, form).await)
            }
            (&Method::PUT | &Method::DELETE, Target::File { name, version: None })
                if !self.options.is_read_only =>
            {
                if guard::is_cross_site(&head.headers, authority) {
                    return Ok(reply::error(StatusCode::FORBIDDEN, CROSS_SITE, form));
                }
                if head.method == Method::PUT {
                    return write::put(&self.node, exchange, head, name, form).await;
                }
                Ok(write::delete(&self.node, head, name, form).await)
            }
            (&Method::POST, Target::Own(Some(path))) if self.takes(&path) => {
                if guard::is_cross_site(&head.headers, authority) {
                    return Ok(reply::error(StatusCode::FORBIDDEN, CROSS_SITE, form));
                }
                match path.as_str() {
                    UPLOAD => upload::upload(&self.node, exchange, head, form).await,
                    _ => Ok(restore::restore(&self.node, head, form).await),
                }
            }
            (_, target) => Ok(self.not_allowed(&target, form)),
        }
    }

    /// Whether something may be posted there, below `/_ring/`.
    fn takes(&self, path: &str) -> bool {
        matches!(path, UPLOAD | RESTORE) && !self.options.is_read_only
    }

    async fn read(&self, head: &request::Parts, target: Target, form: Form) -> Answer {
        let reading = Reading { status: StatusCode::OK, trusts_pages: self.options.trusts_pages };
        let answered = match &target {
            Target::Own(None) => Ok(reply::redirect("/_ring/", form)),
            Target::Own(Some(path)) => Ok(self.own.read(head, path, form).await),
            Target::File { name, version } => {
                match read::file(&self.node, head, name, *version, reading).await {
                    Err(refusal) if refusal.status == Status::NotFound && version.is_none() => {
                        self.folder_instead(head, name, refusal, form).await
                    }
                    answered => answered,
                }
            }
            Target::Folder { prefix, after } => self.folder(head, prefix, after, form).await,
        };
        match answered {
            Ok(answer) => answer,
            Err(refusal) if refusal.status == Status::NotFound => {
                self.not_found(head, &refusal, form).await
            }
            Err(refusal) => reply::refused(&refusal, form),
        }
    }

    /// There is no file of this name; it may be a folder.
    async fn folder_instead(
        &self,
        head: &request::Parts,
        name: &Name,
        refusal: Refusal,
        form: Form,
    ) -> Result<Answer, Refusal> {
        match listing::is_any(&self.node, &format!("{name}/")).await? {
            true => {
                let query = head.uri.query().map_or(String::new(), |query| format!("?{query}"));
                Ok(reply::redirect(&format!("/{}/{query}", name.wire()), form))
            }
            false => Err(refusal),
        }
    }

    /// A folder: its index.html, or else its names.
    async fn folder(
        &self,
        head: &request::Parts,
        prefix: &str,
        after: &str,
        form: Form,
    ) -> Result<Answer, Refusal> {
        let index = Name::new(&format!("{prefix}{INDEX}")).ok();
        if let Some(name) = index.filter(|name| !self.node.is_absent(name)) {
            let reading =
                Reading { status: StatusCode::OK, trusts_pages: self.options.trusts_pages };
            match read::file(&self.node, head, &name, None, reading).await {
                Err(refusal) if refusal.status == Status::NotFound => {}
                answered => return answered,
            }
        }
        if form == Form::Html && prefix.is_empty() && after.is_empty() {
            // A browser sees the ring where there is no site.
            let mut answer = self.own.read(head, "", form).await;
            reply::set(answer.headers_mut(), header::VARY, "Accept");
            return Ok(answer);
        }
        let listing = self.listings.begin()?;
        let answered = listing::folder(&self.node, prefix, after, form, listing).await?;
        let folder = encode(prefix);
        answered
            .ok_or_else(|| Refusal::new(Status::NotFound, format!("there is no folder {folder}")))
    }

    /// The page of the store that says so, or else an answer that is made here.
    async fn not_found(&self, head: &request::Parts, refusal: &Refusal, form: Form) -> Answer {
        let page = Name::new(NOT_FOUND_PAGE).ok().filter(|_| form != Form::Json);
        if let Some(name) = page.filter(|name| self.node.at_hand(name, None).is_some()) {
            let status = StatusCode::NOT_FOUND;
            let reading = Reading { status, trusts_pages: self.options.trusts_pages };
            if let Ok(answer) = read::file(&self.node, head, &name, None, reading).await {
                return answer;
            }
        }
        reply::refused(refusal, form)
    }

    /// The methods that a target takes; `None`: those that any does.
    fn methods(&self, target: Option<&Target>) -> &'static str {
        match target {
            Some(Target::File { version: None, .. }) | None if !self.options.is_read_only => {
                "GET, HEAD, PUT, DELETE, OPTIONS"
            }
            Some(Target::Own(Some(path))) if self.takes(path) => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    fn options_of(&self, target: Option<&Target>) -> Answer {
        let mut answer = reply::bare(StatusCode::NO_CONTENT, body::empty());
        let methods = HeaderValue::from_static(self.methods(target));
        answer.headers_mut().insert(header::ALLOW, methods);
        answer
    }

    fn not_allowed(&self, target: &Target, form: Form) -> Answer {
        let why = match target {
            Target::File { .. } if self.options.is_read_only => {
                "this node takes no writes over HTTP (--read-only-http)"
            }
            Target::File { version: Some(_), .. } => "a version of a file cannot be changed",
            Target::File { .. } => {
                "a file is read with GET, written with PUT, and gone with DELETE"
            }
            Target::Folder { .. } => "a folder is there when a file is in it: put that",
            target if is_posted_to(target) => {
                "this takes POST, where the node takes writes over HTTP"
            }
            Target::Own(_) => "this can only be read",
        };
        let mut answer = reply::error(StatusCode::METHOD_NOT_ALLOWED, why, form);
        let methods = HeaderValue::from_static(self.methods(Some(target)));
        answer.headers_mut().insert(header::ALLOW, methods);
        answer
    }
}

/// Whether it is there to be posted to, and not to be read.
fn is_posted_to(target: &Target) -> bool {
    matches!(target, Target::Own(Some(path)) if matches!(path.as_str(), UPLOAD | RESTORE))
}

/// Which form of an answer the client asks for.
fn form_of(head: &request::Parts) -> Form {
    negotiation::form(read::text_of(&head.headers, &header::ACCEPT).as_deref())
}
