//! Pulls the content of a file from another node into the store, over a connection of its own.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    rc::Rc,
};

use smol::{
    future,
    io::{AsyncReadExt, AsyncWriteExt},
};

use super::{clock::Alarm, driver::Driver, limits::PULL_SILENCE, pieces::Pieces};
use crate::{
    connect::connect,
    ring::{
        Input, PullFault,
        codec::Encode,
        item::ArrivalId,
        limits::LINE_BYTES_MAX,
        line::Line,
        message::{PullOf, Request},
        name::Name,
    },
};

/// What is pulled.
#[derive(Clone, Debug)]
pub(super) struct Pull {
    pub(super) from: SocketAddr,
    pub(super) name: Name,
    pub(super) of: PullOf,
    pub(super) bytes: u64,
}

/// Pulls a content, from where an earlier attempt ended, and tells the node what came of it.
pub(super) async fn run(driver: Rc<Driver>, arrival: ArrivalId, pull: Pull) {
    let result = content(&driver, arrival, &pull).await;
    driver.pull_ended(arrival);
    driver.drive(Input::Pulled { arrival, result });
}

async fn content(
    driver: &Driver,
    arrival: ArrivalId,
    pull: &Pull,
) -> Result<blake3::Hash, PullFault> {
    let disk = driver.disk().ok_or(PullFault::Broken)?;
    let from = disk.written(arrival).await.map_err(PullFault::Store)?;
    let came = rest(driver, arrival, pull, from).await;
    // What has come is on the disk before another attempt asks for what is missing.
    let there = disk.written(arrival).await.map_err(PullFault::Store)?;
    match came {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(PullFault::Gone),
        Ok(()) if there == pull.bytes => {}
        _ => return Err(PullFault::Broken),
    }
    disk.finish(arrival);
    poll_fn(|cx| disk.poll_finished(cx, arrival)).await.map_err(PullFault::Store)
}

/// Receives everything from this byte on.
async fn rest(driver: &Driver, arrival: ArrivalId, pull: &Pull, from: u64) -> io::Result<()> {
    let disk = driver.disk().ok_or(io::ErrorKind::Unsupported)?;
    let mut left = pull.bytes.saturating_sub(from);
    let mut stream = within(connect(pull.from)).await?;
    let (mut line, name) = (Vec::new(), pull.name.clone());
    Request::Pull { name, of: pull.of, from }.encode(&mut line);
    within(stream.write_all(&line)).await?;
    let mut pieces = Pieces::default();
    let (mut buffer, mut there) = (pieces.buffer(), 0);
    let head = loop {
        let read = within(stream.read(&mut buffer[there..])).await?;
        there += read;
        match buffer[..there].iter().position(|&byte| byte == b'\n') {
            Some(end) => break end + 1,
            None if read == 0 || there >= LINE_BYTES_MAX => return Err(ended()),
            None => {}
        }
    };
    let text = std::str::from_utf8(&buffer[..head - 1]).map_err(io::Error::other)?;
    let answer = Line::new(text);
    if answer.word(0) == Some("404") {
        return Err(io::ErrorKind::NotFound.into());
    }
    if answer.word(0) != Some("200") || answer.number("len") != Ok(left) {
        return Err(io::Error::other(text.to_owned()));
    }
    let mut begins = head;
    loop {
        left = left.checked_sub((there - begins) as u64).ok_or_else(ended)?;
        if there > begins {
            disk.append(arrival, pieces.piece(buffer, there).slice(begins..));
            buffer = pieces.buffer();
            disk.room(arrival).await.map_err(|_| ended())?;
        }
        if left == 0 {
            return Ok(());
        }
        (begins, there) = (0, within(stream.read(&mut buffer)).await?);
        if there == 0 {
            return Err(ended());
        }
    }
}

fn ended() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Fails if nothing comes of it for too long.
async fn within<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    future::or(step, async {
        Alarm::after(PULL_SILENCE).await;
        Err(io::ErrorKind::TimedOut.into())
    })
    .await
}
