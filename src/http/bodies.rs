//! The bodies of http-types, which tide and surf use.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use hyper::body::Bytes;
use smol::io::AsyncBufRead;
use tide::Body;

use super::pieces::Pieces;

/// A body on its way to hyper. What is in memory is taken whole, at once. An error: it cannot be read.
pub(super) fn pieces(body: Body) -> io::Result<Pieces> {
    let bytes = body.len();
    if bytes == Some(0) {
        return Ok(Pieces::Whole(Bytes::new()));
    }
    let mut reader = body.into_reader();
    // A reader that is not ready is asked again, by hyper.
    let mut context = Context::from_waker(Waker::noop());
    let whole = match Pin::new(&mut reader).poll_fill_buf(&mut context) {
        Poll::Ready(Ok(all)) if Some(all.len()) == bytes => Some(Bytes::copy_from_slice(all)),
        Poll::Ready(Err(error)) => return Err(error),
        _ => None,
    };
    Ok(match whole {
        Some(whole) => Pieces::Whole(whole),
        None => Pieces::Reader(reader, bytes.map(|bytes| bytes as u64)),
    })
}
