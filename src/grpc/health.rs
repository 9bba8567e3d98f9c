//! `grpc.health.v1`: whether the server, or one of its services, is ready.
//!
//! tonic has a service that remembers what it was told. This one asks when it is asked, so that it
//! knows of a store that has gone away just now.

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

/// What reflection tells of it.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic_health::pb::FILE_DESCRIPTOR_SET;

/// Knows how a service is.
pub trait Doctor: Send + Sync + 'static {
    /// Whether the service of this name is ready, `""` being the server; `None`: there is no such
    /// service.
    fn is_ready(&self, service: &str) -> impl Future<Output = Option<bool>> + Send;
}

/// The service, for [`Server::with`](super::Server::with). `Check` asks the doctor; `Watch` asks
/// every second, and tells its client what has changed.
pub fn server<D: Doctor>(doctor: D) -> HealthServer<impl Health> {
    let places = Arc::new(Semaphore::new(WATCHERS_MAX));
    HealthServer::new(Practice { doctor: Arc::new(doctor), places })
}

/// Asks the server behind a channel whether this service is ready; `""` is the server itself.
pub async fn is_serving(channel: Channel, service: &str) -> Result<bool, Status> {
    let asked = HealthCheckRequest { service: service.into() };
    let answer = HealthClient::new(channel).check(asked).await?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

struct Practice<D> {
    doctor: Arc<D>,
    places: Arc<Semaphore>,
}

#[tonic::async_trait]
impl<D: Doctor> Health for Practice<D> {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match status(&*self.doctor, &request.get_ref().service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found("there is no such service")),
            status => Ok(Response::new(HealthCheckResponse { status: status.into() })),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let place = self.places.try_acquire_arc().ok_or_else(|| {
            Status::resource_exhausted(format!("{WATCHERS_MAX} watch already: use Check"))
        })?;
        let service = request.into_inner().service;
        let watch = Watch { doctor: self.doctor.clone(), service, told: None, _place: place };
        Ok(Response::new(Box::pin(stream::unfold(watch, |mut watch| async {
            let status = watch.change().await;
            Some((Ok(HealthCheckResponse { status: status.into() }), watch))
        }))))
    }
}

/// One who wants to know of changes.
struct Watch<D> {
    doctor: Arc<D>,
    service: String,
    told: Option<ServingStatus>,
    _place: SemaphoreGuardArc,
}

impl<D: Doctor> Watch<D> {
    /// The first status, or the next one that is another.
    async fn change(&mut self) -> ServingStatus {
        loop {
            if self.told.is_some() {
                Timer::after(WATCH_INTERVAL).await;
            }
            let status = status(&*self.doctor, &self.service).await;
            if self.told.replace(status) != Some(status) {
                return status;
            }
        }
    }
}

async fn status(doctor: &impl Doctor, service: &str) -> ServingStatus {
    match doctor.is_ready(service).await {
        Some(true) => ServingStatus::Serving,
        Some(false) => ServingStatus::NotServing,
        None => ServingStatus::ServiceUnknown,
    }
}
