//! smolring
pub mod cli;
pub mod command;
pub mod net;
pub mod ring;
