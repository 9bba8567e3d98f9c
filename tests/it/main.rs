//! The tests that look at the crate from outside, in one binary.

mod client;
mod cluster;
mod tidy;
mod up;
