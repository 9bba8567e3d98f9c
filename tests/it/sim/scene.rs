//! What the simulator adds to the world: a plan, clients, faults, and a checker that sees everything.

use smolring::ring::{
    Event as Note, Input, LinkId, Output, RequestId, StoreFault,
    message::{Answer, Envelope, Message, Peer},
};

use super::{
    checker::Checker,
    clients::Client,
    faults::PlannedCrash,
    plan::Plan,
    steps::{Step, Steps},
    transcript::Transcript,
};
use crate::world::{
    Arrival, ConnectionId, Host, Micros, Network, Pull, Scene, Sending, Timeline, World,
    first_line, ms,
};

/// What the simulator plans.
pub enum Event {
    /// A host starts, with what it held or without.
    Start { host: usize, keeps: bool },
    /// A client may send its next request.
    Turn { client: usize },
    /// A client's request arrives.
    Ask { host: usize, life: u32, arrival: Arrival },
    /// A clock is put right.
    ClockRight { host: usize },
    /// Time for the next fault.
    Fault,
    /// A partition between these routes is over and takes connections with it.
    Break { routes: Vec<(usize, usize)> },
}

pub struct Sim {
    pub plan: Plan,
    pub clients: Vec<Client>,
    pub checker: Checker,
    /// For each host, a crash that is to come in the middle of what it does.
    pub crashes: Vec<Option<PlannedCrash>>,
    /// All may lose their power again from then on.
    pub next_blackout: Micros,
    pub shows: Shows,
    /// How the store of each host behaves.
    pub disks: Vec<Disk>,
    /// What is shown to readers, where a script asks for it.
    pub transcript: Option<Transcript>,
    /// The steps of a run in an exact network, if faults are put at them.
    pub steps: Option<Steps>,
}

/// How a store behaves.
#[derive(Clone, Copy, Default)]
pub struct Disk {
    /// How long it takes, where a script says so.
    pub delay: Option<Micros>,
    /// What is wrong with it, and until when.
    pub fault: Option<(StoreFault, Micros)>,
}

/// How much a replay shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shows {
    Nothing,
    /// Faults, requests, answers, what nodes notify of, and FORWARDs.
    Main,
    /// Every message.
    All,
}

impl Sim {
    /// A world in which nothing runs yet.
    pub fn world(
        plan: Plan,
        time: Timeline<Event>,
        hosts: Vec<Host>,
        shows: Shows,
        is_exact: bool,
    ) -> World<Self> {
        let mut network = Network::new(plan.hosts, plan.latency, plan.file_bytes_max, is_exact);
        network.swallowed = plan.swallowed;
        let (clients, checker) = (Vec::new(), Checker::new(&plan));
        let crashes = vec![None; hosts.len()];
        let (disks, transcript, steps) = (vec![Disk::default(); hosts.len()], None, None);
        let next_blackout = 0;
        let scene = Self {
            plan,
            clients,
            checker,
            crashes,
            next_blackout,
            shows,
            disks,
            transcript,
            steps,
        };
        World::new(time, network, hosts, scene)
    }
}

impl Scene for Sim {
    type Event = Event;

    fn happen(world: &mut World<Self>, event: Event) {
        let is_calm = world.time.now >= world.scene.plan.calm_at;
        match event {
            Event::Start { .. } | Event::Fault | Event::Break { .. } if is_calm => {}
            Event::Start { host, keeps } => world.start(host, keeps),
            Event::Turn { client } => world.turn(client),
            Event::Ask { host, life, arrival } => world.deliver(host, life, arrival),
            Event::ClockRight { host } => world.hosts[host].jump_ms = 0,
            Event::Fault => world.fault(),
            Event::Break { routes } => world.break_routes(&routes),
        }
    }

    fn stepped(world: &mut World<Self>, host: usize, wanted: &[Output]) {
        let Sim { checker, plan, .. } = &mut world.scene;
        checker.inspect(world.time.now, &world.hosts[host], wanted, plan);
    }

