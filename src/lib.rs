//! smolring
pub mod ring;
