//! The verbs of `ring-client`, each with its options, as they are typed.

mod files;
mod folders;
mod ring;

use argh::{ArgsInfo, FromArgs};

pub(super) use self::{
    files::{Delete, Get, List, Log, Put},
    folders::{Export, Import, Pull, Push, Verify},
    ring::{Forget, Info, Ping, Ring, Status, Trace},
};
use super::bench::Bench;

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
pub(super) enum Verb {
    Put(Put),
    Get(Get),
    List(List),
    Log(Log),
    Delete(Delete),
    Push(Push),
    Pull(Pull),
    Verify(Verify),
    Export(Export),
    Import(Import),
    Ring(Ring),
    Status(Status),
    Trace(Trace),
    Forget(Forget),
    Ping(Ping),
    Info(Info),
    Bench(Bench),
}
