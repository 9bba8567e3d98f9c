//! `grpc.health.v1`: whether the server, or one of its services, is ready.
//!
//! The service itself is tonic's; it needs no runtime.

use tonic::Status;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
pub use tonic_health::server::{HealthReporter, health_reporter};

use super::Channel;

/// What reflection tells of it.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic_health::pb::FILE_DESCRIPTOR_SET;

/// Asks the server behind a channel whether this service is ready; `""` is the server itself.
pub async fn is_serving(channel: Channel, service: &str) -> Result<bool, Status> {
    let asked = HealthCheckRequest { service: service.into() };
    let answer = HealthClient::new(channel).check(asked).await?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}
