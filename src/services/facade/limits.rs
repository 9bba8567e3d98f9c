//! Every fixed bound of the facade, with its unit in its name.

use std::time::Duration;

/// Attempts to hand one message on, at most and by default.
pub const ATTEMPTS_MAX: u32 = 5;
/// One attempt, at least.
pub const ATTEMPT_TIMEOUT_MIN: Duration = Duration::from_millis(10);
/// The longest wait after a first failure to hand a message on.
pub const POST_BASE: Duration = Duration::from_millis(200);
/// The longest wait after any failure, but for the rule of the last attempt.
pub const BACKOFF_CAP: Duration = Duration::from_secs(2);
/// The last attempt is not made before this part of the time for all attempts is over.
pub const LAST_AFTER_PART: u32 = 3;
/// The longest wait after a first failure to read: somebody waits for a page.
pub const GET_BASE: Duration = Duration::from_millis(100);
/// How long a part of `GET /message` is tried to be read.
pub const GET_FOR: Duration = Duration::from_millis(2500);
/// `GET /message` in progress; others wait. Each may hold the messages twice.
pub const GETS_MAX: usize = 16;
/// An answer to `GET /message` that is longer than this counts as in progress until it is sent.
pub const HELD_BYTES_MIN: usize = 64 << 10;
/// Bytes of such an answer that are sent in one piece.
pub const PIECE_BYTES_MAX: usize = 32 << 10;
/// Bytes of the list of messages.
pub const LIST_BYTES_MAX: u64 = 16 << 20;
/// The same over gRPC, where each message takes up more of the memory; it is what grpcio takes too.
pub const GRPC_LIST_BYTES_MAX: usize = 4 << 20;
/// Bytes of the static text, as it comes.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Bytes of the answer to one message.
pub const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Requests to one place at a time; others wait, and not for longer than an attempt may take.
pub const CALLS_MAX: usize = 256;
/// Places of the logging service.
pub const PLACES_MAX: usize = 16;
/// Bytes of the key that a client may give to its message.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a posted message, as JSON. With its id it shall fit into the 1 MiB that the logging
/// service takes.
pub const BODY_BYTES_MAX: usize = (1 << 20) - 1024;
