//! What both form servers answer: the fields of a form, as one JSON object.
//!
//! [`answer`] is pure: a query or a body in, a status, a type and bytes out. `api-server` calls it
//! from tide, `raw-api-server` from a socket, so the two can only differ in how they read HTTP.
//!
//! ```
//! use smolring::services::form::{Form, answer};
//!
//! let reply = answer(Form::Query("b=2&a=1&b=3&c&d=%C3%A9+e"));
//! assert_eq!(reply.body, r#"{"b":"2","a":"1","c":"","d":"é e"}"#.as_bytes());
//! ```
//!
//! # How fields are read
//! As Flask's `request.args.to_dict()` and `request.form.to_dict()` do:
//!
//! - Of a repeated key the first value counts. Keys keep the order of their first occurrences.
//! - `a=` and `a` are both an empty value; between two `&` with nothing in between there is no
//!   field; `=1` has the empty key.
//! - `+` is a space, `%XX` a byte; what only looks like one, as in `100%` or `%zz`, stays as it is.
//! - Bytes that are not UTF-8 become U+FFFD. JSON keeps all other characters as they are, and
//!   escapes what it must.
//!
//! A body is `application/x-www-form-urlencoded` or `multipart/form-data`; any other type is
//! answered 415, and so is one with a `Content-Encoding`. No body at all is a form without fields, whatever its type: `{}`. A file in a
//! multipart form is not a field, and is left out; a multipart body that is cut off is answered
//! 400, where Flask would answer `{}`.

mod multipart;

use std::collections::HashSet;

use self::multipart::Field;
use crate::{http1::parameters::Parameters, serve::ErrorForm};

const JSON: &str = "application/json";
/// How it is said what is wrong.
pub(super) const ERRORS: ErrorForm = ErrorForm::Problem;

/// Where the fields are.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// In the URL, after the `?`.
    Query(&'a str),
    /// In the body of a request.
    Body {
        /// What the `Content-Type` header says.
        content_type: Option<&'a str>,
        /// Whether there is a `Content-Encoding`, as `gzip`.
        is_coded: bool,
        /// The whole body.
        bytes: &'a [u8],
    },
}

/// An answer, before it is HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200, 400 or 415 if it comes from [`answer`]; a handler may give any other.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// JSON: the fields, or what is wrong.
    pub body: Vec<u8>,
    /// What is wrong, for the log.
    pub cause: Option<&'static str>,
}

impl Reply {
    fn wrong(status: u16, title: &str, cause: &'static str) -> Self {
        let body = ERRORS.body(status, title, Some(cause)).into();
        Self { status, content_type: ERRORS.content_type(), body, cause: Some(cause) }
    }

    fn unsupported(cause: &'static str) -> Self {
        Self::wrong(415, "Unsupported Media Type", cause)
    }
}

/// The fields as JSON, or what is wrong with them. Takes time in proportion to the form.
pub fn answer(form: Form<'_>) -> Reply {
    let fields = match form {
        Form::Query(query) => form_urlencoded::parse(query.as_bytes()).collect(),
        Form::Body { bytes: [], .. } => Vec::new(),
        Form::Body { is_coded: true, .. } => {
            return Reply::unsupported("send the form without a Content-Encoding");
        }
        Form::Body { content_type, bytes, .. } => {
            match Kind::of(content_type.unwrap_or_default()) {
                Kind::UrlEncoded => form_urlencoded::parse(bytes).collect(),
                Kind::Multipart(Some(boundary)) => match multipart::fields(bytes, &boundary) {
                    Ok(fields) => fields,
                    Err(cause) => return Reply::wrong(400, "Bad Request", cause),
                },
                Kind::Multipart(None) => {
                    return Reply::wrong(400, "Bad Request", "the Content-Type has no boundary");
                }
                Kind::Other => {
                    return Reply::unsupported(
                        "send application/x-www-form-urlencoded or multipart/form-data",
                    );
                }
            }
        }
    };
    Reply { status: 200, content_type: JSON, body: json(&fields), cause: None }
}

