//! `ring-node`: one node of a ring.

mod options;
mod ring_name;
mod settings;

use std::{net::SocketAddr, process};

use self::{options::Options, ring_name::RingName, settings::Settings};
use crate::{
    cli::{self, Exit, UsageError},
    client::Node,
    net::Bound,
    ring::Event,
    serve::{lines::Lines, signals::EndSignals},
};

/// Runs a node until a signal ends it. Blocks.
pub fn run(name: &str, args: &[String]) -> Exit {
    let options = match cli::parse::<Options>(name, args) {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    let verbose = options.verbose;
    let settings = match Settings::of(options) {
        Ok(settings) => settings,
        Err(error) => return cli::usage(name, &error),
    };
    let bound = match Bound::new(settings.ip, settings.port) {
        Ok(bound) => bound,
        Err(error) => return cli::fail(name, Exit::Failed, settings.why_not_bound(&error)),
    };
    match serve(name, bound, settings, verbose) {
        Ok(()) => Exit::Done,
        Err(why) => cli::fail(name, Exit::Failed, why),
    }
}

/// Checks options that are given to all nodes of a ring on this machine. Returns the size in bytes
/// of the largest file that such a node takes.
pub(super) fn check_common(args: &[String]) -> Result<usize, UsageError> {
    let mut options: Options = cli::read(args)?;
    let own = [
        ("--ip", options.ip.is_some()),
        ("--port", options.port.is_some()),
        ("--prev", !options.prev.is_empty()),
        ("--prev-ip", options.prev_ip.is_some()),
        ("--prev-port", options.prev_port.is_some()),
        ("--ring", options.ring.is_some()),
        ("--bootstrap", options.bootstrap),
        ("--advertise", options.advertise.is_some()),
    ];
    if let Some((option, _)) = own.into_iter().find(|(_, is_given)| *is_given) {
        return Err(UsageError(format!("{option} is different for each node and chosen by `up`")));
    }
    // Where the environment has these, `up` hides them from its nodes.
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    options.ip = Some(anywhere.ip());
    options.port = Some(0);
    options.prev = vec![Node::default()];
    options.ring = Some(RingName::default());
    options.advertise = Some(anywhere);
    Ok(Settings::of(options)?.max_file_bytes)
}

fn serve(name: &str, bound: Bound, settings: Settings, verbose: bool) -> Result<(), String> {
    let listens = bound.address();
    let address = match settings.advertise {
        Some(address) => address,
        None if listens.ip().is_unspecified() => {
            return Err(format!(
                "{listens} is every address of this host: say with --advertise IP:PORT by which \
                 of them the other nodes reach it"
            ));
        }
        None => listens,
    };
    if address.port() == 0 || address.ip().is_unspecified() {
        return Err(format!("{address} is nowhere: give --advertise a real address and port"));
    }
    let mut signals = EndSignals::listen()?;
    let lines = Lines::start().map_err(|error| format!("cannot write lines: {error}"))?.timed();
    let also = if bound.has_localhost() { " and on 127.0.0.1" } else { "" };
    lines.say_at_once(format_args!("listening on {listens}{also}"));
    let config = settings.config(address);
    let on_event = {
        let lines = lines.clone();
        move |event: &Event| match event {
            Event::Circle { .. } if !verbose => {}
            // The last member has left.
            Event::List(view) if view.circle().is_empty() => {}
            _ => lines.say_at_once(event),
        }
    };
    let leave = {
        let (name, lines) = (name.to_owned(), lines.clone());
        async move {
            let signal = signals.next().await;
            lines.say_at_once(format_args!(
                "received {signal}, leaving the ring; the next such signal ends this node at once"
            ));
            signals.at_next(move |signal: &str| {
                cli::say(&name, format_args!("received {signal} as well, and ended at once"));
                process::exit(Exit::Failed as i32);
            });
        }
    };
    bound
        .serve(config, settings.limits(), leave, on_event)
        .map_err(|error| format!("cannot serve on {listens}: {error}"))?;
    lines.finish();
    Ok(())
}
