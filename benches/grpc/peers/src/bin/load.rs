//! Loads a logging service: `load PORT CALLS SECONDS`. One connection, so many calls in flight, each
//! with an id of its own. Prints calls, seconds and the 50th and 99th percentile in microseconds.

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use grpc_peers::{LogRequest, Outcome, logging_service_client::LoggingServiceClient};
use tonic::transport::Endpoint;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let mut number = || words.next().ok_or("load PORT CALLS SECONDS")?.parse().map_err(Box::<dyn Error>::from);
    let (port, calls, seconds): (u64, u64, u64) = (number()?, number()?, number()?);
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.tcp_nodelay(true);
    let channel = endpoint.connect().await?;
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let workers: Vec<_> = (0..calls)
        .map(|worker| {
            let mut client = LoggingServiceClient::new(channel.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let id = format!("{:08x}-{worker:04}-{:08}", std::process::id(), times.len());
                    let msg = "a message of some forty bytes, like many".into();
                    let asked = Instant::now();
                    let answer = client.log_message(LogRequest { id, msg }).await?.into_inner();
                    times.push(asked.elapsed().as_micros() as u64);
                    // grpcio's peer does not say more than `logged`.
                    let is_new = matches!(answer.outcome(), Outcome::Logged | Outcome::Unspecified);
                    if answer.detail != "logged" || !is_new {
                        return Err(tonic::Status::internal(format!("{answer:?}")));
                    }
                }
                Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    times.sort_unstable();
    let percentile = |share: usize| times[times.len() * share / 100];
    println!("{} {seconds} {} {}", times.len(), percentile(50), percentile(99));
    Ok(())
}
