//! What one seed decides before anything happens.

use std::time::Duration;

use super::faults::Fault;
use crate::world::{Micros, Rng, STORE_BYTES_MAX, ms};

/// The latency of a message in a script.
const SCRIPT_LATENCY: Micros = ms(1);
/// The largest file of a script, and what its stores take where it does not say otherwise.
pub const SCRIPT_FILE_BYTES_MAX: usize = 1 << 20;

/// Longer than any run.
pub const TTL_LONG: Micros = ms(30 * 24 * 60 * 60 * 1000);

/// All hosts keep files on disks.
pub const ALL_KEEP: u64 = u64::MAX;

/// The shape of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The name of the ring.
    pub ring: &'static str,
    pub hosts: usize,
    pub clients: usize,
    pub names: usize,
    pub min_copies: usize,
    pub check_interval: Micros,
    pub check_timeout: Micros,
    pub request_timeout: Micros,
    pub give_up_after: Micros,
    /// How long a tombstone is held. Longer than any fault.
    pub tombstone_ttl: Micros,
    pub keep_versions: usize,
    /// Which hosts keep files on a disk, a bit each.
    pub keepers: u64,
    /// From which length on contents are pulled, where all keep files on disks.
    pub apart_bytes: usize,
    /// And from which length on they are offered while a client sends them.
    pub offer_bytes: usize,
    /// Whether these go back to their ring by themselves, and not because an operator names a member.
    pub returns: bool,
    pub file_bytes_max: usize,
    /// From one host to another, while nothing is slow.
    pub latency: Micros,
    /// A client thinks up to this long between an answer and the next request.
    pub thinking: Micros,
    /// The faults of this run. With few kinds, faults of one kind coincide more often.
    pub faults: Vec<Fault>,
    /// Time between two faults, on average.
    pub fault_gap: Micros,
    /// Few faults, one or two at a time, and none that needs a timeout to be noticed. Then every
    /// request is answered within this time.
    pub patience: Option<Micros>,
    pub faults_come_in_pairs: bool,
    /// The first host is started without the address of a member, even if there are some.
    pub first_forgets_prev: bool,
    /// The share of connects that are lost on their way, in percent; the driver then tries another
    /// socket.
    pub swallowed: u64,
    /// A host whose store is small, and how many bytes that takes.
    pub small_store: Option<(usize, usize)>,
    /// A store takes up to this long to confirm what it is given.
    pub store_delay: Micros,
    /// Only a pause cuts a node off, and the node notices that: there is one ring at any time, so a
    /// read anywhere returns what was acknowledged anywhere.
    pub never_splits: bool,
    /// Hosts that have never run are started when faults end.
    pub starts_all: bool,
    /// Clients go on until all nodes are ready.
    pub is_tireless: bool,
    /// Files that the first host begins with.
    pub stock: usize,
    /// Faults last up to this long.
    pub fault_length: Micros,
    pub first_fault_at: Micros,
    /// When faults end.
    pub calm_at: Micros,
    /// After this much calm the ring must be one.
    pub healing_max: Micros,
    /// Calm is no longer than it must be: silence is shorter, and there is no wait where all requests
    /// are answered.
    pub is_calm_short: bool,
    /// Whether the silence lasts until nodes have noticed which links are dead.
    pub is_patient: bool,
}

impl Plan {
    pub fn new(rng: &mut Rng) -> Self {
        let plan = Self::stormy(rng);
        let plan = if rng.chance(15) { plan.gentle(rng) } else { plan };
        // Of nodes that come back, two that do not know each other may each begin a ring; soon these meet.
        let never_splits = plan.never_splits && (!plan.returns || plan.keepers == 0);
        Self { never_splits, ..plan }
    }

    /// Whether a host keeps files on a disk.
    pub fn keeps(&self, host: usize) -> bool {
        self.keepers >> host & 1 == 1
    }

    pub fn store_bytes_max(&self, host: usize) -> usize {
        match self.small_store {
            Some((small, bytes)) if small == host => bytes,
            _ => STORE_BYTES_MAX,
        }
    }

