//! How a server writes the answers that it makes itself, because a request is refused.

/// The form of an answer that says why a request is refused. A service has one, for the answers of
/// its handlers and for those that no handler made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorForm {
    /// One line of text: `Bad Request: a header line has no colon`.
    #[default]
    Line,
    /// A page: the words of the status in its first line, the cause in the second.
    Page,
    /// JSON as RFC 9457 has it: `{"title":"Bad Request","status":400,"detail":"…","error":"…"}`, where
    /// `error` says the same as `detail`, under the name that it has in the answers of these services.
    Problem,
}

impl ErrorForm {
    /// What the `Content-Type` header says.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Line => "text/plain; charset=utf-8",
            Self::Page => "text/html; charset=utf-8",
            Self::Problem => "application/problem+json",
        }
    }

    /// The body. `title` is the status in words. A page does not escape the cause: it may not come
    /// from a client.
    pub fn body(self, status: u16, title: &str, cause: Option<&str>) -> String {
        match (self, cause) {
            (Self::Problem, cause) => problem(status, title, cause),
            (_, None) => title.to_owned(),
            (Self::Line, Some(cause)) => format!("{title}: {cause}"),
            (Self::Page, Some(cause)) => format!("{title}\n{cause}\n"),
        }
    }
}

fn problem(status: u16, title: &str, cause: Option<&str>) -> String {
    let (title, cause) = (serde_json::Value::from(title), cause.map(serde_json::Value::from));
    let detail = cause.as_ref().map_or_else(String::new, |cause| format!(r#""detail":{cause},"#));
    let error = cause.as_ref().unwrap_or(&title);
    format!(r#"{{"title":{title},"status":{status},{detail}"error":{error}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let cause = "a \"b\"\\\n\u{85}";
        assert_eq!(ErrorForm::Line.body(400, "Bad Request", Some("a b")), "Bad Request: a b");
        assert_eq!(ErrorForm::Line.body(408, "Request Timeout", None), "Request Timeout");
        assert_eq!(ErrorForm::Page.body(400, "Bad Request", Some("a b")), "Bad Request\na b\n");
        let text = ErrorForm::Problem.body(400, "Bad Request", Some(cause));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["title"], "Bad Request");
        assert_eq!(value["status"], 400);
        assert_eq!(value["detail"], cause);
        assert_eq!(value["error"], cause);
        let text = ErrorForm::Problem.body(404, "Not Found", None);
        assert_eq!(text, r#"{"title":"Not Found","status":404,"error":"Not Found"}"#);
    }
}
