//! Everything below `/_ring/`: what a node says of itself and its ring, and what its page needs.

use std::sync::Arc;

use hyper::{StatusCode, http::request};
use serde_json::{Value, json};

use super::{
    body, events, listing,
    listing::Listings,
    metrics,
    negotiation::Form,
    page,
    reply::{self, Answer},
    status::{info, status},
    target::parameter,
};
use crate::{
    net::handle::{NodeHandle, Reply},
    ring::{
        message::{Answer as NodeAnswer, FileRow, Refusal, Request, Status},
        name::Name,
    },
    serve::{exposition::CONTENT_TYPE, metrics::Metrics},
};

/// What answers there.
pub(super) struct Own {
    pub(super) node: NodeHandle,
    pub(super) is_read_only: bool,
    pub(super) listings: Listings,
    /// What the HTTP server counts.
    pub(super) http: Arc<Metrics>,
    /// Which life of the node it is, for the ids of its events.
    pub(super) life: u64,
}

impl Own {
    /// Answers what is read there.
    pub(super) async fn read(&self, head: &request::Parts, path: &str, form: Form) -> Answer {
        let query = head.uri.query();
        let answered = match path {
            "" => page::page(&self.node).await,
            "status" => status(&self.node, self.is_read_only).await.map(|it| as_json(&it)),
            "files" => self.files(query).await,
            "versions" => self.versions(query).await,
            "events" => events::events(&self.node, head, self.is_read_only, self.life),
            "metrics" => self.metrics().await,
            "health" => Ok(health()),
            "ready" => self.ready().await,
            _ => {
                let why = "there is nothing here; /_ring/ says what there is";
                return reply::error(StatusCode::NOT_FOUND, why, form);
            }
        };
        answered.unwrap_or_else(|refusal| reply::refused(&refusal, form))
    }

    /// Whether clients should come here: it has caught up, and is not about to leave.
    async fn ready(&self) -> Result<Answer, Refusal> {
        let info = info(&self.node).await?;
        if info.ready && info.state != "leaving" {
            return Ok(as_json(&json!({ "status": "ok" })));
        }
        let why = match info.state {
            "joining" => "this node is not in its ring yet",
            "leaving" => "this node is leaving its ring",
            _ => "this node is catching up with its ring, or is about to leave it",
        };
        let unavailable = json!({ "status": "unavailable", "error": why });
        Ok(reply::json(StatusCode::SERVICE_UNAVAILABLE, &unavailable))
    }

    async fn files(&self, query: Option<&str>) -> Result<Answer, Refusal> {
        let text = |key| parameter(query, key).unwrap_or_default();
        let limit = match parameter(query, "limit").map(|limit| limit.parse()) {
            Some(Err(_)) => return Err(Refusal::new(Status::BadRequest, "limit is no number")),
            Some(Ok(limit)) => Some(limit),
            None => None,
        };
        let wanted = listing::Wanted {
            prefix: &text("prefix"),
            contains: &text("contains"),
            after: &text("after"),
            limit,
        };
        listing::files(&self.node, &wanted, self.listings.begin()?).await
    }

    /// The versions of a name, the newest first.
    async fn versions(&self, query: Option<&str>) -> Result<Answer, Refusal> {
        let name = named(query)?;
        let versions = match self.node.ask(Request::Log { name: name.clone() }).await {
            Reply::Whole(NodeAnswer::Log { versions }) => versions,
            other => return Err(reply::refusal_of(other)),
        };
        let versions: Vec<_> = versions.iter().map(version).collect();
        Ok(as_json(&json!({ "name": name.as_str(), "versions": versions })))
    }

    async fn metrics(&self) -> Result<Answer, Refusal> {
        let text = metrics::text(&self.node, &self.http.text()).await?;
        Ok(reply::fresh(StatusCode::OK, CONTENT_TYPE, body::text(text)))
    }
}

/// The name that a query gives.
pub(super) fn named(query: Option<&str>) -> Result<Name, Refusal> {
    let name = parameter(query, "name").unwrap_or_default();
    Name::new(&name).map_err(|error| Refusal::new(Status::BadRequest, error.to_string()))
}

/// A version of a name; of one that deletes it, there is no length.
fn version(row: &FileRow) -> Value {
    json!({
        "version": row.version.to_string(),
        "modified_ms": row.version.stamp.wall_ms(),
        "bytes": row.bytes,
        "blake3": row.hash.map(|hash| hash.to_hex().to_string()),
        "deleted": row.bytes.is_none(),
    })
}

/// This node runs. The pages of other nodes may see whether it does.
fn health() -> Answer {
    let mut answer = as_json(&json!({ "status": "ok" }));
    reply::set(answer.headers_mut(), reply::RESOURCE_POLICY, "cross-origin");
    answer
}

fn as_json(value: &Value) -> Answer {
    reply::json(StatusCode::OK, value)
}
