//! Every bound of the network side, with its unit in its name.

use std::time::Duration;

/// Bytes that one read takes at most. One buffer of this size serves all connections.
pub const READ_BYTES_MAX: usize = 128 << 10;
/// Full reads of one connection in a row before others have their turn.
pub const READS_PER_TURN_MAX: usize = 8;
/// Writes of one connection in a row. The system takes a few MiB at most in each.
pub const WRITES_PER_TURN_MAX: usize = 4;
/// Client connections; over that the longest idle one is closed for a new one.
pub const CLIENTS_MAX: usize = 4096;
/// Descriptors that are kept for links between nodes and for the runtime; on a host that allows
/// few, half of those that the runtime leaves.
pub const DESCRIPTORS_KEPT: usize = 320;
/// Requests of one connection that wait for their answer; at this number reading stops.
pub const PIPELINE_REQUESTS_MAX: usize = 1024;
/// Requests of one connection that the node takes in one turn; then the task checks whether there
/// is room for more answers.
pub const TURN_REQUESTS_MAX: usize = 64;
/// Bytes of answers that one client has not taken; at this number reading stops.
pub const UNREAD_ANSWER_BYTES_MAX: usize = 1 << 20;
/// Memory for files, by default.
pub const STORE_BYTES_MAX_DEFAULT: usize = 1 << 30;
/// Memory for everything that is on its way through a node, by default.
pub const FLIGHT_BYTES_MAX_DEFAULT: usize = 256 << 20;
/// Tasks that are woken together when there is room again.
pub const FLIGHT_WAKES_MAX: usize = 64;
/// How often an upload that has no room asks whether it is its turn.
pub const TURN_LOOK: Duration = Duration::from_millis(100);
/// Bytes that an upload must bring in a [`TURN_LOOK`] so as to keep its turn while others ask.
pub const TURN_BYTES_MIN: usize = 16 << 10;
/// Bytes of a link that may be in the system's send buffer. It says that there is room again when a
/// third of it has arrived, and only that shows that the other node lives: on a line of 5 Mbit/s
/// about twice a second.
pub const LINK_SYSTEM_BYTES: usize = 512 << 10;
/// The content of a larger file is not copied next to its line but sent from where it is in memory.
pub const COPIED_CONTENT_BYTES_MAX: usize = 16 << 10;
/// Capacity that an empty outbox keeps; above it, a new buffer is begun.
pub const OUTBOX_KEPT_BYTES_MAX: usize = 64 << 10;
/// A file on a disk that is longer than this is sent piece by piece, as it is read.
pub const STREAMED_BYTES_MIN: usize = 1 << 20;
/// One piece.
pub const PIECE_BYTES_MAX: usize = 128 << 10;
/// Pieces of one connection in a row.
pub const PIECES_PER_TURN_MAX: usize = 4;
/// Pieces are read while less than this waits to leave.
pub const STREAM_AHEAD_BYTES: usize = 256 << 10;
/// Bytes of memory for a file that arrives over HTTP, before more of it is here.
pub const INCOMING_BYTES_FIRST: usize = 16 << 10;
/// Events that are kept for those that watch a node, and messages that have passed.
pub const NEWS_KEPT: usize = 50;
/// The same of messages.
pub const PASSED_KEPT: usize = 64;
/// Messages a second that are shown.
pub const PASSED_PER_SECOND_MAX: usize = 20;
/// Bytes of one content that arrives which the disk may have yet to write.
pub const TRANSFER_AHEAD_BYTES: u64 = 1 << 20;
/// Bytes of all of them. Over that, each may go on only when all of it is written.
pub const AHEAD_BYTES_MAX: u64 = 8 << 20;
/// How long a node that a content is pulled from may send nothing: it may itself be receiving it.
pub const PULL_SILENCE: Duration = Duration::from_secs(20);
/// After half a message, or with answers not taken, and no progress for this long: 408, or closed.
pub const STALL: Duration = Duration::from_secs(10);
/// How long a connection is still read after the last answer, so that the answer is not lost.
pub const LINGER: Duration = Duration::from_secs(1);
/// How long a node that has left its ring lets clients take the answers that they have asked for.
pub const FAREWELL: Duration = Duration::from_secs(3);
/// How often it then checks whether they have.
pub const FAREWELL_LOOK: Duration = Duration::from_millis(5);
/// How often a node notes on its disk that it is alive.
pub const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How often stalled connections are looked for.
pub const SWEEP: Duration = Duration::from_secs(1);
/// Connections that are accepted in a row before others have their turn.
pub const ACCEPTS_PER_TURN_MAX: u32 = 16;
/// A wake-up that comes this late means that the process did not run; what has arrived meanwhile is
/// read first.
pub const LATE: Duration = Duration::from_millis(20);
