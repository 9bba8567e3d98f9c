//! `/_ring/`: one page that shows the ring as it lives, in one document without any outside part.

use std::sync::LazyLock;

use hyper::StatusCode;

use super::{
    body,
    reply::{self, Answer},
    status::members,
};
use crate::{net::handle::NodeHandle, ring::message::Refusal};

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");
/// SHA-256 of the two, for the policy that allows them and nothing else.
const STYLE_SHA256: &str = "14afv1Fq0TJ3z2lpteEG9nQhXjOkSN3YiF+6bhpJYr0=";
const SCRIPT_SHA256: &str = "z9Y4qNBcY+DeTHqpHuDmKVhWIUID32cyFnTNGAgbXs8=";

/// The whole document.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let frame = include_str!("page/page.html");
    frame.replace("/*CSS*/", STYLE).replace("/*JS*/", SCRIPT)
});

/// The page. It may talk to this node, and ask the other members whether they are there.
pub(super) async fn page(node: &NodeHandle) -> Result<Answer, Refusal> {
    let (members, me) = members(node).await?;
    let others: String = members
        .iter()
        .filter(|row| row.address != me)
        .map(|row| format!(" http://{}", row.address))
        .collect();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{STYLE_SHA256}'; script-src 'sha256-{SCRIPT_SHA256}'; \
         img-src 'self' data:; connect-src 'self'{others}; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let document = body::text(DOCUMENT.as_str());
    let mut answer = reply::fresh(StatusCode::OK, "text/html; charset=utf-8", document);
    reply::set(answer.headers_mut(), hyper::header::CONTENT_SECURITY_POLICY, &policy);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_what_is_in_the_page() {
        for (what, text, hash) in
            [("style", STYLE, STYLE_SHA256), ("script", SCRIPT, SCRIPT_SHA256)]
        {
            let expected = STANDARD.encode(Sha256::digest(text));
            assert_eq!(hash, expected, "the hash of the {what}");
        }
    }

    #[test]
    fn the_page_is_small_and_asks_for_nothing_else() {
        assert!(DOCUMENT.len() < 40_000, "{} bytes", DOCUMENT.len());
        assert!(!DOCUMENT.contains("/*CSS*/") && !DOCUMENT.contains("/*JS*/"));
        for outside in ["src=\"http", "href=\"http", "url(", "@import", "style=\"", " onclick="] {
            assert!(!DOCUMENT.contains(outside), "{outside}");
        }
    }
}
