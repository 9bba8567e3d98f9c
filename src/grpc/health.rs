//! `grpc.health.v1`: whether the server, or one of its services, is ready.
//!
//! The service itself is tonic's; it needs no runtime.

pub use tonic_health::server::{HealthReporter, health_reporter};

/// What reflection tells of it.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic_health::pb::FILE_DESCRIPTOR_SET;
