//! The processes of `smolring up`: their lines and their end.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use async_io::Timer;
use rustix::process::{Pid, Signal, kill_process};
use smol::{
    channel::{self, Receiver, Sender},
    future,
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    stream::StreamExt,
};

use super::screen::{self, print};
use crate::{cli::Exit, command::parent, timestamp::Timestamp};

/// Variables that every process of this program may have. The options of one are not those of another,
/// so the variables of options are not among them.
const COMMON_VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "TZ",
    "LANG",
    "TERM",
    "NO_COLOR",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
];

/// How long a process may take to print where it listens.
const LISTENING_WITHIN: Duration = Duration::from_secs(10);
/// After this long, those that have not ended are listed.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// How long all may take to end; then they are killed.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

/// A command of this program that has just been started as a process of its own.
pub(super) struct Started {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
}

impl Started {
    /// Starts this program with other arguments. Of the variables of this process, it has those that
    /// mean the same to every program, and those that `needs` says it needs.
    pub(super) fn new(args: &[String], needs: impl Fn(&str) -> bool) -> Result<Self, String> {
        let mut command = process::Command::new(program()?);
        command.args(parent::arguments()).args(args).env_clear();
        let is_needed = |name: &str| COMMON_VARIABLES.contains(&name) || needs(name);
        let needed = |(name, _): &(OsString, OsString)| name.to_str().is_some_and(is_needed);
        command.envs(env::vars_os().filter(needed));
        // Ctrl-C is for this process, which then ends the others.
        command.process_group(0);
        let mut command = Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = &args[0];
        let mut child = command.spawn().map_err(|error| format!("cannot start {name}: {error}"))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(format!("{name} has no output"));
        };
        Ok(Self { child, stdout: BufReader::new(stdout).lines(), stderr })
    }

    /// Reads its first lines, until `read` has found in one what it looks for.
    pub(super) async fn first_lines<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, String> {
        let found = async {
            loop {
                let line = self.stdout.next().await.and_then(Result::ok)?;
                if let Some(found) = read(&line) {
                    return Some(found);
                }
            }
        };
        let late = async {
            Timer::after(LISTENING_WITHIN).await;
            None
        };
        if let Some(found) = future::or(found, late).await {
            return Ok(found);
        }
        let _ = self.child.kill();
        let why = BufReader::new(&mut self.stderr).lines().next().await;
        let why = why.and_then(Result::ok).unwrap_or_default();
        Err(format!("{name} did not start: {why}"))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// All that were started, and the lines that they print.
pub(super) struct Children {
    running: Vec<Running>,
    printed: Receiver<ChildLine>,
    lines: Sender<ChildLine>,
}

struct Running {
    label: Arc<str>,
    child: Child,
}

/// A line of a child, or `None` when it has closed its stdout, because it has ended.
struct ChildLine {
    label: Arc<str>,
    line: Option<String>,
}

impl Default for Children {
    fn default() -> Self {
        let (lines, printed) = channel::bounded(1024);
        Self { running: Vec::new(), printed, lines }
    }
}

impl Children {
    /// Adds one that has printed where it listens. From now on its lines are shown after `label`.
    pub(super) fn add(&mut self, label: &str, started: Started) {
        let label: Arc<str> = label.into();
        let Started { child, stdout, stderr } = started;
        smol::spawn(relay(label.clone(), stdout, self.lines.clone())).detach();
        smol::spawn(relay_errors(label.clone(), stderr, self.lines.clone())).detach();
        self.running.push(Running { label, child });
    }

    /// How many still run.
    pub(super) fn count(&mut self) -> usize {
        let running = self.running.iter_mut();
        running.filter_map(|it| it.child.try_status().ok()).filter(Option::is_none).count()
    }

    /// Shows the lines of all; of a child that has ended, the command that starts it again.
    /// Ends when all of them have ended.
    pub(super) async fn watch(
        &mut self,
        restart: impl AsyncFn(&str) -> String,
    ) -> Result<Exit, String> {
        // The lines so far were printed by the start.
        while self.printed.try_recv().is_ok() {}
        let mut running = self.running.len();
        let width = self.running.iter().map(|it| it.label.len()).max().unwrap_or_default();
        while running > 0 {
            let Ok(ChildLine { label, line }) = self.printed.recv().await else { break };
            let shown = format!("{label:width$}");
            let columns = screen::columns();
            match line {
                Some(line) => print(&screen::event(&shown, &line, None, columns))?,
                None => {
                    running -= 1;
                    let (how, restart) = (self.how_ended(&label).await, restart(&label).await);
                    let now = Timestamp::now();
                    let text = format!("{now} ended, {how}. To bring it back:");
                    let command = format!("{} {restart}", invoked());
                    print(&screen::event(&shown, &text, Some(&command), columns))?;
                }
            }
        }
        Err("all have ended".into())
    }

    async fn how_ended(&mut self, label: &str) -> String {
        let status = match self.running.iter_mut().find(|it| &*it.label == label) {
            Some(it) => it.child.status().await.ok(),
            None => None,
        };
        status.map_or("it is not known how".into(), |status: ExitStatus| status.to_string())
    }

    /// Ends all that still run, at once.
    pub(super) fn kill(&mut self) {
        for it in &mut self.running {
            // One that has ended needs no signal.
            let _ = it.child.kill();
        }
    }

    /// Tells all to end, waits for them, and kills those that have not ended in time. Shows which of
    /// them take long.
    pub(super) async fn end(&mut self) {
        for it in &mut self.running {
            if let (Ok(None), Some(pid)) = (it.child.try_status(), pid(&it.child)) {
                let _ = kill_process(pid, Signal::TERM);
            }
        }
        let begun = Instant::now();
        self.ended(begun + SLOW_AFTER).await;
        for it in &mut self.running {
            if matches!(it.child.try_status(), Ok(None)) {
                let line = "has not ended yet; the next Ctrl-C does not wait for it";
                // Where stdout cannot be written to, the others must still end.
                let _ = print(&format!("{} | {line}\n", it.label));
            }
        }
        self.ended(begun + ENDED_WITHIN).await;
        self.kill();
    }

    /// Waits until all have ended, or for this long.
    async fn ended(&mut self, until: Instant) {
        for it in &mut self.running {
            let ended = async { drop(it.child.status().await) };
            future::or(ended, async {
                Timer::at(until).await;
            })
            .await;
        }
    }
}

/// Passes on the rest of a child's lines, and then its end.
async fn relay(
    label: Arc<str>,
    mut stdout: Lines<impl smol::io::AsyncBufRead + Unpin>,
    lines: Sender<ChildLine>,
) {
    while let Some(Ok(line)) = stdout.next().await {
        let _ = lines.send(ChildLine { label: label.clone(), line: Some(line) }).await;
    }
    let _ = lines.send(ChildLine { label, line: None }).await;
}

async fn relay_errors(label: Arc<str>, stderr: impl AsyncRead + Unpin, lines: Sender<ChildLine>) {
    let mut stderr = BufReader::new(stderr).lines();
    while let Some(Ok(line)) = stderr.next().await {
        let _ = lines.send(ChildLine { label: label.clone(), line: Some(line) }).await;
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("cannot find this program: {error}"))
}

/// What to type to start this program, quoted for a shell: what the user typed, if that starts it.
pub(super) fn invoked() -> String {
    let typed = env::args().next().unwrap_or_default();
    let path = Path::new(&typed);
    // Started through a link of this name, the program is only `up`.
    let is_link = path.file_name().is_some_and(|name| name == "up");
    // A shell looks for a word without a slash in these folders only.
    let folders = env::var_os("PATH").unwrap_or_default();
    let is_found = match typed.contains('/') {
        true => path.is_file(),
        false => env::split_paths(&folders).any(|folder| folder.join(path).is_file()),
    };
    let real = env::current_exe().ok().filter(|_| is_link || !is_found);
    quoted(&real.map_or(typed, |path| path.display().to_string()))
}

/// A word, quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@%+=,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_not_take_them_as_they_are() {
        for (word, shown) in [
            ("css/style.css", "css/style.css"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
            ("~x", "'~x'"),
            ("a\\b", r"'a\b'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
