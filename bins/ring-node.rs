//! `ring-node`: one node of a ring.

use smolring::{
    cli::{self, Exit},
    command::ring_node,
};

fn main() -> Exit {
    cli::start("ring-node", ring_node::run)
}
