//! The steps of a run in an exact network, and faults that are put at some of them.
//!
//! A step is a message or a connection request that is about to arrive, or a command of a script
//! that is about to be carried out. The same script has the same steps until a fault happens.

use super::scene::{Event, Sim};
use crate::world::{ConnectionId, Micros, World, ms};

/// How long a host that restarts is down.
const RESTART: Micros = ms(20);
/// How long a pausing host does nothing: until it counts as gone, or only a part of that.
const PAUSE: Micros = ms(900);
/// How late a message is.
const LATE: Micros = ms(400);
/// How long a host refuses connections.
const REFUSAL: Micros = ms(2000);

/// What is about to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Message {
        connection: ConnectionId,
        end: usize,
        from: usize,
        to: usize,
        /// It is a CHECK or its answer.
        is_pulse: bool,
    },
    Connect {
        from: usize,
        to: usize,
    },
    Command,
}

/// What goes wrong at a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepFault {
    /// The host ends, and stays down until calm.
    Crash(usize),
    /// It ends and is soon back, with what it held or without.
    Restart { host: usize, keeps: bool },
    /// It does nothing for a while.
    Pause(usize),
    /// It refuses connections for a while.
    Refuse(usize),
    /// The connection of the message breaks, and what is under way on it is lost.
    Break,
    /// The message is late, and all that comes after it on its connection.
    Late,
}

/// Counts the steps, and puts faults at some of them.
#[derive(Default)]
pub struct Steps {
    pub seen: Vec<Step>,
    /// By the number of the step. Each happens once.
    pub faults: Vec<(usize, StepFault)>,
}

impl Step {
    /// The single faults to try at the step of this number while these hosts run. Of the many
    /// CHECKs each gets one fault in turn, unless all are wanted.
    pub fn faults(&self, number: usize, live: &[usize], wants_all: bool) -> Vec<StepFault> {
        use StepFault::{Break, Crash, Late, Pause, Refuse, Restart};
        match *self {
            Self::Message { is_pulse: true, to, .. } => {
                let all = [Crash(to), Restart { host: to, keeps: true }, Break, Pause(to), Late];
                if wants_all { all.to_vec() } else { vec![all[number % all.len()]] }
            }
            Self::Message { from, to, .. } => vec![
                Crash(to),
                Crash(from),
                Restart { host: to, keeps: true },
                Restart { host: to, keeps: false },
                Restart { host: from, keeps: true },
                Break,
                Pause(to),
                Late,
            ],
            Self::Connect { to, .. } => vec![Refuse(to), Crash(to), Pause(to)],
            Self::Command => {
                let of = |&host| [Crash(host), Restart { host, keeps: true }, Pause(host)];
                live.iter().flat_map(of).collect()
            }
        }
    }
}

impl World<Sim> {
    /// A step comes. Returns whether something goes wrong at it.
    pub fn step_comes(&mut self, step: Step) -> bool {
        let Some(steps) = &mut self.scene.steps else { return false };
        let number = steps.seen.len();
        steps.seen.push(step);
        let due: Vec<_> = steps.faults.iter().filter(|(at, _)| *at == number).copied().collect();
        for &(_, fault) in &due {
            self.tell(None, || format!("# {fault:?} at {step:?}"));
            self.put_fault(step, fault);
        }
        !due.is_empty()
    }

    fn put_fault(&mut self, step: Step, fault: StepFault) {
        match (fault, step) {
            (StepFault::Crash(host), _) => self.crash(host, false),
            (StepFault::Restart { host, keeps }, _) if self.hosts[host].is_up() => {
                self.crash(host, false);
                self.plan_after(RESTART, Event::Start { host, keeps });
            }
            (StepFault::Pause(host), _) => self.pause_for(host, PAUSE),
            (StepFault::Refuse(host), _) => {
                self.network.refusing_until[host] = self.time.now + REFUSAL;
            }
            (StepFault::Break, Step::Message { connection, .. }) => {
                self.network.break_and_lose(&mut self.time, connection);
            }
            (StepFault::Late, Step::Message { connection, end, .. }) => {
                self.network.stall(connection, end, self.time.now + LATE);
            }
            _ => {}
        }
    }
}
