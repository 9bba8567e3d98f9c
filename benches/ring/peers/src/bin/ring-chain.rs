//! One link of a chain that keeps files, and as little as such a program can do: `ring-chain PORT
//! FILE [NEXT]`. What comes in goes to the next link and into the file at once; at the end the file
//! is synced, and answered when the next link has answered. It takes `PUT NAME len=N` and N bytes.

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

const PIECE: usize = 256 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [port, file, next @ ..] = &words[..] else { Err("ring-chain PORT FILE [NEXT]")? };
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?))?;
    println!("listening on {}", listener.local_addr()?);
    let next: Option<u16> = next.first().map(|port| port.parse()).transpose()?;
    for stream in listener.incoming() {
        take(&stream?, file, next)?;
    }
    Ok(())
}

fn take(mut from: &TcpStream, file: &str, next: Option<u16>) -> Result<(), Box<dyn Error>> {
    from.set_nodelay(true)?;
    let mut file = File::create(file)?;
    let mut next = next.map(|port| TcpStream::connect(("127.0.0.1", port))).transpose()?;
    let mut incoming = BufReader::with_capacity(PIECE, from);
    let mut head = String::new();
    incoming.read_line(&mut head)?;
    let mut left: usize = head.trim().rsplit("len=").next().unwrap_or_default().parse()?;
    if let Some(next) = &mut next {
        next.set_nodelay(true)?;
        next.write_all(head.as_bytes())?;
    }
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let count = incoming.read(&mut piece[..left.min(PIECE)])?;
        if count == 0 {
            return Err("the connection ended within a file".into());
        }
        if let Some(next) = &mut next {
            next.write_all(&piece[..count])?;
        }
        file.write_all(&piece[..count])?;
        left -= count;
    }
    file.sync_all()?;
    let copies = match next {
        None => 1,
        Some(next) => {
            let mut answer = String::new();
            BufReader::new(next).read_line(&mut answer)?;
            1 + answer.trim().rsplit("copies=").next().unwrap_or_default().parse::<u32>()?
        }
    };
    Ok(from.write_all(format!("200 OK copies={copies}\n").as_bytes())?)
}
