//! The services around the ring, each on any free port, wired to each other.

use std::{
    fmt::Write as _,
    future::Future,
    time::{Duration, Instant},
};

use async_io::Timer;

use super::children::{Children, Started, quoted};
use crate::{
    grpc::{Channel, health},
    http::client::Transport,
};

/// How often a service that is not ready is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// How to start a service and what to try with it.
struct Plan {
    name: &'static str,
    /// The path that is answered with 200 when it is ready.
    health: &'static str,
    /// The arguments of curl; `{}` is the service's URL.
    curl: &'static str,
    /// The options that give the addresses of the services that it calls.
    peers: fn(&Services) -> Vec<String>,
}

/// In this order: a service comes after those that it calls.
const PLANS: &[Plan] = &[
    Plan { name: "hello-server", health: "/health", curl: "{}", peers: |_| vec![] },
    Plan {
        name: "echo-service",
        health: "/health",
        curl: "'{}/echo?msg=hello'",
        peers: |_| vec![],
    },
    Plan {
        name: "caller-service",
        health: "/health",
        curl: "'{}/call-echo?msg=hello'",
        peers: |it| vec!["--echo-url".into(), it.url("echo-service")],
    },
    Plan {
        name: "api-server",
        health: "/api?name=Ann",
        curl: "'{}/api?name=Ann&age=30'",
        peers: |_| vec![],
    },
    Plan { name: "messages-service", health: "/health", curl: "{}/static", peers: |_| vec![] },
    Plan {
        name: "logging-service",
        health: "/health",
        curl: "{}/logs",
        peers: |_| vec!["--grpc-port".into(), "0".into()],
    },
    Plan {
        name: "facade-service",
        health: "/health",
        curl: "-d '{\"msg\":\"hello\"}' {}/message",
        peers: |it| {
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
    /// The command that starts it again.
    restart: String,
}

impl Services {
    /// Starts all, each when the services that it calls are ready.
    pub(super) async fn start(children: &mut Children, within: Duration) -> Result<Self, String> {
        let until = Instant::now() + within;
        let mut all = Self::default();
        for plan in PLANS {
            let name = plan.name;
            let peers = (plan.peers)(&all);
            let own = [name, "--ip", "127.0.0.1", "--port"].map(String::from);
            let args = [&own[..], &["0".to_owned()], &peers].concat();
            let mut started = Started::new(&args, |_| false)?;
            let mut first_lines = Vec::new();
            started
                .first_lines(name, |line| {
                    first_lines.push(line.to_owned());
                    (line.starts_with("Try ") || line.starts_with("Visit ")).then_some(())
                })
                .await?;
            children.add(name, started);
            let port =
                first_lines[0].rsplit([':', ' ']).next().and_then(|it| it.parse::<u16>().ok());
            let port = port.ok_or_else(|| format!("{name} says no port: {}", first_lines[0]))?;
            let grpc = first_lines.iter().find_map(|line| line.strip_prefix("gRPC on "));
            let restart = restart(&own, &port.to_string(), &peers, grpc);
            let url = format!("http://127.0.0.1:{port}");
            let service = Service { plan, url, grpc: grpc.map(Into::into), restart };
            service.ready(until).await?;
            all.0.push(service);
        }
        Ok(all)
    }

    /// The command that starts the service of this label again.
    pub(super) fn restart(&self, label: &str) -> Option<String> {
        self.0.iter().find(|it| it.plan.name == label).map(|it| it.restart.clone())
    }

    /// Service, URL and a command to copy, as a table. In a terminal that is too narrow for it, each
    /// command is on a line of its own.
    pub(super) fn table(&self, columns: Option<usize>) -> String {
        let mut rows = vec![["service".into(), "URL".into(), "try".into()]];
        for Service { plan, url, grpc, .. } in &self.0 {
            let curl = format!("curl {}", plan.curl.replace("{}", url));
            rows.push([plan.name.into(), url.clone(), curl]);
            if let Some(place) = grpc {
                let url = self.url("facade-service");
                let curl = format!("curl -d '{{\"msg\":\"hello\"}}' {url}/grpc_message");
                rows.push([String::new(), format!("grpc://{place}"), curl]);
            }
        }
        table(&rows, columns)
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
    /// Waits until each of its ports answers that it is ready.
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

fn table(rows: &[[String; 3]], columns: Option<usize>) -> String {
    let wide = rows.iter().map(|[.., command]| 42 + command.len()).max().unwrap_or_default();
    let gap = match columns.is_some_and(|columns| columns < wide) {
        true => "\n  ",
        false => " ",
    };
    let mut text = String::new();
    for [service, url, command] in rows {
        let _ = writeln!(text, "{service:17} {url:<23}{gap}{command}");
    }
    text
}

/// Asks again until the answer is yes; `None`: it came too late.
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
fn restart(own: &[String], port: &str, peers: &[String], grpc: Option<&str>) -> String {
    let mut words = [own, &[port.to_owned()], peers].concat();
    let grpc = grpc.and_then(|place| place.rsplit(':').next());
    if let (Some(port), Some(at)) = (grpc, words.iter().position(|word| word == "--grpc-port")) {
        words[at + 1] = port.into();
    }
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_too_wide_has_its_commands_on_lines_of_their_own() {
        let rows = [
            ["service", "URL", "try"].map(String::from),
            ["hello-server", "http://127.0.0.1:40001", "curl http://127.0.0.1:40001"]
                .map(String::from),
        ];
        let wide = "\
service           URL                     try
hello-server      http://127.0.0.1:40001  curl http://127.0.0.1:40001
";
        assert_eq!(table(&rows, None), wide);
        assert_eq!(table(&rows, Some(69)), wide);
        let narrow = table(&rows, Some(68));
        assert!(narrow.ends_with("\n  curl http://127.0.0.1:40001\n"), "{narrow}");
        assert!(narrow.lines().all(|line| line.trim_end().len() <= 42), "{narrow}");
    }
}
