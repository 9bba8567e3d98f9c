//! A logging service on tonic's own transport, on tokio's runtime of one thread: it keeps messages
//! in memory, once each, and prints nothing of them.

use std::{
    collections::HashMap,
    env,
    error::Error,
    pin::Pin,
    sync::{Mutex, PoisonError},
};

use grpc_peers::{
    Empty, LogEntry, LogList, LogRequest, LogResponse, Outcome, TailRequest,
    logging_service_server::{LoggingService, LoggingServiceServer},
};
use tokio_stream::{Stream, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

#[derive(Default)]
struct Log(Mutex<State>);

#[derive(Default)]
struct State {
    positions: HashMap<String, usize>,
    messages: Vec<String>,
}

#[tonic::async_trait]
impl LoggingService for Log {
    async fn log_message(
        &self,
        request: Request<LogRequest>,
    ) -> Result<Response<LogResponse>, Status> {
        let LogRequest { id, msg } = request.into_inner();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match state.positions.get(&id) {
            Some(&at) if state.messages[at] == msg => Outcome::Duplicate,
            Some(_) => Outcome::Conflict,
            None => {
                let at = state.messages.len();
                state.positions.insert(id, at);
                state.messages.push(msg);
                Outcome::Logged
            }
        };
        Ok(Response::new(LogResponse { detail: "logged".into(), outcome: outcome.into() }))
    }

    async fn get_logs(&self, _: Request<Empty>) -> Result<Response<LogList>, Status> {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner).messages.clone();
        Ok(Response::new(LogList { logs }))
    }

    type TailStream = Pin<Box<dyn Stream<Item = Result<LogEntry, Status>> + Send>>;

    async fn tail(&self, _: Request<TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        Err(Status::unimplemented("nobody measures this"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = env::args().nth(1).unwrap_or_else(|| "0".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on {}", listener.local_addr()?);
    Server::builder()
        .tcp_nodelay(true)
        .add_service(LoggingServiceServer::new(Log::default()))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}
