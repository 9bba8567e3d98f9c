//! The text format of Prometheus, in which metrics are shown.

use std::{fmt::Display, fmt::Write as _, time::Duration};

use crate::durations::{BOUNDS, Durations};

/// The type of the text.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text in that format, as it is being written. Samples belong to the family that began last.
#[derive(Default)]
pub(crate) struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a family of samples: `kind` is counter, gauge or histogram.
    pub(crate) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// A family of one sample.
    pub(crate) fn one(&mut self, name: &'static str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample("", value);
    }

    /// `labels` are written as the format has them, without the braces.
    pub(crate) fn sample(&mut self, labels: impl Display, value: impl Display) {
        self.suffixed("", &labels.to_string(), value);
    }

    /// The samples of a histogram.
    pub(crate) fn durations(&mut self, labels: &str, durations: &Durations) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut all = 0;
        let shown = BOUNDS.iter().map(|(_, shown)| *shown).chain(["+Inf"]);
        for (count, shown) in durations.counts.iter().zip(shown) {
            all += count;
            self.suffixed("_bucket", &format!("{labels}{comma}le=\"{shown}\""), all);
        }
        self.suffixed("_sum", labels, Duration::from_micros(durations.micros).as_secs_f64());
        self.suffixed("_count", labels, all);
    }

    fn suffixed(&mut self, suffix: &str, labels: &str, value: impl Display) {
        let family = self.family;
        let _ = match labels {
            "" => writeln!(self.text, "{family}{suffix} {value}"),
            labels => writeln!(self.text, "{family}{suffix}{{{labels}}} {value}"),
        };
    }

    /// Appends families that were written elsewhere.
    pub(crate) fn append(&mut self, families: &str) {
        self.text.push_str(families);
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_each_bound() {
        let mut durations = Durations::default();
        [0, 100, 101, 10_000_000, 10_000_001].into_iter().for_each(|micros| durations.add(micros));
        let mut text = Exposition::default();
        text.family("x_seconds", "histogram", "Help.");
        text.durations("a=\"b\"", &durations);
        let text = text.into_text();
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{a=\"b\",le=\"0.0001\"} 2",
            "x_seconds_bucket{a=\"b\",le=\"0.0005\"} 3",
            "x_seconds_bucket{a=\"b\",le=\"10\"} 4",
            "x_seconds_bucket{a=\"b\",le=\"+Inf\"} 5",
            "x_seconds_sum{a=\"b\"} 20.000202",
            "x_seconds_count{a=\"b\"} 5",
        ] {
            assert!(text.lines().any(|it| it == line), "{line}: {text}");
        }
    }
}
