//! From the words of the command line to the bytes of a request.

use std::{
    fs,
    io::{self, Read as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::args::{Arguments, Method};
use crate::{
    cli::UsageError,
    http1::{
        head,
        url::{self, Url},
    },
};

/// What is asked for without arguments.
const EXAMPLE: (&str, [&str; 2]) = ("http://localhost:5000/api", ["name=Ann", "age=30"]);
const FORM: &str = "application/x-www-form-urlencoded";
/// What may stand around the name and the value of a header.
const BLANKS: [char; 2] = [' ', '\t'];
const JSON: &str = "application/json";

/// A request, and what it takes to make the next one where the answer leads elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) url: Url,
    pub(super) method: String,
    /// Those that the user has set, in order; an empty value takes a header away.
    headers: Vec<Header>,
    accept: &'static str,
    /// Its type, and its bytes.
    body: Option<(Option<&'static str>, Vec<u8>)>,
}

#[derive(Clone, Debug)]
struct Header {
    name: String,
    /// `None`: the header is not sent at all.
    value: Option<String>,
}

/// What an argument after the URL is, by its first separator.
enum Item {
    /// `name=Ann`
    Field(String, String),
    /// `age:=30`
    Json(String, String),
    /// `page==2`
    Query(String, String),
    /// `Accept:text/plain`
    Header(Header),
}

impl Request {
    /// Reads the arguments, and the files that they name. Blocks on these.
    pub(super) fn of(arguments: &Arguments, by: Method) -> Result<Self, UsageError> {
        let (url, items) = match arguments.url_and_items.split_first() {
            Some((url, items)) => (url.as_str(), items.to_vec()),
            None => (EXAMPLE.0, EXAMPLE.1.map(String::from).to_vec()),
        };
        let mut url = Url::parse(url).map_err(UsageError)?;
        let (mut fields, mut query, mut headers) = (Vec::new(), Vec::new(), Vec::new());
        for header in &arguments.header {
            headers.push(Header::of_option(header)?);
        }
        let mut has_json = false;
        for item in &items {
            match Item::parse(item)? {
                Item::Field(key, value) => fields.push((key, value, false)),
                Item::Json(key, value) => {
                    has_json = true;
                    fields.push((key, value, true));
                }
                Item::Query(key, value) => query.push((key, value)),
                Item::Header(header) => headers.push(header),
            }
        }
        if has_json && !arguments.json {
            return Err(UsageError("a field with := is JSON: add --json".into()));
        }
        let has_data = !arguments.data.is_empty();
        let body = if has_data {
            let kind = if arguments.json { JSON } else { FORM };
            if by == Method::Post && !fields.is_empty() {
                let both = "--data is the whole body: write fields of the query as name==Ann";
                return Err(UsageError(both.into()));
            }
            query.extend(fields.into_iter().map(|(key, value, _)| (key, value)));
            Some((Some(kind), data(&arguments.data)?))
        } else if arguments.json {
            let is_empty = fields.is_empty() && by == Method::Get;
            (!is_empty).then(|| (Some(JSON), object(&fields).into_bytes()))
        } else {
            let pairs = fields.into_iter().map(|(key, value, _)| (key, value));
            match by {
                Method::Get => {
                    query.splice(0..0, pairs);
                    None
                }
                Method::Post => {
                    let form = url::urlencoded(&pairs.collect::<Vec<_>>());
                    Some((Some(FORM), form.into_bytes()))
                }
            }
        };
        url.add(&url::urlencoded(&query));
        let method = match (&arguments.method, by) {
            (Some(method), _) => method_of(method)?,
            (None, Method::Get) => "GET".into(),
            (None, Method::Post) => "POST".into(),
        };
        let accept = if arguments.json { "application/json, */*;q=0.5" } else { "*/*" };
        Ok(Self { url, method, headers, accept, body })
    }

    /// A GET of this URL.
    pub(super) fn get(url: Url) -> Self {
        Self { url, method: "GET".into(), headers: Vec::new(), accept: "*/*", body: None }
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut lines = vec![
            ("Host".to_owned(), self.url.authority.clone()),
            ("User-Agent".into(), concat!("smolring/", env!("CARGO_PKG_VERSION")).into()),
            ("Accept".into(), self.accept.into()),
        ];
        if let Some((name, password)) = &self.url.user {
            let pair = STANDARD.encode(format!("{name}:{password}"));
            lines.push(("Authorization".into(), format!("Basic {pair}")));
        }
        let bytes = match &self.body {
            Some((kind, bytes)) => {
                lines.extend(kind.map(|kind| ("Content-Type".into(), kind.into())));
                lines.push(("Content-Length".into(), bytes.len().to_string()));
                bytes.as_slice()
            }
            None => &[],
        };
        lines.push(("Connection".into(), "close".into()));
        for set in &self.headers {
            lines.retain(|(name, _)| !name.eq_ignore_ascii_case(&set.name));
        }
        let set = self.headers.iter().filter_map(|it| Some((it.name.clone(), it.value.clone()?)));
        lines.extend(set);
        let mut request = format!("{} {} HTTP/1.1\r\n", self.method, self.url.target);
        for (name, value) in lines {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        [request.as_bytes(), bytes].concat()
    }

    /// The request that an answer with this status and `Location` asks for. What is meant for one server
    /// only is not sent to another.
    pub(super) fn redirected(&self, status: u16, location: &str) -> Result<Self, String> {
        let mut next = Self { url: self.url.join(location)?, ..self.clone() };
        let is_get = ["GET", "HEAD"].contains(&next.method.as_str());
        if !is_get && (status == 303 || (status < 303 && next.method == "POST")) {
            // What every browser does, and RFC 9110 allows.
            next.method = "GET".into();
            next.body = None;
            next.headers.retain(|it| !it.is("Content-Type") && !it.is("Content-Length"));
        }
        let is_elsewhere = (&next.url.host, next.url.port) != (&self.url.host, self.url.port);
        if is_elsewhere {
            let of_the_server = ["Authorization", "Cookie", "Host", "Proxy-Authorization"];
            next.headers.retain(|it| !of_the_server.iter().any(|name| it.is(name)));
        }
        Ok(next)
    }
}

impl Header {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// As curl takes it: `Name: value`; `Name:` takes a header away, and `Name;` sends it empty.
    fn of_option(text: &str) -> Result<Self, UsageError> {
        match (text.split_once(':'), text.trim_end().strip_suffix(';')) {
            (Some((name, value)), _) => Self::new(name, value),
            (None, Some(name)) => {
                Self::new(name, "").map(|it| Self { value: Some(String::new()), ..it })
            }
            (None, None) => Err(UsageError(format!(
                "`{text}` is no header; write it like 'Accept: text/plain'"
            ))),
        }
    }

    fn new(name: &str, value: &str) -> Result<Self, UsageError> {
        let (name, value) = (name.trim_matches(BLANKS), value.trim_matches(BLANKS));
        let is_text = value.chars().all(|it| it == '\t' || !it.is_control());
        if head::token(name.as_bytes()).is_none() || !is_text {
            let message =
                format!("`{}: {}` is no header", name.escape_debug(), value.escape_debug());
            return Err(UsageError(message));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            let message = "Transfer-Encoding cannot be set: a body is sent with its length";
            return Err(UsageError(message.into()));
        }
        let value = Some(value.to_owned()).filter(|value| !value.is_empty());
        Ok(Self { name: name.to_owned(), value })
    }
}

impl Item {
    /// What comes first decides, and of two that begin there the longer one: so `a=b:c` is a field, and
    /// `a:b=c` a header. A backslash before a character takes its meaning away.
    fn parse(text: &str) -> Result<Self, UsageError> {
        let wrong = |why: &str| UsageError(format!("`{text}` is no field; {why}"));
        let mut key = String::new();
        let mut rest = text.char_indices();
        while let Some((at, next)) = rest.next() {
            let tail = &text[at..];
            let Some(separator) =
                ["==", ":=@", ":=", "=@", "=", ":"].iter().find(|it| tail.starts_with(**it))
            else {
                match next {
                    '\\' if tail[1..].starts_with(['=', ':', '\\']) => {
                        key.extend(rest.next().map(|(_, it)| it));
                    }
                    _ => key.push(next),
                }
                continue;
            };
            let value = &tail[separator.len()..];
            return match *separator {
                "==" => Ok(Self::Query(key, value.to_owned())),
                ":=" => json(&key, value),
                ":=@" => json(&key, &text_of(value)?),
                "=@" => Ok(Self::Field(key, text_of(value)?)),
                "=" => Ok(Self::Field(key, value.to_owned())),
                _ => Header::new(&key, value).map(Self::Header),
            };
        }
        Err(wrong("write it like name=Ann"))
    }
}

fn json(key: &str, value: &str) -> Result<Item, UsageError> {
    match serde_json::from_str::<serde_json::Value>(value) {
        Ok(_) => Ok(Item::Json(key.to_owned(), value.trim().to_owned())),
        Err(error) => Err(UsageError(format!("the value of `{key}:=` is no JSON: {error}"))),
    }
}

/// The content of a file, for a field.
fn text_of(path: &str) -> Result<String, UsageError> {
    String::from_utf8(file(path)?).map_err(|_| UsageError(format!("{path} is no text in UTF-8")))
}

/// A method as it is written: HTTP tells `get` from `GET`.
fn method_of(text: &str) -> Result<String, UsageError> {
    match head::token(text.as_bytes()) {
        Some("CONNECT") => Err(UsageError("CONNECT is for proxies: take another method".into())),
        Some(method) => Ok(method.to_owned()),
        None => Err(UsageError(format!("`{}` is no method", text.escape_debug()))),
    }
}

/// The fields as an object of JSON. Of a key that comes twice, the last value counts.
fn object(fields: &[(String, String, bool)]) -> String {
    let is_last = |at: usize| fields[at + 1..].iter().all(|(key, ..)| *key != fields[at].0);
    let mut text = String::new();
    for (_, (key, value, is_json)) in fields.iter().enumerate().filter(|(at, _)| is_last(*at)) {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let value = if *is_json { value.clone() } else { quoted(value) };
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(&format!("{comma}{}:{value}", quoted(key)));
    }
    format!("{{{text}}}")
}

/// All `--data`, with `&` between each two, as curl sends them.
fn data(given: &[String]) -> Result<Vec<u8>, UsageError> {
    let mut parts = Vec::new();
    for text in given {
        parts.push(match text.strip_prefix('@') {
            Some(path) => file(path)?,
            None => text.clone().into_bytes(),
        });
    }
    Ok(parts.join(&b'&'))
}

/// The content of a file; `-` is standard input.
fn file(path: &str) -> Result<Vec<u8>, UsageError> {
    let mut bytes = Vec::new();
    let read = match path {
        "-" => io::stdin().lock().read_to_end(&mut bytes).map(|_| ()),
        _ => fs::read(path).map(|content| bytes = content),
    };
    read.map_err(|error| UsageError(format!("cannot read {path}: {error}")))?;
    Ok(bytes)
}
