//! The bodies of http-types, which tide and surf use.

use std::{io, pin::Pin, task::Poll};

use hyper::body::Bytes;
use smol::{future, io::AsyncBufRead};
use tide::Body;

use super::pieces::Pieces;

/// A body on its way to hyper. What is in memory is taken whole, at once. An error: it cannot be read.
pub(super) async fn pieces(body: Body) -> io::Result<Pieces> {
    let bytes = body.len();
    if bytes == Some(0) {
        return Ok(Pieces::Whole(Bytes::new()));
    }
    let mut reader = body.into_reader();
    let whole = future::poll_fn(|cx| match Pin::new(&mut reader).poll_fill_buf(cx) {
        Poll::Ready(Ok(all)) if Some(all.len()) == bytes => {
            Poll::Ready(Ok(Some(Bytes::copy_from_slice(all))))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        _ => Poll::Ready(Ok(None)),
    });
    Ok(match whole.await? {
        Some(whole) => Pieces::Whole(whole),
        None => Pieces::Reader(reader, bytes.map(|bytes| bytes as u64)),
    })
}