    fn crashes_now(world: &mut World<Self>, host: usize) -> bool {
        let Some(planned) = &mut world.scene.crashes[host] else { return false };
        if planned.outputs > 0 {
            planned.outputs -= 1;
            return false;
        }
        let planned = *planned;
        world.crash_as_planned(host, planned);
        true
    }

    fn passes(world: &mut World<Self>, connection: ConnectionId, end: Option<usize>) -> bool {
        if world.scene.steps.is_none() {
            return false;
        }
        let host = |end| world.network.host_at(connection, end);
        let (Some(opener), Some(acceptor)) = (host(0), host(1)) else { return false };
        let step = match end {
            None => Step::Connect { from: opener, to: acceptor },
            Some(end) => {
                let Some(bytes) = world.network.first_bytes(connection, end) else { return false };
                let is_pulse = bytes.starts_with(b"CHECK");
                let [from, to] = if end == 0 { [opener, acceptor] } else { [acceptor, opener] };
                Step::Message { connection, end, from, to, is_pulse }
            }
        };
        world.step_comes(step)
    }

    fn connects(world: &mut World<Self>, host: usize, to: usize) {
        world.tell_all(Some(host), || format!("connects to n{to}"));
    }

    fn sends(world: &mut World<Self>, sending: Sending<'_>) {
        let Sending { host, to, message, bytes, waiting, is_first } = sending;
        let text = || format!("-> n{to}  {}", first_line(bytes));
        match message.message {
            Peer::ForwardPut(_) | Peer::ForwardGet(_) => world.tell(Some(host), text),
            Peer::Check(_) | Peer::Meet(_) => {
                world.tell_all(Some(host), || format!("{}\n{}", text(), members(bytes)));
            }
            _ => world.tell_all(Some(host), text),
        }
        if let Some(transcript) = &mut world.scene.transcript {
            let message = Message::Peer(message.clone());
            transcript.sends(world.time.now, (host, to), is_first, bytes, &message);
        }
        world.scene.checker.queued(waiting + bytes.len());
        world.scene.checker.sent(&world.hosts[host], message);
    }

    fn closes(world: &mut World<Self>, host: usize, to: usize) {
        if let Some(transcript) = &mut world.scene.transcript {
            transcript.closes(world.time.now, host, to);
        }
    }

    fn pulls(world: &mut World<Self>, host: usize, pull: &Pull, is_here: Option<bool>) {
        let from = world.hosts.iter().position(|it| it.address == pull.from);
        let Some(from) = from else { return };
        let what = match is_here {
            None => "pulls",
            Some(true) => "has pulled",
            Some(false) => "does not get",
        };
        world.tell(Some(host), || format!("{what} {} of n{from}", pull.name));
        if let Some(transcript) = &mut world.scene.transcript {
            transcript.pulls(world.time.now, host, from, &format!("{what} {}", pull.name.wire()));
        }
    }

    fn hears(world: &mut World<Self>, host: usize, link: LinkId, message: Envelope) {
        world.scene.checker.handled(&world.hosts[host], &message);
        let view =
            |world: &World<Self>| world.hosts[host].up().map(|up| up.node.view().full_hash());
        let before = view(world);
        let op = match &message.message {
            Peer::Check(check) => Some(check.op),
            _ => None,
        };
        if let Some(transcript) = &mut world.scene.transcript {
            transcript.check_arrives(op, host);
        }
        world.step(host, Input::Received { link, message });
        let has_changed = before != view(world);
        if let Some(transcript) = &mut world.scene.transcript {
            transcript.check_has_arrived(op, has_changed);
        }
    }

    fn loses_link(world: &mut World<Self>, host: usize, to: usize, why: &str) {
        if let Some(transcript) = &mut world.scene.transcript {
            transcript.loses_link(world.time.now, host, to, why);
        }
    }

