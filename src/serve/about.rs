//! What a service says of itself at `/`: to a program as text, to a browser as a page.

use std::fmt::Write as _;

/// A service in words.
#[derive(Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it does: one sentence.
    pub does: &'static str,
    /// What it answers, `GET /path` or `POST /path`, and what that is.
    pub offers: &'static [(&'static str, &'static str)],
}

/// What every service answers.
const COMMON: [(&str, &str); 3] = [
    ("GET /health", "whether it runs"),
    ("GET /ready", "whether it should be sent requests"),
    ("GET /metrics", "what it counts, for Prometheus"),
];

impl About {
    /// The page and its type. `accept` is what the client takes.
    pub(crate) fn page(&self, accept: Option<&str>) -> (&'static str, String) {
        match accept.is_some_and(|types| types.contains("text/html")) {
            true => ("text/html; charset=utf-8", self.html()),
            false => ("text/plain; charset=utf-8", self.text()),
        }
    }

    fn all(&self) -> impl Iterator<Item = &(&'static str, &'static str)> {
        self.offers.iter().chain(&COMMON)
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}\n\n", self.name, self.does);
        let width = self.all().map(|(what, _)| what.len()).max().unwrap_or_default();
        for (what, is) in self.all() {
            let _ = writeln!(text, "  {what:width$}  {is}");
        }
        text
    }

    fn html(&self) -> String {
        let (name, does) = (escaped(self.name), escaped(self.does));
        let mut text = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title>\n\
             <h1>{name}</h1>\n<p>{does}</p>\n<dl>\n"
        );
        for (what, is) in self.all() {
            let shown = escaped(what);
            let shown = match what.strip_prefix("GET ") {
                Some(path) => format!("<a href=\"{}\"><code>{shown}</code></a>", escaped(path)),
                None => format!("<code>{shown}</code>"),
            };
            let _ = writeln!(text, "<dt>{shown}</dt><dd>{}</dd>", escaped(is));
        }
        text + "</dl>\n</html>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: About = About {
        name: "x-service",
        does: "says x",
        offers: &[("GET /x?a=1&b=2", "\"x\""), ("POST /x", "takes <x>")],
    };

    #[test]
    fn a_program_gets_text_and_a_browser_a_page() {
        let text = "x-service: says x\n\n\
                    \u{20} GET /x?a=1&b=2  \"x\"\n  POST /x         takes <x>\n\
                    \u{20} GET /health     whether it runs\n";
        for accept in [None, Some("*/*"), Some("application/json")] {
            let (kind, page) = ABOUT.page(accept);
            assert_eq!(kind, "text/plain; charset=utf-8");
            assert!(page.starts_with(text), "{page}");
        }
        let (kind, page) = ABOUT.page(Some("text/html,application/xhtml+xml,*/*;q=0.8"));
        assert_eq!(kind, "text/html; charset=utf-8");
        assert!(page.contains("<a href=\"/x?a=1&amp;b=2\"><code>GET /x?a=1&amp;b=2</code></a>"));
        assert!(page.contains("<dt><code>POST /x</code></dt><dd>takes &lt;x></dd>"), "{page}");
    }
}
