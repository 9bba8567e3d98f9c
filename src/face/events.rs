//! `/_ring/events`: what happens at a node, as server-sent events.
//!
//! ```text
//! event: status     first, and whenever it has changed: what /_ring/status says
//! event: news       what has happened, with an id; a client that was cut off names the last it has
//! event: message    a message that this node passes on, a few a second
//! ```
//!
//! What is sent next is made when the client has taken the last: one that is slow costs no memory, and
//! misses messages.

use std::{future, time::Duration};

use async_io::Timer;
use hyper::{StatusCode, body::Bytes, header, http::request};
use serde_json::{Value, json};
use smol::future::FutureExt as _;

use super::{
    body,
    limits::WATCHERS_MAX,
    read::text_of,
    reply::{self, Answer},
    status::status,
};
use crate::{
    net::{
        feed::{News, Passed},
        handle::{NodeHandle, Watch},
    },
    ring::{
        Event, StoreFault,
        message::{Refusal, Status},
        view::MemberState,
    },
};

/// How often it is looked whether the status has changed.
const LOOK: Duration = Duration::from_secs(1);
/// After so many without anything to say, a comment is sent: so a client that has gone is noticed, and
/// nothing between the two takes the connection for a dead one.
const HEARTBEAT_LOOKS: u32 = 5;

/// Answers with the events from here on.
pub(super) fn events(
    node: &NodeHandle,
    head: &request::Parts,
    is_read_only: bool,
    life: u64,
) -> Result<Answer, Refusal> {
    if node.watchers() >= WATCHERS_MAX {
        let reason = "too many clients watch this node; ask /_ring/status now and then";
        return Err(Refusal::new(Status::Unavailable, reason));
    }
    let mut watch = node.watch();
    let last = text_of(&head.headers, &header::HeaderName::from_static("last-event-id"));
    if let Some(last) = last.and_then(|last| number_of(&last, life)) {
        watch.after(last);
    }
    let watcher = Watcher { node: node.clone(), watch, is_read_only, life, last: None };
    let body = body::unfolded(watcher, |mut watcher| async move {
        let next = watcher.next().await?;
        Some((Bytes::from(next), watcher))
    });
    Ok(reply::fresh(StatusCode::OK, "text/event-stream", body))
}

/// The number of an event of this life of the node, from its id.
fn number_of(id: &str, life: u64) -> Option<u64> {
    let (of, number) = id.split_once('-')?;
    let number = number.parse().ok()?;
    (of.parse() == Ok(life)).then_some(number)
}

struct Watcher {
    node: NodeHandle,
    watch: Watch,
    is_read_only: bool,
    /// Which life of the node it is: numbers of events begin anew with each.
    life: u64,
    /// The status that was sent last.
    last: Option<Value>,
}

impl Watcher {
    /// What is sent next; `None`: the node ends.
    async fn next(&mut self) -> Option<String> {
        for _ in 0..HEARTBEAT_LOOKS {
            if self.watch.is_closing() {
                return None;
            }
            let mut text = self.changed().await;
            let is_news = self.collect(&mut text).await;
            if is_news {
                // It may have changed the status.
                text += &self.changed().await;
            }
            if !text.is_empty() {
                return Some(text);
            }
        }
        Some(": still here\n\n".into())
    }

    /// The status, if it has changed.
    async fn changed(&mut self) -> String {
        // A node that refuses to say it now says it later.
        let Ok(mut status) = status(&self.node, self.is_read_only).await else {
            return String::new();
        };
        let now = status["now_ms"].take();
        if self.last.as_ref() == Some(&status) {
            return String::new();
        }
        self.last = Some(status.clone());
        status["now_ms"] = now;
        format!("event: status\ndata: {status}\n\n")
    }

    /// Appends what has happened. Waits for that, unless there is something to send already. Returns
    /// whether there was any news.
    async fn collect(&mut self, text: &mut String) -> bool {
        let waits = text.is_empty();
        let next = future::poll_fn(|cx| {
            let (news, passed) = self.watch.next(cx);
            let is_over = !waits || self.watch.is_closing();
            match news.is_empty() && passed.is_empty() && !is_over {
                true => std::task::Poll::Pending,
                false => std::task::Poll::Ready((news, passed)),
            }
        });
        let pause = async {
            Timer::after(LOOK).await;
            Default::default()
        };
        let (news, passed): (Vec<_>, Vec<_>) = next.or(pause).await;
        for news in &news {
            let News { number, .. } = news;
            let data = of_news(news);
            *text += &format!("event: news\nid: {}-{number}\ndata: {data}\n\n", self.life);
        }
        for passed in &passed {
            *text += &format!("event: message\ndata: {}\n\n", of_message(passed));
        }
        !news.is_empty()
    }
}

fn of_message(passed: &Passed) -> Value {
    let Passed { verb, name, creator, bytes, .. } = passed;
    json!({
        "verb": verb,
        "name": name.as_ref().map(|name| name.as_str()),
        "creator": creator.to_string(),
        "bytes": bytes,
    })
}

fn of_news(news: &News) -> Value {
    let (kind, level) = kind_of(&news.event);
    json!({
        "at_ms": news.at_ms,
        "kind": kind,
        "level": level,
        "text": news.event.to_string(),
        "member": member_of(&news.event).map(|it| it.to_string()),
    })
}

/// A word for what has happened, and how bad it is.
fn kind_of(event: &Event) -> (&'static str, &'static str) {
    match event {
        Event::List(_) => ("list", "info"),
        Event::Waiting { .. } => ("waiting", "warn"),
        Event::Refused { .. } => ("refused", "warn"),
        Event::Dead { .. } => ("dead", "error"),
        Event::Out { state: MemberState::Gone { .. }, .. } => ("out", "error"),
        Event::Out { .. } => ("left", "info"),
        Event::Relinked { .. } => ("relinked", "warn"),
        Event::Met { .. } => ("met", "info"),
        Event::Back => ("back", "warn"),
        Event::Ready => ("ready", "info"),
        Event::GaveUp { .. } => ("gave-up", "error"),
        Event::Full => ("full", "error"),
        Event::Roomy => ("roomy", "info"),
        Event::StoreFails { fault: StoreFault::Full } => ("disk-full", "error"),
        Event::StoreFails { fault: StoreFault::Broken } => ("disk-fails", "error"),
        Event::StoreWorks => ("disk-works", "info"),
        Event::Damaged { .. } => ("damaged", "error"),
        Event::Clock { off_ms: Some(_), .. } => ("clock", "warn"),
        Event::Clock { off_ms: None, .. } => ("clock", "info"),
        Event::Circle { .. } => ("circle", "info"),
        Event::CaughtUp { .. } => ("caught-up", "info"),
        Event::Nonsense { .. } => ("nonsense", "warn"),
    }
}

/// The member that it is about.
fn member_of(event: &Event) -> Option<std::net::SocketAddr> {
    match event {
        Event::Refused { node: member, .. }
        | Event::Dead { member, .. }
        | Event::Out { member, .. }
        | Event::Relinked { member }
        | Event::Met { member }
        | Event::Clock { member, .. } => Some(*member),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_of_one_life_of_a_node() {
        assert_eq!(number_of("17-4", 17), Some(4));
        for other in ["16-4", "17", "17-", "-4", "17-x", "", "17-4-5"] {
            assert_eq!(number_of(other, 17), None, "{other}");
        }
    }
}