    fn takes_request(world: &mut World<Self>, id: RequestId) {
        world.scene.checker.request_begins(id, world.time.now);
    }

    fn loses_request(world: &mut World<Self>, id: RequestId) {
        world.request_lost(id);
    }

    fn answers(world: &mut World<Self>, host: usize, id: RequestId, answer: &Answer) {
        if let Some(transcript) = &mut world.scene.transcript {
            transcript.answer(world.time.now, host, answer);
        }
        world.answered(host, id, answer);
    }

    fn notifies(world: &mut World<Self>, host: usize, note: &Note) {
        match note {
            Note::Circle { .. } => {}
            note => world.tell(Some(host), || format!("* {note}")),
        }
        if let Note::Nonsense { why } = note {
            panic!("n{host} closed a link: {why}");
        }
        if let Some(transcript) = &mut world.scene.transcript {
            transcript.event(world.time.now, host, note);
        }
        world.scene.checker.notified(note);
    }

    fn resumes(world: &mut World<Self>, host: usize) {
        world.tell(Some(host), || "goes on".to_owned());
    }

    fn stores(world: &mut World<Self>, host: usize) -> (Micros, Result<(), StoreFault>) {
        let most = world.scene.plan.store_delay;
        let (delay, fault) = (world.scene.disks[host].delay, Self::disk_fault(world, host));
        let chance = |world: &mut World<Self>| match most {
            0 => 0,
            most => world.time.rng.range(0, most + 1),
        };
        (delay.unwrap_or_else(|| chance(world)), fault.map_or(Ok(()), Err))
    }

    fn disk_fault(world: &World<Self>, host: usize) -> Option<StoreFault> {
        // Memory does not fail.
        let is_disk = world.scene.plan.keeps(host);
        let fault = world.scene.disks[host].fault.filter(|_| is_disk);
        fault.filter(|&(_, until)| world.time.now < until).map(|(fault, _)| fault)
    }

    fn loses_files(world: &mut World<Self>, host: usize) {
        world.hosts[host].lost_at = Some(world.time.now);
        // What was acknowledged is on the disk of a host that keeps it there.
        if !world.scene.plan.keeps(host) {
            world.scene.checker.memory_lost(host);
        }
    }

    /// Its links close gracefully, and its life ends.
    fn leaves(world: &mut World<Self>, host: usize) {
        world.tell(Some(host), || "has left".to_owned());
        if let Some(transcript) = &mut world.scene.transcript {
            transcript.leaves(world.time.now, host);
        }
        let Sim { checker, plan, .. } = &world.scene;
        checker.check_left_behind(world.time.now, &world.hosts[host], &world.hosts, plan);
        world.close_links(host);
        world.scene.checker.check_all_answered(host, world.hosts[host].life);
        world.crash(host, false);
    }
}

impl World<Sim> {
    /// One line of the replay, if any are shown.
    pub fn tell(&self, host: Option<usize>, what: impl FnOnce() -> String) {
        if self.scene.shows >= Shows::Main {
            self.say(host, &what());
        }
    }

    /// One line that is shown only if everything is.
    pub fn tell_all(&self, host: Option<usize>, what: impl FnOnce() -> String) {
        if self.scene.shows >= Shows::All {
            self.say(host, &what());
        }
    }

    fn say(&self, host: Option<usize>, what: &str) {
        let mut text = what.to_owned();
        for host in &self.hosts {
            text = text.replace(&host.address.to_string(), &host.to_string());
        }
        let host = host.map_or("  ".to_owned(), |host| format!("n{host}"));
        eprintln!("{:>11.6} {host} {text}", self.time.now as f64 / ms(1000) as f64);
    }
}

/// What a message says about each member.
fn members(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    text.lines().skip(1).map(|line| format!("                 {line}\n")).collect()
}

/// A time span in virtual time, as text.
pub fn in_ms(time: Micros) -> String {
    format!("{} ms", time / ms(1))
}
