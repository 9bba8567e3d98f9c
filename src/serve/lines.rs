//! Lines to stdout. A thread of its own writes them, so that a reader that stops reading never
//! stops the process: what does not fit into the buffer is dropped and counted.

use std::{
    fmt::Display,
    io::{self, Write as _},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use super::log_format::LogFormat;
use crate::{
    printable::{JsonText, Printable},
    timestamp::Timestamp,
};

/// Bytes of lines that wait to be written. Over that, lines are dropped and counted.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// Lines that are not urgent are collected this long, and then written together.
const GATHER: Duration = Duration::from_millis(5);
/// How long the last lines may take when the process ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where a process writes lines. Clones write to the same place.
#[derive(Clone, Debug)]
pub struct Lines {
    shared: Arc<LinesShared>,
    form: LineForm,
}

/// What a line that is said looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineForm {
    /// As it is said.
    Bare,
    /// With the time in front.
    Timed,
    /// An object of JSON with `time` and `message`.
    Json,
}

#[derive(Debug, Default)]
struct LinesShared {
    buffer: Mutex<Buffer>,
    /// There is something to write, or nothing more will come.
    changed: Condvar,
    /// All is written.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Buffer {
    waiting: Vec<u8>,
    dropped: u64,
    is_urgent: bool,
    is_writing: bool,
    is_closed: bool,
}

impl Lines {
    /// Starts the thread that writes to stdout.
    pub(crate) fn start(format: LogFormat) -> io::Result<Self> {
        let shared = Arc::<LinesShared>::default();
        let writer = shared.clone();
        thread::Builder::new().name("log".into()).spawn(move || writer.write_all())?;
        let form = match format {
            LogFormat::Json => LineForm::Json,
            LogFormat::Text | LogFormat::Combined => LineForm::Bare,
        };
        Ok(Self { shared, form })
    }

    /// The same, with the time in front of each line that is said; in JSON it is there anyway.
    pub(crate) fn timed(self) -> Self {
        let form = if self.form == LineForm::Json { LineForm::Json } else { LineForm::Timed };
        Self { form, ..self }
    }

    /// Writes a line, in a few milliseconds. Does not block; what the reader of stdout does not take
    /// in time is dropped and counted. The text may have come from anywhere: what would end the line
    /// or change a terminal is escaped.
    pub fn say(&self, message: impl Display) {
        self.push(false, |buffer| self.line(buffer, &message));
    }

    /// The same, and the writing begins at once.
    pub(crate) fn say_at_once(&self, message: impl Display) {
        self.push(true, |buffer| self.line(buffer, &message));
    }

    /// Says each line of a text of this program's own, at once.
    pub(crate) fn say_lines(&self, text: &str) {
        text.lines().for_each(|line| self.say_at_once(line));
    }

    /// Lets `line` append whole lines, without the time, to what is written next. Does not block.
    pub(crate) fn write(&self, line: impl FnOnce(&mut Vec<u8>)) {
        self.push(false, line);
    }

    /// Waits until all is written, or for a second. What is said after that is lost.
    pub(crate) fn finish(&self) {
        let mut buffer = self.shared.lock();
        buffer.is_closed = true;
        self.shared.changed.notify_all();
        let _ = self.shared.done.wait_timeout_while(buffer, FAREWELL, |buffer| {
            buffer.is_writing || !buffer.waiting.is_empty()
        });
    }

    fn line(&self, buffer: &mut Vec<u8>, message: &dyn Display) {
        let message = message.to_string();
        // Writing to a Vec cannot fail.
        let _ = match self.form {
            LineForm::Bare => writeln!(buffer, "{}", Printable(&message)),
            LineForm::Timed => writeln!(buffer, "{} {}", Timestamp::now(), Printable(&message)),
            LineForm::Json => {
                let (time, message) = (Timestamp::now(), JsonText(&message));
                writeln!(buffer, r#"{{"time":"{time}","message":{message}}}"#)
            }
        };
    }

    fn push(&self, is_urgent: bool, line: impl FnOnce(&mut Vec<u8>)) {
        let mut buffer = self.shared.lock();
        if buffer.waiting.len() >= WAITING_BYTES_MAX {
            buffer.dropped += 1;
            return;
        }
        if buffer.dropped > 0 {
            let dropped = std::mem::take(&mut buffer.dropped);
            let note = format_args!("({dropped} lines were dropped here)");
            self.line(&mut buffer.waiting, &note);
        }
        let was_empty = buffer.waiting.is_empty();
        line(&mut buffer.waiting);
        buffer.is_urgent |= is_urgent;
        if (was_empty || is_urgent) && !buffer.is_writing {
            self.shared.changed.notify_all();
        }
    }
}

impl LinesShared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: takes what has gathered and writes it in one piece.
    fn write_all(&self) {
        let mut full = Vec::new();
        let mut buffer = self.lock();
        loop {
            let waits = |buffer: &mut Buffer| buffer.waiting.is_empty() && !buffer.is_closed;
            buffer = self.changed.wait_while(buffer, waits).unwrap_or_else(PoisonError::into_inner);
            if buffer.waiting.is_empty() {
                return;
            }
            let gathers = |buffer: &mut Buffer| !buffer.is_urgent && !buffer.is_closed;
            let waited = self.changed.wait_timeout_while(buffer, GATHER, gathers);
            buffer = waited.unwrap_or_else(PoisonError::into_inner).0;
            std::mem::swap(&mut buffer.waiting, &mut full);
            buffer.is_urgent = false;
            buffer.is_writing = true;
            drop(buffer);
            // A closed stdout is no reason to stop a server: the lines are dropped.
            let mut stdout = io::stdout().lock();
            let _ = stdout.write_all(&full).and_then(|()| stdout.flush());
            drop(stdout);
            full.clear();
            buffer = self.lock();
            buffer.is_writing = false;
            self.done.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines without a thread that writes them.
    fn unwritten() -> Lines {
        Lines { shared: Arc::default(), form: LineForm::Bare }
    }

    fn take(lines: &Lines) -> String {
        String::from_utf8(std::mem::take(&mut lines.shared.lock().waiting)).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_counted_and_said_later() {
        let lines = unwritten();
        lines.write(|buffer| buffer.resize(WAITING_BYTES_MAX, b'x'));
        lines.say("too much");
        lines.say_at_once("too much");
        assert_eq!(take(&lines).len(), WAITING_BYTES_MAX);
        lines.say("there is room again");
        assert_eq!(take(&lines), "(2 lines were dropped here)\nthere is room again\n");
    }

    #[test]
    fn what_is_said_is_one_line_and_in_json_an_object() {
        let lines = unwritten();
        lines.say("a\n\u{1b}[2J\u{202e}\"");
        assert_eq!(take(&lines), "a\\n\\u{1b}[2J\\u{202e}\"\n");
        let lines = Lines { form: LineForm::Json, ..lines };
        lines.clone().timed().say("a\n\u{1b}\"");
        let text = take(&lines);
        let (start, end) = text.split_once("Z\",").unwrap();
        assert!(start.starts_with(r#"{"time":"20"#), "{text}");
        assert_eq!(end, "\"message\":\"a\\n\\u001b\\\"\"}\n");
    }

    #[test]
    fn the_time_stands_in_front_of_every_line() {
        let lines = unwritten().timed();
        lines.shared.lock().dropped = 1;
        lines.say("a\n\u{202e}");
        let text = take(&lines);
        let rest: Vec<&str> =
            text.lines().filter_map(|line| line.split_once("Z ")).map(|it| it.1).collect();
        assert_eq!(rest, ["(1 lines were dropped here)", "a\\n\\u{202e}"]);
    }
}
