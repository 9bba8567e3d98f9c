//! The tests that look at the crate from outside, in one binary: it links once.

mod api;
mod bytes;
mod caller;
mod client;
mod cluster;
mod codec;
mod echo;
mod fuzz;
mod grpc;
mod hello;
mod http;
mod http_tools;
mod nonsense;
mod outgoing;
mod processes;
mod proto;
mod raw_http;
mod refusals;
mod served;
mod service;
mod sim;
mod smuggling;
mod tidy;
mod traces;
mod up;
mod view;
