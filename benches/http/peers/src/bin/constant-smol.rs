//! Sockets on smol and nothing else: every read is answered with the same bytes, whatever it says.
//! No server on smol that reads requests can be quicker.

use async_net::{TcpListener, TcpStream};
use smol::{
    LocalExecutor,
    io::{AsyncReadExt, AsyncWriteExt},
};

/// What raw-api-server answers to `GET /api?name=Ann&age=30`, but for the date.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Server: smolring/0.1.0\r\nContent-Length: 25\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n\
    {\"name\":\"Ann\",\"age\":\"30\"}";

fn main() -> std::io::Result<()> {
    let executor: &LocalExecutor = Box::leak(Box::new(LocalExecutor::new()));
    let listener = TcpListener::try_from(peers::listen()?)?;
    // A task of its own: the future that `run` is given is polled at every turn.
    let accepting = executor.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            executor.spawn(answer(stream)).detach();
        }
    });
    smol::block_on(executor.run(accepting))
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut space = [0; 1024];
    while stream.read(&mut space).await? > 0 {
        stream.write_all(ANSWER).await?;
    }
    Ok(())
}
