//! The request that a new generation must answer before it serves clients.

use http::{Method, StatusCode};

/// A request, and the answer that it must get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The status that the answer must have; without one, any status below 500 is enough.
    pub(crate) status: Option<StatusCode>,
    /// Text that the body must contain.
    pub(crate) contains: Option<String>,
}

impl Probe {
    /// Whether a client's request with `method` for `path` asks the same as this probe.
    pub(crate) fn is_asked_by(&self, method: &Method, path: &str) -> bool {
        path == self.path && (*method == self.method || *method == Method::HEAD)
    }
}
