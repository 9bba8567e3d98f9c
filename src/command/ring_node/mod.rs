//! `ring-node`: one node of a ring.

mod data;
mod durability;
#[cfg_attr(not(feature = "web"), path = "no_face.rs")]
mod face;
mod host_name;
mod options;
mod ring_name;
mod settings;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process,
};

use async_io::Timer;

use self::{data::Data, options::Options, ring_name::RingName, settings::Settings};
use crate::{
    cli::{self, Exit, UsageError},
    client::Node,
    net::Bound,
    ring::Event,
    serve::{
        lines::Lines,
        signals::EndSignals,
        systemd::{Given, notify},
    },
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
    // A folder that cannot be used is told before anything else happens.
    let data = settings.data.as_deref().map(|folder| Data::open(folder, &settings));
    let data = match data.transpose() {
        Ok(data) => data,
        Err(error) => return cli::fail(name, Exit::Failed, error),
    };
    let bound = match bind(name, &settings, data.as_ref().and_then(|data| data.address)) {
        Ok(bound) => bound,
        Err(why) => return cli::fail(name, Exit::Failed, why),
    };
    match serve(name, bound, data, settings, verbose) {
        Ok(()) => Exit::Done,
        Err(why) => cli::fail(name, Exit::Failed, why),
    }
}

/// The sockets that were handed over, or else those of the settings, or where the node was before.
fn bind(name: &str, settings: &Settings, before: Option<SocketAddr>) -> Result<Bound, String> {
    let given = Given::take();
    given.check()?;
    given.refused.iter().for_each(|note| cli::say(name, note));
    match Bound::given(given) {
        Ok(Some(bound)) => Ok(bound),
        Ok(None) => {
            let ip = settings.ip.or(before.map(|it| it.ip()).filter(IpAddr::is_loopback));
            let port = settings.port.or(before.map(|it| it.port()));
            Bound::new(ip, port).map_err(|error| settings.why_not_bound(&error))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Checks options that are given to all nodes of a ring on this machine, which keep files on the disk
/// or in memory. Returns the size in bytes of the largest file that such a node takes.
pub(super) fn check_common(args: &[String], on_disk: bool) -> Result<usize, UsageError> {
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
        ("--data", options.data.is_some()),
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
    options.data = on_disk.then(PathBuf::new);
    Ok(Settings::of(options)?.max_file_bytes)
}

fn serve(
    name: &str,
    bound: Bound,
    data: Option<Data>,
    settings: Settings,
    verbose: bool,
) -> Result<(), String> {
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
        return Err(format!(
            "{address} is nowhere: give --advertise (SMOLRING_ADVERTISE) a real address and port"
        ));
    }
    let mut signals = EndSignals::listen()?;
    let lines = Lines::start(settings.log_format)
        .map_err(|error| format!("cannot write lines: {error}"))?
        .timed();
    let also = match (bound.has_localhost(), bound.others()) {
        (true, _) => " and on 127.0.0.1".to_owned(),
        (false, 0) => String::new(),
        (false, others) => format!(" and on {}", cli::counted(others, "other socket")),
    };
    lines.say_at_once(format_args!("listening on {listens}{also}"));
    data.iter().for_each(|data| data.say(&lines));
    if let Err(error) = notify("READY=1") {
        lines
            .say_at_once(format_args!("cannot tell the service manager at NOTIFY_SOCKET: {error}"));
    }
    let (config, is_quiet) = (settings.config(address), settings.is_quiet);
    let on_event = {
        let lines = lines.clone();
        move |event: &Event| match event {
            _ if is_quiet => {}
            Event::Circle { .. } if !verbose => {}
            // The last member has left.
            Event::List(view) if view.circle().is_empty() => {}
            _ => lines.say_at_once(event),
        }
    };
    let (grace, later) = (settings.grace, lines.clone());
    let retire = {
        let (name, lines) = (name.to_owned(), lines.clone());
        async move {
            let signal = signals.next().await;
            let _ = notify("STOPPING=1");
            let soon = match grace.is_zero() {
                true => String::new(),
                false => format!(" in {grace:?}"),
            };
            lines.say_at_once(format_args!(
                "received {signal}, leaving the ring{soon}; another such signal, a second later, ends \
                 this node at once"
            ));
            signals.when_insisted(move |signal: &str| {
                cli::say(&name, format_args!("received {signal} as well, and ended at once"));
                process::exit(Exit::Failed as i32);
            });
        }
    };
    let leave = async move {
        if !grace.is_zero() {
            Timer::after(grace).await;
            later.say_at_once("leaving the ring now");
        }
    };
    bound
        .with_face(face::make(&settings, lines.clone()))
        .serve(config, settings.limits(), data.map(|data| data.store), retire, leave, on_event)
        .map_err(|error| format!("cannot serve on {listens}: {error}"))?;
    lines.finish();
    Ok(())
}
