//! The id of a message: the client's own key, or a new UUID.
//!
//! A client that gets no answer does not know whether its message was kept. If it gave a key, it can
//! send the message again with the same key, and the message is kept once.

use tide::Request;
use uuid::Uuid;

use super::limits::KEY_BYTES_MAX;
use crate::http::is_left_out;

/// The header that has the key, as in the IETF's draft of that name.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The id for the message of a request, or what is wrong with its key.
pub(super) fn of<S>(request: &Request<S>) -> Result<String, &'static str> {
    const NO_KEY: &str = "Idempotency-Key is no key: give 1 to 256 visible ASCII characters, or the \
                          same in double quotes";
    if is_left_out(request, IDEMPOTENCY_KEY) {
        return Err(NO_KEY);
    }
    let Some(values) = request.header(IDEMPOTENCY_KEY) else {
        return Ok(Uuid::new_v4().to_string());
    };
    let mut values = values.iter();
    match (values.next(), values.next()) {
        (Some(value), None) => read(value.as_str()).ok_or(NO_KEY),
        _ => Err("Idempotency-Key is there twice: give it once"),
    }
}

/// The key as it is, or without the quotes that the draft asks for. Between quotes, `\` escapes a quote
/// and itself (RFC 9651, section 3.3.3).
fn read(value: &str) -> Option<String> {
    let key = match value.strip_prefix('"') {
        Some(quoted) => unquoted(quoted.strip_suffix('"')?)?,
        None => value.to_owned(),
    };
    let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    (is_visible && (1..=KEY_BYTES_MAX).contains(&key.len())).then_some(key)
}

fn unquoted(text: &str) -> Option<String> {
    let mut key = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\\' => key.push(rest.next().filter(|escaped| matches!(escaped, '\\' | '"'))?),
            '"' => return None,
            other => key.push(other),
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let longest = "k".repeat(KEY_BYTES_MAX);
        for (value, key) in [
            ("a", "a"),
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            ("\"8e03978e\"", "8e03978e"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("a,b;c=d\"", "a,b;c=d\""),
            (&longest, &longest),
            (&format!("\"{longest}\""), &longest),
        ] {
            assert_eq!(read(value).as_deref(), Some(key), "{value}");
        }
        let longer = "k".repeat(KEY_BYTES_MAX + 1);
        for bad in [
            "",
            "\"\"",
            "\"",
            "\"a",
            "a b",
            "\"a b\"",
            "\"a\\\"",
            r#""a\b""#,
            r#""a", "b""#,
            "a\tb",
            "ü",
            "\u{7f}",
            &longer,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
