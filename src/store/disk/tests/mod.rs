//! Tests of the store on a simulated disk.

mod damage;
mod faults;
mod power;
mod rig;
mod sim;
