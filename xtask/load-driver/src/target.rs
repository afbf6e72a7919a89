//! The requests of a load, in the form that each load generator reads.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One request: a GET, or a POST of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The path and query, from the first slash on.
    pub path: String,
    /// The JSON of a POST; `None` for a GET.
    pub body: Option<String>,
}

impl Request {
    /// A GET of this path.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            body: None,
        }
    }

    /// A POST of this JSON to this path.
    pub fn post(path: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            body: Some(body.into()),
        }
    }

    pub(super) fn method(&self) -> &'static str {
        match self.body {
            None => "GET",
            Some(_) => "POST",
        }
    }
}

/// Requests to one server. If they differ, they are sent in turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The start of the server's URLs.
    pub(super) base: String,
    pub(super) requests: Vec<Request>,
    /// The names and values of header lines that all requests have.
    headers: Vec<(String, String)>,
    /// Whether the requests go over HTTP/2, which wrk does not speak.
    pub(super) http2: bool,
    /// Whether a connection is used for many requests.
    pub(super) keep_alive: bool,
    /// The file with the certificate of a server with TLS. wrk and h2load don't check certificates at all.
    pub(super) certificate: Option<PathBuf>,
    /// The addresses of the clients that our own sender sends the requests from. If there are none, the system chooses
    /// an address.
    pub(super) clients: Vec<Ipv4Addr>,
}

impl Target {
    /// A GET of the same path of the server at `base`, repeated.
    pub fn get(base: &str, path: &str) -> Self {
        Self::of(base, [Request::get(path)])
    }

    /// GETs of these paths of the server at `base`.
    pub fn gets(base: &str, paths: impl Iterator<Item = String>) -> Self {
        Self::of(base, paths.map(Request::get))
    }

    /// A `POST` of this JSON with this `Idempotency-Key`, repeated.
    pub fn post(base: &str, path: &str, body: &str, key: &str) -> Self {
        Self {
            headers: vec![("idempotency-key".to_owned(), key.to_owned())],
            ..Self::of(base, [Request::post(path, body)])
        }
    }

    /// `POST /orders` with these bodies.
    pub fn orders(base: &str, bodies: impl Iterator<Item = String>) -> Self {
        Self::of(base, bodies.map(|body| Request::post("/orders", body)))
    }

    /// These requests to the server at `base`.
    pub fn of(base: &str, requests: impl IntoIterator<Item = Request>) -> Self {
        Self {
            base: base.to_owned(),
            requests: requests.into_iter().collect(),
            headers: Vec::new(),
            http2: false,
            keep_alive: true,
            certificate: None,
            clients: Vec::new(),
        }
    }

    /// Changes the target to use a new connection for each request.
    pub fn closing(mut self) -> Self {
        self.keep_alive = false;
        self
    }

    /// Changes the target to use HTTP/2 with TLS.
    pub fn over_http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Sets the file with the server's certificate, in PEM, which servers with TLS need.
    pub fn with_certificate(mut self, file: PathBuf) -> Self {
        self.certificate = Some(file);
        self
    }

    /// Changes the target to be sent by clients at these addresses of this machine in turn. Each connects when it has a
    /// request to send, so if the server does not let it connect, that request has failed.
    pub fn with_clients(mut self, addresses: &[Ipv4Addr]) -> Self {
        self.clients = addresses.to_vec();
        self
    }

    /// The URL of the first request; wrk and h2load take the server from it.
    pub(super) fn url(&self) -> String {
        let path = self.requests.first().map_or("", |request| &request.path);
        format!("{}{path}", self.base)
    }

    /// The names and values of a request's header lines, without those that each load generator adds itself: the
    /// server's name and the body's length.
    pub(super) fn header_lines<'a>(
        &'a self,
        request: &'a Request,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_str()));
        let close = (!self.keep_alive).then_some(("Connection", "close"));
        let json = request
            .body
            .is_some()
            .then_some(("content-type", "application/json"));
        headers.chain(close).chain(json)
    }
}
