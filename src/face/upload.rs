//! `POST /_ring/upload`: files from a form, for browsers that run no script.
//!
//! A field `folder` says in which folder the files behind it are put.

use std::fmt::Write as _;

use hyper::{StatusCode, body::Bytes, header, http::request};
use serde_json::json;

use super::{
    body,
    limits::{FIELD_BYTES_MAX, PARTS_MAX},
    multipart::{self, FormPiece, Part},
    negotiation::Form,
    read::text_of,
    reply::{self, Answer, escaped},
    write::{self, Coming},
};
use crate::{
    http::{exchange::Exchange, refusal::Refusal as HttpRefusal},
    net::{
        handle::{NodeHandle, Reply},
        incoming::Incoming,
    },
    ring::{
        message::{Answer as NodeAnswer, Refusal, Status},
        name::Name,
        version::Version,
    },
};

/// Answers it. `Err`: the connection cannot go on.
pub(super) async fn upload(
    node: &NodeHandle,
    exchange: &mut Exchange,
    head: &request::Parts,
    form: Form,
) -> Result<Answer, HttpRefusal> {
    let kind = text_of(&head.headers, &header::CONTENT_TYPE).unwrap_or_default();
    let Some(mut parts) = multipart::Form::new(&kind) else {
        let why = "a form is taken as multipart/form-data";
        return Ok(reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, why, form));
    };
    let mut coming = Coming::new(exchange);
    let mut put = Put::new(node);
    while let Some(come) = coming.next().await? {
        parts.push(&come);
        if let Err(refusal) = put.take_all(&mut parts).await {
            return Ok(put.answer(Some(&refusal), form));
        }
    }
    drop(coming);
    let cut = || Refusal::new(Status::BadRequest, "the form ends before its last delimiter");
    let refusal = (!parts.is_over()).then(cut);
    Ok(put.answer(refusal.as_ref(), form))
}

/// What is put from a form.
struct Put<'a> {
    node: &'a NodeHandle,
    folder: String,
    parts: usize,
    part: PartSoFar,
    done: Vec<Done>,
}

/// The part that is just coming.
enum PartSoFar {
    /// One that is not needed, or none.
    Ignored,
    Folder(Vec<u8>),
    File(Name, Incoming),
}

/// A file that was put.
struct Done {
    name: Name,
    version: Version,
    copies: usize,
}

impl<'a> Put<'a> {
    fn new(node: &'a NodeHandle) -> Self {
        let part = PartSoFar::Ignored;
        Self { node, folder: String::new(), parts: 0, part, done: Vec::new() }
    }

    /// Takes what has come of the form.
    async fn take_all(&mut self, parts: &mut multipart::Form) -> Result<(), Refusal> {
        let bad = |why| Refusal::new(Status::BadRequest, why);
        while let Some(piece) = parts.next().map_err(bad)? {
            match piece {
                FormPiece::Part(part) => self.begin(part).await?,
                FormPiece::Content(bytes) => self.push(bytes).await?,
                FormPiece::End => self.end().await?,
            }
        }
        Ok(())
    }

    async fn begin(&mut self, part: Part) -> Result<(), Refusal> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(Refusal::new(Status::BadRequest, "the form has too many parts"));
        }
        self.part = match part {
            Part { field, file: None } if field == "folder" => PartSoFar::Folder(Vec::new()),
            // A field for files of which none was chosen.
            Part { file: Some(file), .. } if !file.is_empty() => {
                let folder = self.folder.trim_matches('/');
                let slash = if folder.is_empty() { "" } else { "/" };
                let name = Name::new(&format!("{folder}{slash}{file}"));
                let name = name.map_err(|it| Refusal::new(Status::BadRequest, it.to_string()))?;
                self.node.may_put(&name, 0, None)?;
                write::room(self.node).await?;
                let incoming = self.node.put(name.clone(), None, None)?;
                PartSoFar::File(name, incoming)
            }
            _ => PartSoFar::Ignored,
        };
        Ok(())
    }

    async fn push(&mut self, bytes: Bytes) -> Result<(), Refusal> {
        match &mut self.part {
            PartSoFar::Ignored => Ok(()),
            PartSoFar::Folder(text) if text.len() + bytes.len() > FIELD_BYTES_MAX => {
                Err(Refusal::new(Status::BadRequest, "the name of the folder is too long"))
            }
            PartSoFar::Folder(text) => {
                text.extend_from_slice(&bytes);
                Ok(())
            }
            PartSoFar::File(_, incoming) => {
                incoming.room().await?;
                incoming.push(bytes)
            }
        }
    }

    async fn end(&mut self) -> Result<(), Refusal> {
        match std::mem::replace(&mut self.part, PartSoFar::Ignored) {
            PartSoFar::Ignored => {}
            PartSoFar::Folder(text) => self.folder = String::from_utf8_lossy(&text).into_owned(),
            PartSoFar::File(name, incoming) => match incoming.put().await {
                NodeAnswer::Stored { version, copies } => {
                    self.done.push(Done { name, version, copies });
                }
                other => return Err(reply::refusal_of(Reply::Whole(other))),
            },
        }
        Ok(())
    }

    /// Says what was put, and why the rest was not.
    fn answer(&self, refusal: Option<&Refusal>, form: Form) -> Answer {
        if let Some(refusal) = refusal {
            let reason = match self.done.len() {
                0 => refusal.reason.clone(),
                count => format!("{}; the first {count} of the files are put", refusal.reason),
            };
            return reply::refused(&Refusal::new(refusal.status, reason), form);
        }
        if form != Form::Html {
            let file = |it: &Done| {
                let version = it.version.to_string();
                json!({ "name": it.name.as_str(), "version": version, "copies": it.copies })
            };
            let files: Vec<_> = self.done.iter().map(file).collect();
            return reply::json(StatusCode::OK, &json!({ "files": files }));
        }
        let mut rows = String::from("<ul>\n");
        for Done { name, copies, .. } in &self.done {
            let (to, shown) = (name.wire(), escaped(name.as_str()));
            let _ = writeln!(rows, "<li><a href=\"/{to}\">{shown}</a> is on {copies} nodes</li>");
        }
        rows.push_str("</ul>\n<p><a href=\"/_ring/\">The ring</a></p>\n");
        let text = body::text(reply::page("Put", &rows));
        let mut answer = reply::fresh(StatusCode::OK, "text/html; charset=utf-8", text);
        reply::as_page(&mut answer);
        answer
    }
}
