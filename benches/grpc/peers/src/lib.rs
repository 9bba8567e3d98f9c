//! What `proto/logging.proto` says, as the crate has it.

include!("../../../../src/grpc/generated/logging.rs");
