//! The request that a new generation must answer before it serves anyone else.

use http::{Method, StatusCode};

/// A request and what its answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// If there is none, any status below 500 will do.
    pub(crate) status: Option<StatusCode>,
    /// Text that the body must contain.
    pub(crate) contains: Option<String>,
}

impl Probe {
    /// Whether a client's request with `method` for `path` asks what this does.
    pub(crate) fn is_asked_by(&self, method: &Method, path: &str) -> bool {
        path == self.path && (*method == self.method || *method == Method::HEAD)
    }
}
