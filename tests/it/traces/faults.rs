//! Every fault at every step: each script is run again with each single fault put at each of its
//! steps, and then what the simulator demands must hold, during the script and in calm after it.
//!
//! Left out of a normal run: what several scripts have in common gets its faults in one of them; of the
//! many CHECKs each gets one of five faults in turn; and pairs of faults.
//!
//! ```text
//! SMOLRING_FAULT='put-goes-round 12 Break' cargo test --test it every_fault -- --nocapture
//! SMOLRING_PULSES=1 cargo test --release --test it every_fault         (all faults at all CHECKs too)
//! SMOLRING_PAIRS=600 cargo test --release --test it every_fault      (all pairs that 600 s allow)
//! SMOLRING_FIRST=900 SMOLRING_PAIRS=600 …                  (the same, from the 900th first fault on)
//! ```

use std::{
    collections::BTreeSet,
    env, panic,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Script, commands_of, scripts};
use crate::{
    sim::{Shows, Step, StepFault, Steps, variable},
    world::ms,
};

/// After this many failures the rest is not run.
const FAILURES_MAX: usize = 10;

/// One script with one or two faults in it.
struct Case {
    script: usize,
    faults: Vec<(usize, StepFault)>,
}

/// What has failed, in the form in which it can be run again.
type Failures = Mutex<Vec<String>>;

#[test]
fn every_fault_at_every_step_is_survived() {
    let scripts = scripts();
    if let Ok(wanted) = env::var("SMOLRING_FAULT") {
        return show(&scripts, &wanted);
    }
    let began = Instant::now();
    let failures = Failures::default();
    let singles = single_faults(&scripts);
    let end = Duration::from_secs(3600);
    let ran = run_all(&scripts, &singles, began + end, &failures);
    eprintln!("{ran} single faults in {:?}", began.elapsed());
    if let Some(seconds) = variable("SMOLRING_PAIRS") {
        let end = Instant::now() + Duration::from_secs(seconds);
        let from = variable("SMOLRING_FIRST").unwrap_or(0) as usize;
        let (ran, to) = run_pairs(&scripts, &singles, from, end, &failures);
        eprintln!("{ran} pairs of faults: first faults {from} to {to} of {}", singles.len());
    }
    let failures = failures.into_inner().expect("no thread panics");
    assert!(failures.is_empty(), "these fail (see SMOLRING_FAULT):\n{}", failures.join("\n"));
}

/// Each single fault at each step of each script. Many scripts begin in the same way; faults in a
/// common beginning are tried in one of them.
fn single_faults(scripts: &[(String, String)]) -> Vec<Case> {
    let (mut begun, mut singles) = (BTreeSet::new(), Vec::new());
    for (script, (_, text)) in scripts.iter().enumerate() {
        let mut so_far = String::new();
        let is_new = |command: &str| {
            so_far += command.trim_matches(['(', ')']);
            so_far += "\n";
            begun.insert(so_far.clone())
        };
        let faults = faults_of(text, &[], is_new);
        singles.extend(faults.into_iter().map(|fault| Case { script, faults: vec![fault] }));
    }
    singles
}

/// The single faults of a script that come after those that are in it already, in those commands that
/// are wanted.
fn faults_of(
    script: &str,
    before: &[(usize, StepFault)],
    mut is_wanted: impl FnMut(&str) -> bool,
) -> Vec<(usize, StepFault)> {
    let wants_all =
        env::var_os("SMOLRING_FAULT").is_some() || env::var_os("SMOLRING_PULSES").is_some();
    let commands = commands_of(script);
    let mut run = Script::new(&commands);
    run.is_disturbed = !before.is_empty();
    run.world.scene.steps = Some(Steps { faults: before.to_vec(), ..Steps::default() });
    let mut faults = Vec::new();
    let first = before.last().map_or(0, |last| last.0 + 1);
    let mut note = |run: &mut Script, from: usize, is_wanted: bool| {
        let live: Vec<_> =
            run.world.hosts.iter().filter(|it| it.is_up()).map(|it| it.index).collect();
        let steps = run.world.scene.steps.as_ref().expect("it was set");
        let new = steps.seen.iter().enumerate().skip(from.max(first));
        for (at, step) in new.filter(|_| is_wanted) {
            faults.extend(step.faults(at, &live, wants_all).into_iter().map(|fault| (at, fault)));
        }
        steps.seen.len()
    };
    let mut seen = 0;
    for command in commands {
        let is_wanted = is_wanted(command);
        run.world.step_comes(Step::Command);
        seen = note(&mut run, seen, is_wanted);
        run.carry_out(command);
        seen = note(&mut run, seen, is_wanted);
    }
    faults
}

