//! smolring
pub mod cli;
pub mod client;
pub mod command;
pub mod net;
pub mod ring;
