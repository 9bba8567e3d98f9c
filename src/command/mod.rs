//! STARTS: the commands of this crate, each a function of its name and its arguments.
//!
//! `bins/` has one file per command; [`applet()`] is all of them in one, as `smolring`.

mod applet;
mod install;
mod parent;
#[cfg(feature = "ring")]
pub mod ring_node;
#[cfg(feature = "ring")]
pub mod up;

pub use applet::{log_variables, run as applet};
