//! A node that answers as a test says, for what a real one does too rarely.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// What a node answers to a line, or that it breaks the connection.
pub type Answer = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Starts a node. Returns its address.
pub fn node(answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    serve(listener, Arc::new(answer));
    address
}

/// Answers at a port until the test ends.
pub fn serve(listener: TcpListener, answer: Arc<Answer>) {
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || talk(stream, &*answer));
        }
    });
}

fn talk(stream: TcpStream, answer: &Answer) {
    let mut out = stream.try_clone().unwrap();
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    while input.read_line(&mut line).is_ok_and(|read| read > 0) {
        let bytes = line.split_whitespace().find_map(|word| word.strip_prefix("len="));
        let mut content = vec![0; bytes.map_or(0, |bytes| bytes.parse().unwrap())];
        if input.read_exact(&mut content).is_err() {
            return;
        }
        let Some(answer) = answer(line.trim_end()) else { return };
        if out.write_all(answer.as_bytes()).is_err() {
            return;
        }
        line.clear();
    }
}

/// An answer with lines behind it.
pub fn rows(keys: &str, rows: &[String]) -> String {
    let body: String = rows.iter().map(|row| format!("{row}\n")).collect();
    format!("200 OK len={} count={}{keys}\n{body}", body.len(), rows.len())
}
