//! The deterministic simulator: a whole ring in one thread, in virtual time, from one seed.
//!
//! First, everything that can go wrong does: nodes crash, with and without what they held, one at a
//! time or all at once, or are paused; networks part, slow down, lose and refuse connections and break them in mid-message;
//! clocks differ and jump; stores are full; nodes leave. All the while clients put and get. Then
//! comes calm, and these must hold:
//!
//! - no PUT that was acknowledged is lost while one node that held it survives;
//! - every request gets exactly one answer, within its deadline;
//! - after some calm all live nodes have one view and equal stores, and are ready;
//! - a read that starts after a PUT's acknowledgement returns that version or a newer one, or 503, at
//!   every node that agrees with one that holds it about their ring, and everywhere where no fault of
//!   the run can part the ring; and a PUT that starts there gets a later version;
//! - when a node leaves gracefully, no file is lost that only it held;
//! - what was acknowledged while all members of the circle kept their files on disks is there after all
//!   have lost their power at once, and what was deleted so stays deleted;
//! - nothing grows: links, queues, views; with no requests only CHECK and CHECKED travel, and no
//!   node handles a FORWARD more often than its creator has sent it.
//!
//! A failure prints its seed. To see it again, and what led to it:
//!
//! ```text
//! SMOLRING_SEED=17 cargo test --test it sim -- --nocapture       (SMOLRING_TRACE=all for more)
//! SMOLRING_SEEDS=100000 cargo test --release --test it sim       as many seeds as wanted (from
//!                                                                SMOLRING_FIRST on)
//! ```

use std::{env, panic, str::FromStr};

mod calm;
mod checker;
mod clients;
mod faults;
mod lives;
pub mod plan;
mod run;
mod scene;
mod steps;
pub mod transcript;

pub use crate::world::Rng;
use crate::world::World;
pub use {
    clients::Wish,
    faults::Fault,
    plan::Plan,
    scene::{Shows, Sim},
    steps::{Step, StepFault, Steps},
};

/// Seeds of a normal test run.
const SEEDS: u64 = 300;
/// After this many failures the rest is not run.
const FAILURES_MAX: usize = 10;

#[test]
fn a_ring_survives_everything_and_forgets_nothing() {
    if let Some(seed) = variable("SMOLRING_SEED") {
        let all = env::var("SMOLRING_TRACE").is_ok_and(|it| it == "all");
        World::run(seed, if all { Shows::All } else { Shows::Main });
        return;
    }
    let seeds = variable("SMOLRING_SEEDS").unwrap_or(SEEDS);
    let mut failed = Vec::new();
    let (mut slowest, mut acknowledged, mut given_up, mut messages) = (0, 0, 0, 0);
    let first = variable("SMOLRING_FIRST").unwrap_or(0);
    for seed in first..first + seeds {
        match panic::catch_unwind(|| World::run(seed, Shows::Nothing)) {
            Ok(report) => {
                slowest = slowest.max(report.healed_after);
                acknowledged += report.acknowledged;
                given_up += report.given_up;
                messages += report.messages;
            }
            Err(_) => failed.push(seed),
        }
        if failed.len() == FAILURES_MAX {
            break;
        }
    }
    eprintln!(
        "{seeds} seeds: {acknowledged} PUTs acknowledged, {given_up} requests given up, {messages} messages, healed after {} ms at most",
        slowest / 1000
    );
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
}

#[test]
fn two_members_that_cannot_reach_each_other_cost_the_others_little() {
    let seeds = variable("SMOLRING_SEED").map_or(0..6, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let shows =
            if variable::<u64>("SMOLRING_SEED").is_some() { Shows::Main } else { Shows::Nothing };
        let parted = World::part_a_pair(seed, 3 + (seed % 3) as usize, shows);
        eprintln!("seed {seed}: {parted:?}");
        assert!(parted.parted * 3 >= parted.well, "seed {seed}: {parted:?}");
        assert!(parted.lists <= 60, "seed {seed}: {parted:?}");
    }
}

#[test]
fn parts_that_were_apart_for_longer_than_deletions_are_remembered_become_one() {
    let seeds = variable("SMOLRING_SEED").map_or(0..6, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let shows =
            if variable::<u64>("SMOLRING_SEED").is_some() { Shows::Main } else { Shows::Nothing };
        World::part_for_long(seed, 2 + (seed % 3) as usize, shows);
    }
}

/// A number that the environment gives.
pub fn variable<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}
