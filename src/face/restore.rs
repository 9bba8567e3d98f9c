//! `POST /_ring/restore?name=&version=`: makes the content of an earlier version of a file its newest.

use std::future;

use hyper::http::request;

use super::{
    body::FileContent,
    negotiation::Form,
    own::named,
    reply::{self, Answer},
    target::parameter,
    write::{self, Before},
};
use crate::{
    net::handle::{NodeHandle, Reply},
    ring::{
        item::ItemValue,
        message::{Answer as NodeAnswer, Refusal, Request, Status},
        version::Version,
    },
};

/// Answers it.
pub(super) async fn restore(node: &NodeHandle, head: &request::Parts, form: Form) -> Answer {
    match restored(node, head, form).await {
        Ok(answer) => answer,
        Err(refusal) => reply::refused(&refusal, form),
    }
}

async fn restored(node: &NodeHandle, head: &request::Parts, form: Form) -> Result<Answer, Refusal> {
    let name = named(head.uri.query())?;
    let version: Version = parameter(head.uri.query(), "version")
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| Refusal::new(Status::BadRequest, "version is none that LOG shows"))?;
    let before = Before::of(node, &name);
    let gone = || Refusal::new(Status::NotFound, format!("{name} has no content of {version}"));
    let request = Request::Get { name: name.clone(), version: Some(version) };
    let (content, bytes) = match node.ask(request).await {
        Reply::Streamed(file) => {
            let bytes = file.bytes;
            (FileContent::Streamed(file), bytes)
        }
        Reply::Whole(NodeAnswer::Found(item)) => match item.value {
            ItemValue::File { body, .. } => {
                let content = body.content().bytes().clone();
                let bytes = content.len() as u64;
                (FileContent::Whole(content), bytes)
            }
            ItemValue::Tombstone => return Err(gone()),
        },
        Reply::Whole(NodeAnswer::Refused(refusal)) => return Err(refusal),
        Reply::Whole(_) => return Err(gone()),
    };
    write::room(node).await?;
    let mut incoming = node.put(name.clone(), usize::try_from(bytes).ok(), None)?;
    match content {
        FileContent::Whole(bytes) => {
            incoming.room().await?;
            incoming.push(bytes)?;
        }
        FileContent::Streamed(file) => {
            let mut pieces = file.part(0, bytes);
            while let Some(piece) = future::poll_fn(|cx| pieces.poll_next(cx)).await {
                let unreadable = |error: std::io::Error| {
                    Refusal::new(Status::Unavailable, format!("{version} cannot be read: {error}"))
                };
                let piece = piece.map_err(unreadable)?;
                incoming.room().await?;
                incoming.push(piece)?;
            }
        }
    }
    Ok(before.answer(node, &name, incoming.put().await, form).await)
}
