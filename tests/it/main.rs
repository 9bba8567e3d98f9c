//! The tests that look at the crate from outside, in one binary: it links once.

mod bytes;
mod caller;
mod client;
mod cluster;
mod codec;
mod echo;
mod fuzz;
mod hello;
mod http;
mod nonsense;
mod outgoing;
mod processes;
mod refusals;
mod served;
mod service;
mod sim;
mod smuggling;
mod tidy;
mod traces;
mod up;
mod view;
