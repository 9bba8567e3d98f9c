//! Writes lines to stdout on a thread of its own, so that a reader who stops reading never stops
//! the node.

use std::{
    fmt::Display,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::Duration,
};

use crate::{cli, net::limits::EVENT_LINES_MAX, timestamp::Timestamp};

/// How long the last lines may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where lines go in. What is dropped because nobody reads is counted, and said later.
pub struct Narrator {
    /// `None` after the end.
    lines: Option<SyncSender<String>>,
    done: Receiver<()>,
    dropped: usize,
}

impl Narrator {
    /// Starts the thread.
    pub fn start() -> Self {
        let (lines, receiver) = mpsc::sync_channel::<String>(EVENT_LINES_MAX);
        let (finished, done) = mpsc::channel();
        thread::spawn(move || {
            // A closed stdout is no reason to stop a node: the lines go nowhere.
            for line in receiver {
                let _ = cli::print(line);
            }
            let _ = finished.send(());
        });
        Self { lines: Some(lines), done, dropped: 0 }
    }

    /// Writes the time and a line, soon. Does not block.
    pub fn line(&mut self, line: impl Display) {
        let now = Timestamp::now();
        let text = match self.dropped {
            0 => format!("{now} {line}\n"),
            n => format!("{now} ({n} lines were dropped here)\n{now} {line}\n"),
        };
        match self.lines.as_ref().map(|lines| lines.try_send(text)) {
            Some(Ok(())) => self.dropped = 0,
            _ => self.dropped += 1,
        }
    }

    /// Waits until all is written, or for a second. What is said after that is lost.
    pub fn finish(&mut self) {
        self.lines = None;
        let _ = self.done.recv_timeout(FAREWELL);
    }
}
