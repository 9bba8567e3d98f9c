//! The tests that look at the crate from outside, in one binary: it links once.

mod bytes;
mod client;
mod cluster;
mod codec;
mod fuzz;
mod nonsense;
mod processes;
mod refusals;
mod sim;
mod tidy;
mod traces;
mod up;
mod view;
