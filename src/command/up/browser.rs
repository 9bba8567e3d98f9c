//! Where a browser sees the ring, and how it is opened there.

use std::{env, io, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use async_io::Timer;
use async_net::TcpStream;
use smol::{
    future,
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

/// What is asked to find out whether a node speaks HTTP.
const QUESTION: &[u8] = b"GET /_ring/health HTTP/1.0\r\nHost: localhost\r\n\r\n";
/// How long the answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Whether a node speaks HTTP: not every build does, and a user may not want it.
pub(super) async fn is_http(node: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(node).await?;
        stream.write_all(QUESTION).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer.starts_with(b"HTTP/1.") && answer.ends_with(b" 200"))
    };
    let late = async {
        Timer::after(ANSWER_WITHIN).await;
        Ok(false)
    };
    future::or(ask, late).await.unwrap_or(false)
}

/// The lines that say where.
pub(super) fn addresses(node: SocketAddr, has_site: bool) -> String {
    match has_site {
        true => format!("http://{node}/ is the site, http://{node}/_ring/ the ring\n"),
        false => format!("http://{node}/ shows the ring\n"),
    }
}

/// Opens a page in the user's browser, where there is a desktop. An error says why not.
pub(super) fn open(url: &str) -> Result<(), String> {
    let opener = opener().ok_or("there is no desktop here to open a browser on")?;
    let (stdout, stderr) = (Stdio::null(), Stdio::null());
    let started =
        Command::new(opener).arg(url).stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn();
    // It stays as long as it likes.
    started.map(drop).map_err(|error| format!("cannot run {opener}: {error}"))
}

/// The program that opens a page.
fn opener() -> Option<&'static str> {
    if cfg!(target_os = "macos") {
        return Some("open");
    }
    let is_set = |name| env::var_os(name).is_some_and(|it| !it.is_empty());
    let has_desktop = is_set("WAYLAND_DISPLAY") || is_set("DISPLAY");
    let path = env::var_os("PATH").filter(|_| has_desktop)?;
    let is_in = |folder: &Path| folder.join("xdg-open").is_file();
    env::split_paths(&path).any(|folder| is_in(&folder)).then_some("xdg-open")
}