    fn stormy(rng: &mut Rng) -> Self {
        let is_honest = rng.chance(30);
        let never_splits = is_honest || rng.chance(15);
        let all = match (is_honest, never_splits) {
            (true, _) => &Fault::HONEST[..],
            (false, true) => &Fault::WHOLE[..],
            _ => &Fault::ALL[..],
        };
        let mut faults: Vec<_> = all.iter().copied().filter(|_| rng.chance(45)).collect();
        if faults.is_empty() {
            faults.push(rng.pick(all));
        }
        // A ring whose clocks have jumped by more than that forgets deletions too early.
        let ttls = [TTL_LONG, TTL_LONG, ms(40_000)];
        let ttls = if faults.contains(&Fault::ClockJump) { &ttls[..1] } else { &ttls[..] };
        let tombstone_ttl = rng.pick(ttls);
        let check_interval = ms(1000);
        let hosts = rng.range(2, 7) as usize;
        let small_store = rng.chance(10).then(|| (rng.index(hosts), rng.range(300, 3000) as usize));
        Self {
            ring: "sim",
            hosts,
            starts_all: true,
            swallowed: rng.pick(&[0, 0, 10]),
            small_store,
            store_delay: rng.pick(&[0, 0, 0, ms(1), ms(30), ms(500)]),
            never_splits,
            is_tireless: rng.chance(30),
            clients: rng.range(1, 5) as usize,
            names: rng.range(1, 7) as usize,
            min_copies: rng.pick(&[1, 1, 2]),
            check_interval,
            check_timeout: rng.pick(&[2, 3, 5]) * check_interval,
            request_timeout: rng.pick(&[ms(2000), ms(5000), ms(10_000)]),
            give_up_after: rng.pick(&[ms(1000), ms(5000), ms(20_000)]),
            tombstone_ttl,
            keep_versions: rng.pick(&[1, 2, 3, 3]),
            keepers: rng.pick(&[0, 0, ALL_KEEP, ALL_KEEP, 0b101]),
            returns: rng.chance(60),
            file_bytes_max: 64 << 10,
            latency: rng.pick(&[50, ms(1), ms(20)]),
            thinking: rng.pick(&[ms(50), ms(300), ms(1000)]),
            faults,
            fault_gap: rng.pick(&[ms(50), ms(300), ms(1000), ms(3000)]),
            fault_length: rng.pick(&[ms(50), ms(500), ms(2000), ms(8000)]),
            patience: None,
            faults_come_in_pairs: false,
            first_forgets_prev: !never_splits && rng.chance(20),
            stock: if rng.chance(5) { 150 } else { 0 },
            first_fault_at: rng.range(0, ms(4000)),
            calm_at: ms(4000) + rng.range(0, ms(16_000)),
            healing_max: ms(90_000),
            is_calm_short: false,
            is_patient: rng.chance(15),
            apart_bytes: rng.pick(&[usize::MAX, 20, 200]),
            offer_bytes: rng.pick(&[usize::MAX, 20, 100]),
        }
    }

    /// Nothing goes wrong by itself.
    pub fn quiet(rng: &mut Rng, hosts: usize) -> Self {
        Self {
            hosts,
            clients: 4,
            min_copies: 1,
            latency: ms(1),
            thinking: ms(200),
            check_timeout: ms(2000),
            request_timeout: ms(10_000),
            swallowed: 0,
            small_store: None,
            store_delay: 0,
            never_splits: false,
            first_forgets_prev: false,
            stock: 0,
            first_fault_at: ms(1_000_000),
            calm_at: ms(1_000_000),
            apart_bytes: usize::MAX,
            offer_bytes: usize::MAX,
            ..Self::stormy(rng)
        }
    }

    /// What happens is in a script.
    pub fn script(rng: &mut Rng, ring: &'static str, hosts: usize) -> Self {
        Self {
            ring,
            names: 2,
            latency: SCRIPT_LATENCY,
            check_interval: ms(1000),
            check_timeout: ms(3000),
            give_up_after: ms(5000),
            tombstone_ttl: TTL_LONG,
            keep_versions: 3,
            keepers: 0,
            returns: true,
            file_bytes_max: SCRIPT_FILE_BYTES_MAX,
            faults: Vec::new(),
            starts_all: false,
            is_calm_short: true,
            is_tireless: false,
            is_patient: false,
            ..Self::quiet(rng, hosts)
        }
    }

    fn gentle(self, rng: &mut Rng) -> Self {
        let all =
            [Fault::Break, Fault::BreakAll, Fault::Crash, Fault::CrashAndForget, Fault::Leave];
        // One fault loses only what is under way, and that is sent again at once. After two at a
        // time it may have to wait for the next CHECK.
        let faults_come_in_pairs = rng.chance(50);
        let patience = if faults_come_in_pairs { ms(3000) } else { ms(500) };
        let kinds = if faults_come_in_pairs { 2 } else { 1 };
        let faults: Vec<_> = (0..kinds).map(|_| rng.pick(&all)).collect();
        Self {
            latency: ms(5),
            thinking: ms(10),
            clients: 3,
            never_splits: faults.iter().all(|fault| Fault::HONEST.contains(fault)),
            small_store: None,
            store_delay: 0,
            faults,
            fault_gap: ms(1500),
            fault_length: ms(500),
            first_fault_at: ms(2000),
            calm_at: ms(8000),
            first_forgets_prev: false,
            stock: 0,
            patience: Some(patience),
            faults_come_in_pairs,
            // A slow transfer takes longer.
            apart_bytes: usize::MAX,
            offer_bytes: usize::MAX,
            ..self
        }
    }
}

/// As the core counts time.
pub fn duration(time: Micros) -> Duration {
    Duration::from_micros(time)
}
