//! Why a request is refused.

/// The status to refuse a request with, and why. Nothing that comes after the request on its
/// connection can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400, 413, 414, 431 or 501.
    pub status: u16,
    /// What is wrong with the request, for the client and the log: `a header line has no colon`.
    pub cause: &'static str,
}

impl Refusal {
    /// A request that makes no sense.
    pub(super) const fn bad(cause: &'static str) -> Self {
        Self { status: 400, cause }
    }
}
