//! `ring-client status`: asks every member, and prints in one line whether the ring is healthy.

use std::time::Duration;

use async_io::Timer;
use serde_json::{Value, json};
use smol::LocalExecutor;

use super::{
    outcome::{Failure, now_ms, print, print_json},
    ring::json as json_of,
    verdict::{AskedMember, Health, Verdict, are_same, have_moved},
};
use crate::{
    cli::Exit,
    client::{connection::Timeouts, failover::Client, member::Member, node::Node, verbs::Status},
};

/// How long a node may take to answer, unless --timeout is shorter.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How often nodes with different files are asked again, since files may be on their way.
const ROUNDS: usize = 4;
/// The pause between two rounds.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) async fn status(
    name: &str,
    mut client: Client,
    timeouts: Timeouts,
    verb: Status,
) -> Result<Exit, Failure> {
    let members = client.ring().await?;
    let mut asked = ask_health(&members, timeouts).await;
    let mut are_moving = false;
    for _ in 1..ROUNDS {
        if are_same(&asked) {
            break;
        }
        Timer::after(PAUSE).await;
        let again = ask_health(&members, timeouts).await;
        are_moving = have_moved(&asked, &again);
        asked = again;
    }
    let verdict = Verdict::of(&asked, are_moving, now_ms(), name);
    match verb.json {
        true => print_json(&json!({
            "well": verdict.is_well(),
            "verdict": verdict.line,
            "problems": verdict.problems,
            "members": asked.iter().map(json_of_asked).collect::<Vec<_>>(),
        }))?,
        false => print(&verdict)?,
    }
    Ok(if verdict.is_well() { Exit::Done } else { Exit::Failed })
}

/// Asks all members for their health, at the same time.
pub(super) async fn ask_health(members: &[Member], timeouts: Timeouts) -> Vec<AskedMember> {
    let timeouts = Timeouts::new(timeouts.silence.min(ANSWER_WITHIN));
    let executor = LocalExecutor::new();
    let tasks: Vec<_> = members
        .iter()
        .map(|member| {
            let host = member.address.ip().to_string();
            let node = Node { host, port: member.address.port() };
            executor.spawn(async move {
                let health = Client::new(vec![node], timeouts).info().await;
                let health = health.map(|reply| Health::read(&reply));
                AskedMember {
                    member: member.clone(),
                    health: health.map_err(|error| error.cause()),
                }
            })
        })
        .collect();
    executor
        .run(async {
            let mut asked = Vec::with_capacity(tasks.len());
            for task in tasks {
                asked.push(task.await);
            }
            asked
        })
        .await
}

/// The member, with its own report if it answers.
fn json_of_asked(asked: &AskedMember) -> Value {
    let mut object = json_of(&asked.member);
    object["answers"] = asked.health.is_ok().into();
    match &asked.health {
        Err(why) => object["cause"] = why.as_str().into(),
        Ok(health) => {
            object["ready"] = json!(health.ready);
            object["full"] = json!(health.full);
            object["files"] = json!(health.files);
            object["bytes"] = json!(health.bytes);
            object["clock_ms"] = json!(health.clock_ms);
            object["digest"] = json!(health.digest);
        }
    }
    object
}
