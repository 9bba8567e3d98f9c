//! `ring-node`: one node of a ring.

mod options;
mod ring_name;
mod settings;

use std::process;

use self::{options::Options, settings::Settings};
use crate::{
    cli::{self, Exit},
    net::Bound,
    ring::Event,
    serve::{lines::Lines, signals::EndSignals},
};

/// Runs a node until it is told to end. Blocks.
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
