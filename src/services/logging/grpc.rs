//! The log over gRPC: `proto/logging.proto`, on the same store as HTTP.

use std::{collections::VecDeque, future, pin::Pin, sync::Arc};

use smol::stream::{self, Stream};
use tonic::{
    Request, Response, Status, codec::CompressionEncoding, metadata::MetadataValue,
    server::NamedService,
};

use super::{
    limits::{FOLLOWERS_MAX, LIST_BYTES_MAX, LIST_OVERHEAD_BYTES, PAGE_BYTES},
    log::{Follower, LogError, MessageLog},
    store::{Outcome, StoreEntry, StoreError},
};
use crate::{
    grpc::{
        HeldUntilSent, Server, health,
        logging::{
            self, Empty, LOG_FULL, LogEntry, LogList, LogRequest, LogResponse, REASON, TailRequest,
            logging_service_server::{LoggingService, LoggingServiceServer},
        },
        reflection,
    },
    serve::drain::Shutdown,
};

/// What clients call the service that use the same proto without its package.
const ALIAS: &str = "LoggingService";

/// The service itself, health and reflection. A message may have `bytes_max`. It is not ready from the
/// moment when `shutdown` is told.
pub(super) fn server(log: &Arc<MessageLog>, bytes_max: usize, shutdown: Shutdown) -> Server {
    let front = GrpcFront { log: log.clone(), shutdown };
    let service = LoggingServiceServer::new(front.clone())
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(bytes_max);
    let server = Server::new().with(service).with(health::server(front));
    let server = server.also_as(ALIAS, LoggingServiceServer::<GrpcFront>::NAME);
    let sets = [logging::FILE_DESCRIPTOR_SET, health::FILE_DESCRIPTOR_SET];
    reflection::add(server, &sets).expect("what the generator made can be read")
}

/// The log as a gRPC service.
#[derive(Clone)]
struct GrpcFront {
    log: Arc<MessageLog>,
    shutdown: Shutdown,
}

impl health::Readiness for GrpcFront {
    async fn is_ready(&self, service: &str) -> Option<bool> {
        let is_known = ["", ALIAS, LoggingServiceServer::<Self>::NAME].contains(&service);
        if !is_known {
            return None;
        }
        Some(!self.shutdown.is_told() && self.log.store().last().await.is_ok())
    }
}

#[tonic::async_trait]
impl LoggingService for GrpcFront {
    async fn log_message(
        &self,
        request: Request<LogRequest>,
    ) -> Result<Response<LogResponse>, Status> {
        let LogRequest { id, msg } = request.into_inner();
        let outcome = match self.log.append(&id, &msg).await? {
            Outcome::Logged => logging::Outcome::Logged,
            Outcome::Duplicate => logging::Outcome::Duplicate,
            Outcome::Conflict => logging::Outcome::Conflict,
        };
        if self.log.drops_reply() {
            // The caller's deadline ends the call.
            future::pending::<()>().await;
        }
        Ok(Response::new(LogResponse { detail: "logged".into(), outcome: outcome.into() }))
    }

    async fn get_logs(&self, _: Request<Empty>) -> Result<Response<LogList>, Status> {
        let permit = self.log.list_permit().await;
        let mut logs = Vec::new();
        let (mut position, mut bytes) = (0, 0);
        loop {
            let page = self.log.store().read(position, PAGE_BYTES).await.map_err(LogError::from)?;
            let Some(last) = page.last() else { break };
            position = last.position;
            bytes += page.iter().map(|entry| entry.msg.len() + LIST_OVERHEAD_BYTES).sum::<usize>();
            if bytes > LIST_BYTES_MAX {
                let why = format!("the log is longer than {LIST_BYTES_MAX} bytes: use Tail");
                return Err(Status::resource_exhausted(why));
            }
            logs.extend(page.iter().map(|entry| String::from(&*entry.msg)));
        }
        let mut answer = Response::new(LogList { logs });
        if bytes > PAGE_BYTES {
            // While the client reads slowly, the answer stays in memory.
            answer.extensions_mut().insert(HeldUntilSent::new(permit));
        }
        Ok(answer)
    }

    type TailStream = Pin<Box<dyn Stream<Item = Result<LogEntry, Status>> + Send>>;

    async fn tail(
        &self,
        request: Request<TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let follower = self.log.follower().ok_or_else(|| {
            Status::resource_exhausted(format!("{FOLLOWERS_MAX} follow the log already"))
        })?;
        let position = self.log.begin(request.get_ref().after).await.map_err(LogError::from)?;
        let page = VecDeque::new();
        let tail = Tail { log: self.log.clone(), _follower: follower, position, page };
        Ok(Response::new(Box::pin(stream::try_unfold(tail, |mut tail| async {
            let entry = tail.next().await.map_err(LogError::from)?;
            Ok(Some((entry, tail)))
        }))))
    }
}

/// A caller that follows the log.
struct Tail {
    log: Arc<MessageLog>,
    _follower: Follower,
    position: u64,
    page: VecDeque<StoreEntry>,
}

impl Tail {
    /// The next entry. Waits until there is one.
    async fn next(&mut self) -> Result<LogEntry, StoreError> {
        loop {
            if let Some(StoreEntry { position, id, msg }) = self.page.pop_front() {
                self.position = position;
                return Ok(LogEntry { position, id: (*id).into(), msg: (*msg).into() });
            }
            let store = self.log.store();
            store.arrival(self.position).await?;
            self.page = store.read(self.position, PAGE_BYTES).await?.into();
        }
    }
}

impl From<LogError> for Status {
    fn from(error: LogError) -> Self {
        let text = error.to_string();
        match error {
            LogError::BadId | LogError::MsgTooLong => Self::invalid_argument(text),
            LogError::Store(StoreError::Full) => {
                let mut full = Self::resource_exhausted(text);
                full.metadata_mut().insert(REASON, MetadataValue::from_static(LOG_FULL));
                full
            }
            LogError::Store(StoreError::Unavailable(_)) => Self::unavailable(text),
            LogError::Store(StoreError::Broken(_)) => Self::internal(text),
        }
    }
}
