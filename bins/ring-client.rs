//! `ring-client`: asks the nodes of a ring.

fn main() {}