/// A JSON object with the first value of each key, in the order of the keys.
fn json(fields: &[Field<'_>]) -> Vec<u8> {
    let mut seen = HashSet::with_capacity(fields.len());
    let mut out = vec![b'{'];
    for (key, value) in fields {
        if !seen.insert(key) {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        // Neither strings nor a Vec can fail.
        let _ = serde_json::to_writer(&mut out, key);
        out.push(b':');
        let _ = serde_json::to_writer(&mut out, value);
    }
    out.push(b'}');
    out
}

/// What a `Content-Type` says about a form.
enum Kind {
    UrlEncoded,
    /// With its boundary, if it has one.
    Multipart(Option<String>),
    Other,
}

impl Kind {
    fn of(content_type: &str) -> Self {
        let (name, parameters) = Parameters::of(content_type);
        match name.to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Self::UrlEncoded,
            "multipart/form-data" => {
                let boundary = parameters.get("boundary").filter(|it| !it.is_empty());
                Self::Multipart(boundary.map(str::to_owned))
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: Form<'_>) -> (u16, String) {
        let reply = answer(form);
        (reply.status, String::from_utf8(reply.body).unwrap())
    }

    #[test]
    fn queries() {
        for (query, expected) in [
            ("", "{}"),
            ("a=1&b=2", r#"{"a":"1","b":"2"}"#),
            ("z=1&a=2", r#"{"z":"1","a":"2"}"#),
            ("a=1&a=2&b=3&a=", r#"{"a":"1","b":"3"}"#),
            ("a=&b&=c&&", r#"{"a":"","b":"","":"c"}"#),
            ("a=b=c", r#"{"a":"b=c"}"#),
            ("a+b=c+d%2Be", r#"{"a b":"c d+e"}"#),
            ("a=%C3%BC%F0%9F%98%80", "{\"a\":\"ü😀\"}"),
            ("a=%FFb", "{\"a\":\"\u{fffd}b\"}"),
            ("100%=%zz%4", r#"{"100%":"%zz%4"}"#),
            ("a=%22%5C%0A%00", r#"{"a":"\"\\\n\u0000"}"#),
            ("a;b=c", r#"{"a;b":"c"}"#),
        ] {
            assert_eq!(text(Form::Query(query)), (200, expected.to_owned()), "{query}");
        }
    }

    #[test]
    fn types() {
        let body = |content_type, bytes: &'static str| {
            answer(Form::Body { content_type, is_coded: false, bytes: bytes.as_bytes() }).status
        };
        assert_eq!(body(Some("application/x-www-form-urlencoded; charset=utf-8"), "a"), 200);
        assert_eq!(body(Some("Application/X-WWW-Form-Urlencoded"), "a"), 200);
        assert_eq!(body(Some("application/json"), "{}"), 415);
        assert_eq!(body(None, "a=1"), 415);
        assert_eq!(body(None, ""), 200);
        assert_eq!(body(Some("multipart/form-data"), "a"), 400);
        let coded = |bytes| {
            let content_type = Some("application/x-www-form-urlencoded");
            answer(Form::Body { content_type, is_coded: true, bytes }).status
        };
        assert_eq!((coded(b"\x1f\x8b"), coded(b"")), (415, 200));
    }

    #[test]
    fn multipart_forms() {
        let part = |head: &str, content: &str| {
            format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{content}\r\n")
        };
        let two = part("name=\"a\"", "1\r\n--\r\n") + &part("name=b", "ü");
        let file = part("name=f; filename=\"x.txt\"", "lines") + &part("name=\"c%22\\\"\"", "");
        for (body, expected) in [
            (two.clone() + "--B--\r\n", Some("{\"a\":\"1\\r\\n--\\r\\n\",\"b\":\"ü\"}")),
            (
                "preamble\r\n".to_owned() + &two + "--B--",
                Some("{\"a\":\"1\\r\\n--\\r\\n\",\"b\":\"ü\"}"),
            ),
            (file + "--B--", Some(r#"{"c\"\"":""}"#)),
            ("--B--\r\n".into(), Some("{}")),
            (two.clone(), None),
            ("--B\r\n\r\nx\r\n--B--".into(), None),
            ("nothing".into(), None),
            ("--B".into(), None),
        ] {
            for content_type in [
                "multipart/form-data; boundary=B",
                "Multipart/Form-Data; x=\"a;b\"; boundary=\"B\"",
            ] {
                let (content_type, bytes) = (Some(content_type), body.as_bytes());
                let form = Form::Body { content_type, is_coded: false, bytes };
                let (status, text) = text(form);
                match expected {
                    Some(json) => assert_eq!((status, text.as_str()), (200, json), "{body}"),
                    None => assert_eq!(status, 400, "{body}"),
                }
            }
        }
    }
}
