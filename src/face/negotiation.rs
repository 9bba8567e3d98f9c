//! What a client takes: the forms of an answer, and the codings of a file.

/// How an answer that is made here is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Html,
    Json,
    /// The client takes anything.
    Any,
}

/// A coding that a file may be stored in beside the file itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Coding {
    /// Its name in HTTP.
    pub name: &'static str,
    /// What the name of such a file ends in.
    pub ending: &'static str,
}

/// All, the one first that makes files the shortest.
pub(super) const CODINGS: [Coding; 3] = [
    Coding { name: "br", ending: ".br" },
    Coding { name: "zstd", ending: ".zst" },
    Coding { name: "gzip", ending: ".gz" },
];

/// Which form the `Accept` header asks for; a browser asks for HTML.
pub(super) fn form(accept: Option<&str>) -> Form {
    let Some(accept) = accept else { return Form::Any };
    let best = |kinds: &[&str]| kinds.iter().map(|kind| quality(accept, kind).unwrap_or(0)).max();
    let html = best(&["text/html", "application/xhtml+xml"]);
    let json = best(&["application/json", "application/problem+json"]);
    match (html, json) {
        (Some(html), Some(json)) if json > html => Form::Json,
        (Some(html @ 1..), _) if html > 0 => Form::Html,
        _ => Form::Any,
    }
}

/// The codings that the `Accept-Encoding` header asks for, the best first.
pub(super) fn codings(accept: Option<&str>) -> Vec<Coding> {
    let Some(accept) = accept else { return Vec::new() };
    let any = quality(accept, "*").unwrap_or(0);
    let of = |name: &str| match name {
        "gzip" => quality(accept, name).or_else(|| quality(accept, "x-gzip")),
        name => quality(accept, name),
    };
    // One that is less wanted than the file as it is, is not wanted.
    let plain = of("identity").unwrap_or(0);
    let wanted = CODINGS.map(|coding| (of(coding.name).unwrap_or(any), coding));
    let mut wanted: Vec<_> =
        wanted.into_iter().filter(|(quality, _)| *quality > 0 && *quality >= plain).collect();
    wanted.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    wanted.into_iter().map(|(_, coding)| coding).collect()
}

/// The quality of a value in a list, in thousandths; `None` if it is not there.
fn quality(list: &str, value: &str) -> Option<u32> {
    list.split(',').find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_it = parts.next()?.eq_ignore_ascii_case(value);
        let of_part = |part: &str| {
            let (key, quality) = part.split_once('=')?;
            key.trim().eq_ignore_ascii_case("q").then(|| thousandths(quality.trim()))
        };
        is_it.then(|| parts.find_map(of_part).unwrap_or(1000))
    })
}

/// What is no number from 0 to 1 counts as 0.
fn thousandths(quality: &str) -> u32 {
    let (whole, rest) = quality.split_once('.').unwrap_or((quality, ""));
    let is_number = rest.len() <= 3 && rest.bytes().all(|it| it.is_ascii_digit());
    match whole {
        "1" if is_number => 1000,
        "0" if is_number => format!("{rest:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_asks_for_html_and_a_program_for_json() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, expected) in [
            (None, Form::Any),
            (Some("*/*"), Form::Any),
            (Some(""), Form::Any),
            (Some("image/png"), Form::Any),
            (Some(browser), Form::Html),
            (Some("text/html"), Form::Html),
            (Some("application/json"), Form::Json),
            (Some("application/problem+json"), Form::Json),
            (Some("Application/JSON; charset=utf-8"), Form::Json),
            (Some("text/html, application/json"), Form::Html),
            (Some("text/html;q=0.5, application/json"), Form::Json),
            (Some("text/html;q=0"), Form::Any),
            (Some("application/json;q=0.1, text/html; q = 0.2"), Form::Html),
        ] {
            assert_eq!(form(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn codings_are_those_that_are_wanted_most() {
        for (accept, expected) in [
            (None, &[][..]),
            (Some(""), &[]),
            (Some("identity"), &[]),
            (Some("gzip, deflate, br, zstd"), &["br", "zstd", "gzip"]),
            (Some("gzip"), &["gzip"]),
            (Some("x-gzip"), &["gzip"]),
            (Some("GZIP;q=1.0"), &["gzip"]),
            (Some("gzip;q=0"), &[]),
            (Some("gzip;q=0.000"), &[]),
            (Some("gzip;q=2"), &[]),
            (Some("gzip;q=x"), &[]),
            (Some("gzip;q=0.9, br;q=0.1"), &["gzip", "br"]),
            (Some("*"), &["br", "zstd", "gzip"]),
            (Some("*;q=0, gzip"), &["gzip"]),
            (Some("br;q=0, *"), &["zstd", "gzip"]),
            (Some("identity, gzip;q=0.5"), &[]),
            (Some("identity;q=0.5, gzip;q=0.5"), &["gzip"]),
        ] {
            let names: Vec<_> = codings(accept).iter().map(|it| it.name).collect();
            assert_eq!(names, expected, "{accept:?}");
        }
    }
}
