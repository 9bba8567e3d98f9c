//! The services around the ring, each on any free port, wired to each other.

use std::{
    fmt::Write as _,
    future::Future,
    time::{Duration, Instant},
};

use async_io::Timer;

use super::children::{Children, Started};
use crate::{
    grpc::{Channel, health},
    http::client::Transport,
};

/// How often a service that is not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// What is to be known of a service before it runs.
struct Plan {
    name: &'static str,
    /// Where it says that it is well.
    health: &'static str,
    /// What curl is to be told; `{}` is the service's URL.
    curl: &'static str,
    /// Options for those that call others.
    wires: fn(&Services) -> Vec<String>,
}

/// In this order: who calls comes after who is called.
const PLANS: &[Plan] = &[
    Plan { name: "hello-server", health: "/health", curl: "{}", wires: |_| vec![] },
    Plan {
        name: "echo-service",
        health: "/health",
        curl: "'{}/echo?msg=hello'",
        wires: |_| vec![],
    },
    Plan {
        name: "caller-service",
        health: "/health",
        curl: "'{}/call-echo?msg=hello'",
        wires: |it| vec!["--echo-url".into(), it.url("echo-service")],
    },
    Plan {
        name: "api-server",
        health: "/api?name=Ann",
        curl: "'{}/api?name=Ann&age=30'",
        wires: |_| vec![],
    },
    Plan { name: "messages-service", health: "/health", curl: "{}/static", wires: |_| vec![] },
    Plan {
        name: "logging-service",
        health: "/health",
        curl: "{}/logs",
        wires: |_| vec!["--grpc-port".into(), "0".into()],
    },
    Plan {
        name: "facade-service",
        health: "/health",
        curl: "-d '{\"msg\":\"hello\"}' {}/message",
        wires: |it| {
            let urls =
                [("--logging-url", "logging-service"), ("--messages-url", "messages-service")];
            let urls = urls.map(|(option, name)| [option.into(), it.url(name)]);
            let grpc = it.grpc().map(|place| ["--logging-grpc".into(), place.into()]);
            urls.into_iter().chain(grpc).flatten().collect()
        },
    },
];

/// The services that run.
#[derive(Default)]
pub(super) struct Services(Vec<Service>);

struct Service {
    plan: &'static Plan,
    url: String,
    /// `ip:port`, if it has one for gRPC.
    grpc: Option<String>,
    /// The command that brings it back.
    again: String,
}

impl Services {
    /// Starts all, each when those are ready that it calls.
    pub(super) async fn start(children: &mut Children, within: Duration) -> Result<Self, String> {
        let until = Instant::now() + within;
        let mut all = Self::default();
        for plan in PLANS {
            let name = plan.name;
            let wires = (plan.wires)(&all);
            let own = [name, "--ip", "127.0.0.1", "--port"].map(String::from);
            let args = [&own[..], &["0".to_owned()], &wires].concat();
            let mut started = Started::new(&args, &[])?;
            let mut greeting = Vec::new();
            started
                .greeting(name, |line| {
                    greeting.push(line.to_owned());
                    (line.starts_with("Try ") || line.starts_with("Visit ")).then_some(())
                })
                .await?;
            children.add(name, started);
            let port = greeting[0].rsplit([':', ' ']).next().and_then(|it| it.parse::<u16>().ok());
            let port = port.ok_or_else(|| format!("{name} says no port: {}", greeting[0]))?;
            let grpc = greeting.iter().find_map(|line| line.strip_prefix("gRPC on "));
            let again = again(&own, &port.to_string(), &wires, grpc);
            let url = format!("http://127.0.0.1:{port}");
            let service = Service { plan, url, grpc: grpc.map(Into::into), again };
            service.ready(until).await?;
            all.0.push(service);
        }
        Ok(all)
    }

    /// The command that brings the service back that has this label.
    pub(super) fn again(&self, label: &str) -> Option<String> {
        self.0.iter().find(|it| it.plan.name == label).map(|it| it.again.clone())
    }

    /// Service, URL and a command to paste, as a table.
    pub(super) fn table(&self) -> String {
        let mut text = format!("{:17} {:<23} {}\n", "service", "URL", "try");
        for Service { plan, url, grpc, .. } in &self.0 {
            let curl = plan.curl.replace("{}", url);
            let _ = writeln!(text, "{:17} {url:<23} curl {curl}", plan.name);
            if let Some(place) = grpc {
                let (place, url) = (format!("grpc://{place}"), self.url("facade-service"));
                let curl = format!("curl -d '{{\"msg\":\"hello\"}}' {url}/grpc_message");
                let _ = writeln!(text, "{:17} {place:<23} {curl}", "");
            }
        }
        text
    }

    fn url(&self, name: &str) -> String {
        let service = self.0.iter().find(|it| it.plan.name == name);
        service.map_or_else(String::new, |it| it.url.clone())
    }

    fn grpc(&self) -> Option<&str> {
        self.0.iter().find_map(|it| it.grpc.as_deref())
    }
}

impl Service {
    /// Waits until it says that it is well, on each of its ports.
    async fn ready(&self, until: Instant) -> Result<(), String> {
        let client = Transport::default().client();
        let url = format!("{}{}", self.url, self.plan.health);
        asked_until(until, || async {
            client.get(&url).await.map(|answer| answer.status().is_success()).ok()
        })
        .await
        .ok_or_else(|| format!("{} is not ready: curl {url}", self.plan.name))?;
        let Some(place) = &self.grpc else { return Ok(()) };
        let channel = Channel::new(place.parse()?);
        asked_until(until, || async { health::is_serving(channel.clone(), "").await.ok() })
            .await
            .ok_or_else(|| format!("{} is not ready at grpc://{place}", self.plan.name))
    }
}

/// Asks again until the answer is yes; `None` is too late.
async fn asked_until<F>(until: Instant, ask: impl Fn() -> F) -> Option<()>
where
    F: Future<Output = Option<bool>>,
{
    while Instant::now() < until {
        if ask().await == Some(true) {
            return Some(());
        }
        Timer::after(ASK_AGAIN).await;
    }
    None
}

/// The same service on the same ports.
fn again(own: &[String], port: &str, wires: &[String], grpc: Option<&str>) -> String {
    let mut words = [own, &[port.to_owned()], wires].concat();
    let grpc = grpc.and_then(|place| place.rsplit(':').next());
    if let (Some(port), Some(at)) = (grpc, words.iter().position(|word| word == "--grpc-port")) {
        words[at + 1] = port.into();
    }
    words.join(" ")
}
