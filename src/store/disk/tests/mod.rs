//! Tests of the store, on a simulated disk and on a real one.

mod damage;
mod faults;
mod gate;
mod open;
mod power;
pub mod rig;
mod running;
pub mod sim;