/// Runs these cases until `end` on all cores, and returns how many it ran.
fn run_all(
    scripts: &[(String, String)],
    cases: &[Case],
    end: Instant,
    failures: &Failures,
) -> usize {
    let (next, ran) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed))
                    && Instant::now() < end
                    && failures.lock().expect("no thread panics").len() < FAILURES_MAX
                {
                    let (name, script) = &scripts[case.script];
                    ran.fetch_add(1, Ordering::Relaxed);
                    if panic::catch_unwind(|| run(script, &case.faults, Shows::Nothing)).is_err() {
                        let failure = format!("{name} {}", in_words(&case.faults));
                        eprintln!("failed: {failure}");
                        failures.lock().expect("no thread panics").push(failure);
                    }
                }
            });
        }
    });
    ran.into_inner()
}

/// The script with these faults, then calm.
fn run(script: &str, faults: &[(usize, StepFault)], shows: Shows) {
    let commands = commands_of(script);
    let mut run = Script::new(&commands);
    run.is_disturbed = true;
    run.world.scene.shows = shows;
    run.world.scene.steps = Some(Steps { faults: faults.to_vec(), ..Steps::default() });
    for command in commands {
        run.world.tell(None, || format!("> {command}"));
        run.world.step_comes(Step::Command);
        run.carry_out(command);
    }
    run.end_in_calm();
}

/// For each single fault all those that can come after it. They are spread, so that a time limit
/// leaves out pairs everywhere and not whole scripts; the next run can go `from` where one ended. Returns
/// how many ran, and the first fault whose pairs have not all run.
fn run_pairs(
    scripts: &[(String, String)],
    singles: &[Case],
    from: usize,
    end: Instant,
    failures: &Failures,
) -> (usize, usize) {
    // A prime stride visits them all, in an order that jumps between scripts.
    let stride = [7919, 7907].into_iter().find(|it| !singles.len().is_multiple_of(*it));
    let stride = stride.expect("not both divide the number");
    let mut ran = 0;
    for n in from..singles.len() {
        let first = &singles[n * stride % singles.len()];
        let seconds = faults_of(&scripts[first.script].1, &first.faults, |_| true);
        let pair = |second| Case { script: first.script, faults: vec![first.faults[0], second] };
        let pairs: Vec<_> = seconds.into_iter().map(pair).collect();
        ran += run_all(scripts, &pairs, end, failures);
        if Instant::now() >= end {
            return (ran, n);
        }
    }
    (ran, singles.len())
}

/// In the form in which it can be run again: `12 Break`, or two of these.
fn in_words(faults: &[(usize, StepFault)]) -> String {
    faults.iter().map(|(at, fault)| format!("{at} {fault:?}")).collect::<Vec<_>>().join(" + ")
}

/// Runs one case again and shows everything.
fn show(scripts: &[(String, String)], wanted: &str) {
    let (name, words) = wanted.split_once(' ').expect("the name of a script, and faults");
    let (_, script) = scripts.iter().find(|(it, _)| it == name).expect("there is such a script");
    let mut faults: Vec<(usize, StepFault)> = Vec::new();
    for word in words.split(" + ") {
        let all = faults_of(script, &faults, |_| true);
        let fault = all.into_iter().find(|fault| in_words(&[*fault]) == word);
        faults.push(fault.unwrap_or_else(|| panic!("{name} has no fault {word}")));
    }
    let all = env::var("SMOLRING_TRACE").is_ok_and(|it| it == "all");
    run(script, &faults, if all { Shows::All } else { Shows::Main });
}

impl Script {
    /// Ends all faults and demands what the simulator does. Nodes that were started so that they
    /// can never be in the ring of the others are started again.
    fn end_in_calm(&mut self) {
        for &host in &self.strays {
            self.world.crash(host, false);
        }
        for host in 0..self.world.hosts.len() {
            self.world.hosts[host].jump_ms = 0;
            if self.world.hosts[host].is_up() {
                self.world.set_clock(host);
            }
        }
        self.world.time.now += ms(1);
        self.world.scene.plan.calm_at = self.world.time.now;
        self.world.scene.steps = None;
        self.world.calm();
    }
}
