//! The processes of `smolring up`: what they say, and their end.

use std::{
    env,
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

use crate::{cli::Exit, command::parent, timestamp::Timestamp};

/// How long a process may take to say where it listens.
const LISTENING_WITHIN: Duration = Duration::from_secs(10);
/// After this long it is said which have not ended.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// How long all may take to end; then they are killed.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

/// A command of this program as a process of its own, that has just been started.
pub(super) struct Started {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: ChildStderr,
}

impl Started {
    /// Starts this program with other arguments, and without these variables.
    pub(super) fn new(args: &[String], without: &[&str]) -> Result<Self, String> {
        let mut command = process::Command::new(program()?);
        command.args(parent::arguments()).args(args);
        without.iter().for_each(|variable| {
            command.env_remove(variable);
        });
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

    /// Listens to its first lines, until `hears` has made something of one.
    pub(super) async fn greeting<T>(
        &mut self,
        name: &str,
        mut hears: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, String> {
        let heard = async {
            loop {
                let line = self.stdout.next().await.and_then(Result::ok)?;
                if let Some(heard) = hears(&line) {
                    return Some(heard);
                }
            }
        };
        let late = async {
            Timer::after(LISTENING_WITHIN).await;
            None
        };
        if let Some(heard) = future::or(heard, late).await {
            return Ok(heard);
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

/// All that were started, and what they say.
pub(super) struct Children {
    running: Vec<Running>,
    said: Receiver<Word>,
    says: Sender<Word>,
}

struct Running {
    label: Arc<str>,
    child: Child,
}

/// A line of one of them, or `None` when it has ended.
struct Word {
    label: Arc<str>,
    line: Option<String>,
}

impl Default for Children {
    fn default() -> Self {
        let (says, said) = channel::bounded(1024);
        Self { running: Vec::new(), said, says }
    }
}

impl Children {
    /// Takes in one that has said where it listens. Its lines begin with `label` from now on.
    pub(super) fn add(&mut self, label: &str, started: Started) {
        let label: Arc<str> = label.into();
        let Started { child, stdout, stderr } = started;
        smol::spawn(relay(label.clone(), stdout, self.says.clone())).detach();
        smol::spawn(relay_errors(label.clone(), stderr, self.says.clone())).detach();
        self.running.push(Running { label, child });
    }

    /// Shows what they say, a line each; of one that has ended, how to bring it back with `again`.
    /// Ends when all of them have ended.
    pub(super) async fn watch(
        &mut self,
        print: impl Fn(&str) -> Result<(), String>,
        again: impl AsyncFn(&str) -> String,
    ) -> Result<Exit, String> {
        // What was said so far belongs to the start.
        while self.said.try_recv().is_ok() {}
        let mut running = self.running.len();
        let width = self.running.iter().map(|it| it.label.len()).max().unwrap_or_default();
        while running > 0 {
            let Ok(Word { label, line }) = self.said.recv().await else { break };
            match line {
                Some(line) => print(&format!("{label:width$} | {line}\n"))?,
                None => {
                    running -= 1;
                    let (how, again) = (self.obituary(&label).await, again(&label).await);
                    let now = Timestamp::now();
                    let line =
                        format!("{now} ended, {how}. To bring it back: {} {again}", invoked());
                    print(&format!("{label:width$} | {line}\n"))?;
                }
            }
        }
        Err("all have ended".into())
    }

    async fn obituary(&mut self, label: &str) -> String {
        let status = match self.running.iter_mut().find(|it| &*it.label == label) {
            Some(it) => it.child.status().await.ok(),
            None => None,
        };
        status.map_or("it is not known how".into(), |status: ExitStatus| status.to_string())
    }

    /// Ends all that still run, at once.
    pub(super) fn kill(&mut self) {
        for it in &mut self.running {
            // One that has ended needs nothing.
            let _ = it.child.kill();
        }
    }

    /// Ends all: in order if they can, by force if they must. Shows which of them take long.
    pub(super) async fn end(&mut self, print: impl Fn(&str) -> Result<(), String>) {
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
                // Where stdout cannot be written to, the others are to end all the same.
                let _ = print(&format!("{} | {line}\n", it.label));
            }
        }
        self.ended(begun + ENDED_WITHIN).await;
        self.kill();
    }

    /// Waits until all have ended, or for so long.
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

/// Passes on the rest of what one says, and then its end.
async fn relay(
    label: Arc<str>,
    mut lines: Lines<impl smol::io::AsyncBufRead + Unpin>,
    says: Sender<Word>,
) {
    while let Some(Ok(line)) = lines.next().await {
        let _ = says.send(Word { label: label.clone(), line: Some(line) }).await;
    }
    let _ = says.send(Word { label, line: None }).await;
}

async fn relay_errors(label: Arc<str>, stderr: impl AsyncRead + Unpin, says: Sender<Word>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Some(Ok(line)) = lines.next().await {
        let _ = says.send(Word { label: label.clone(), line: Some(line) }).await;
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

fn program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("cannot find this program: {error}"))
}

/// What to type to start this program: what the user typed.
pub(super) fn invoked() -> String {
    let typed = env::args().next().unwrap_or_else(|| "smolring".into());
    // By a link of this name, the program is `up` and nothing else.
    let is_link = Path::new(&typed).file_name().is_some_and(|name| name == "up");
    let real = env::current_exe().ok().filter(|_| is_link);
    quoted(&real.map_or(typed, |path| path.display().to_string()))
}

/// A word as a shell takes it.
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
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
