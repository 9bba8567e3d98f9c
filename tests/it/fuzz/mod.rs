//! Two test bodies that random bytes must not break: the codec, and a node that receives nonsense.
//!
//! `fuzz/` runs them under libFuzzer for as long as one likes. Here the same bodies get a bounded
//! number of inputs in every test run.

use smolring::ring::{
    codec::{Decoder, Reject},
    limits::LINE_BYTES_MAX,
    message::{Envelope, Message, Peer, Request},
};

pub use crate::world::encode;

mod chance;
mod node;

pub use node::node;

/// Largest file of the decoders that are tested here.
pub const FILE_BYTES_MAX: usize = 300;

// ---- the codec

/// Any bytes, cut anywhere: no panic, the same messages however they are cut, little kept in
/// memory; and what decodes encodes to something that decodes to the same.
pub fn codec(data: &[u8]) {
    let Some((&[mode, seed], stream)) = data.split_first_chunk() else { return };
    let decoder = || decoder(mode & 1 == 1);
    let whole = decode_all(decoder(), stream, || usize::MAX);
    assert_eq!(whole, decode_all(decoder(), stream, || 1));
    let mut state = u32::from(seed);
    let cut = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as usize
    };
    assert_eq!(whole, decode_all(decoder(), stream, cut));
    for message in whole.iter().flatten() {
        assert_round_trip(message);
    }
}

/// A decoder for a client's connection, or for another node's.
pub fn decoder(is_peer: bool) -> Decoder {
    let mut decoder = Decoder::new(FILE_BYTES_MAX);
    if is_peer {
        decoder.trust_peer();
    }
    decoder
}

/// Feeds a decoder as a connection does, in pieces of the sizes that `cut` gives.
pub fn decode_all(
    mut decoder: Decoder,
    mut stream: &[u8],
    mut cut: impl FnMut() -> usize,
) -> Vec<Result<Message, Reject>> {
    let (mut messages, mut buffer) = (Vec::new(), Vec::new());
    while !stream.is_empty() {
        let (piece, rest) = stream.split_at(cut().clamp(1, stream.len()));
        stream = rest;
        buffer.extend_from_slice(piece);
        loop {
            let (taken, message) = decoder.decode(&buffer);
            buffer.drain(..taken);
            let is_done = message.is_none();
            messages.extend(message);
            if is_done {
                break;
            }
        }
        assert!(buffer.len() < LINE_BYTES_MAX, "{} bytes are kept back", buffer.len());
    }
    messages
}

/// Encodes the message and decodes it.
pub fn assert_round_trip(message: &Message) {
    let bytes = encode(message);
    let line_bytes = bytes.iter().position(|&byte| byte == b'\n').expect("a line has an end") + 1;
    if line_bytes > LINE_BYTES_MAX {
        // A prefix may be as long as its line; encoded, it is up to three times as long. A REFUSE
        // may say as much, and gets a stamp.
        let is_list = matches!(message, Message::Request(Request::List { .. }));
        let is_refuse =
            matches!(message, Message::Peer(Envelope { message: Peer::Refuse { .. }, .. }));
        return assert!(is_list || is_refuse, "{message:?}");
    }
    assert_eq!(decode_all(decoder(true), &bytes, || usize::MAX), [Ok(written(message))]);
}

/// The message as it is written: text for people has no control characters.
fn written(message: &Message) -> Message {
    let mut message = message.clone();
    if let Message::Peer(Envelope { message: Peer::Refuse { reason, .. }, .. }) = &mut message {
        *reason = reason.replace(|c: char| c.is_control(), "?");
    }
    message
}

/// What a node sends decodes, and encodes to the same bytes. (What is said about addresses that are
/// not in the view is left out, so the messages themselves may differ.)
fn assert_is_said_well(bytes: &[u8]) {
    match &decode_all(decoder(true), bytes, || usize::MAX)[..] {
        [Ok(message)] => assert_eq!(encode(message), bytes),
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod tests;
