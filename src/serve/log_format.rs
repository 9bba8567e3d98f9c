//! What the access log looks like.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2024-01-01T12:00:00.000Z - GET /path 200 13 0.042ms 127.0.0.1:50312`, and where requests
    /// are followed ` service=… request_id=… traceparent=…`, and maybe ` cause="…"`; of a gRPC call,
    /// ` grpc_status=0`
    #[default]
    Text,
    /// The same as one JSON object: `time`, `method`, `url`, `status`, `bytes`, `duration_ms`,
    /// `client`, and maybe `grpc_status`, `service`, `request_id`, `traceparent`, `cause`. Every other
    /// line is an object as well, with `time` and `message`.
    Json,
    /// As nginx and Apache write it:
    /// `127.0.0.1 - - [01/Jan/2024:12:00:00 +0000] "GET /path HTTP/1.1" 200 13 "REFERER" "USER AGENT"`
    Combined,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "combined" => Ok(Self::Combined),
            _ => Err(format!("`{text}` is no log format; write text, json or combined")),
        }
    }
}

impl Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Combined => "combined",
        })
    }
}
