//! Every fixed bound of the facade, with its unit in its name.

use std::time::Duration;

/// Attempts to send one message on: the most, and the default.
pub const ATTEMPTS_MAX: u32 = 5;
/// The longest wait after a first failure to send a message on.
pub const POST_BASE: Duration = Duration::from_millis(200);
/// The longest wait after any failure, apart from the rule for the last attempt.
pub const BACKOFF_CAP: Duration = Duration::from_secs(2);
/// The last attempt is not made before the time for all attempts, divided by this, is over.
pub const LAST_AFTER_PART: u32 = 3;
/// The longest wait after a first failure to read. It is short: a user waits for a page.
pub const GET_BASE: Duration = Duration::from_millis(100);
/// How long the attempts to read a part of `GET /message` go on.
pub const GET_FOR: Duration = Duration::from_millis(2500);
/// `GET /message` in progress; others wait. Each may hold the messages twice.
pub const GETS_MAX: usize = 16;
/// An answer to `GET /message` that is longer than this counts as in progress until it is sent.
pub const HELD_BYTES_MIN: usize = 64 << 10;
/// Bytes of such an answer that are sent in one piece.
pub const PIECE_BYTES_MAX: usize = 32 << 10;
/// Bytes of the list of messages.
pub const LIST_BYTES_MAX: u64 = 16 << 20;
/// The same over gRPC, where each message takes up more memory. grpcio has the same limit.
pub const GRPC_LIST_BYTES_MAX: usize = 4 << 20;
/// Bytes of the static text, as received.
pub const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Bytes of the answer to one message.
pub const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Addresses of the logging service.
pub const SERVICES_MAX: usize = 16;
/// Bytes of the key that a client may give to its message.
pub const KEY_BYTES_MAX: usize = 256;
/// Bytes of a posted message, as JSON. With its id it must fit into the 1 MiB that the logging service
/// accepts.
pub const BODY_BYTES_MAX: usize = (1 << 20) - 1024;
