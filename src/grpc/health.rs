//! `grpc.health.v1`: whether the server, or one of its services, is ready.
//!
//! tonic has a service that answers what it was last told. This one asks the service itself each
//! time, so it notices a store that has just gone away.

use std::{pin::Pin, sync::Arc};

use async_io::Timer;
use smol::{
    lock::{Semaphore, SemaphoreGuardArc},
    stream::{self, Stream},
};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

use super::{
    Channel,
    limits::{WATCH_INTERVAL, WATCHERS_MAX},
};

/// Its description, for [`reflection`](super::reflection).
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic_health::pb::FILE_DESCRIPTOR_SET;

/// Tells whether a service is ready.
pub trait Readiness: Send + Sync + 'static {
    /// Whether the service of this name is ready, `""` being the server; `None`: there is no such
    /// service.
    fn is_ready(&self, service: &str) -> impl Future<Output = Option<bool>> + Send;
}

/// The service, for [`Server::with`](super::Server::with). `Check` asks `readiness`; `Watch` asks
/// it every second, and reports changes to its caller.
pub fn server<R: Readiness>(readiness: R) -> HealthServer<impl Health> {
    let watchers = Arc::new(Semaphore::new(WATCHERS_MAX));
    HealthServer::new(HealthService { readiness: Arc::new(readiness), watchers })
}

/// Asks the server behind a channel whether this service is ready; `""` is the server itself.
pub async fn is_serving(channel: Channel, service: &str) -> Result<bool, Status> {
    let asked = HealthCheckRequest { service: service.into() };
    let answer = HealthClient::new(channel).check(asked).await?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

struct HealthService<R> {
    readiness: Arc<R>,
    /// A permit for each further caller of `Watch`.
    watchers: Arc<Semaphore>,
}

#[tonic::async_trait]
impl<R: Readiness> Health for HealthService<R> {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match status(&*self.readiness, &request.get_ref().service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found("there is no such service")),
            status => Ok(Response::new(HealthCheckResponse { status: status.into() })),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let permit = self.watchers.try_acquire_arc().ok_or_else(|| {
            Status::resource_exhausted(format!("{WATCHERS_MAX} watch already: use Check"))
        })?;
        let service = request.into_inner().service;
        let readiness = self.readiness.clone();
        let watch = Watch { readiness, service, told: None, _permit: permit };
        Ok(Response::new(Box::pin(stream::unfold(watch, |mut watch| async {
            let status = watch.change().await;
            Some((Ok(HealthCheckResponse { status: status.into() }), watch))
        }))))
    }
}

/// One call of `Watch`.
struct Watch<R> {
    readiness: Arc<R>,
    service: String,
    told: Option<ServingStatus>,
    _permit: SemaphoreGuardArc,
}

impl<R: Readiness> Watch<R> {
    /// The first status, then each that differs from the one before. Waits for it.
    async fn change(&mut self) -> ServingStatus {
        loop {
            if self.told.is_some() {
                Timer::after(WATCH_INTERVAL).await;
            }
            let status = status(&*self.readiness, &self.service).await;
            if self.told.replace(status) != Some(status) {
                return status;
            }
        }
    }
}

async fn status(readiness: &impl Readiness, service: &str) -> ServingStatus {
    match readiness.is_ready(service).await {
        Some(true) => ServingStatus::Serving,
        Some(false) => ServingStatus::NotServing,
        None => ServingStatus::ServiceUnknown,
    }
}
