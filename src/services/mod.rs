//! ANSWERS: the services, each a tide application and the command that runs it.

pub mod hello;
