//! The configuration file: its keys, their defaults, and the checks before any of it is used.
//!
//! `group` has the settings of a group of upstreams; the others are here. `read` turns the file's text into a
//! [`Config`], `check` and `check_group` check it, a `complaint` says what is wrong, and `print` writes the settings
//! for `--check`. Nothing here knows what a setting does.

mod check;
mod check_group;
mod complaint;
mod console;
mod error;
#[cfg(test)]
mod fuzz;
mod group;
pub(crate) mod pem;
mod print;
mod read;
mod server_entry;
#[cfg(test)]
mod tests;
mod upstream_tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use console::Console;
pub use error::ConfigError;
pub use group::{Cache, Ejection, Group, HashOn, Health, Policy, Reuse};
pub use pem::TlsError;
pub use read::{load, token_file};
pub use server_entry::ServerEntry;
use store_server::duration;
pub use store_server::duration::parse as parse_duration;
pub use store_server::names::{NameServer, Resolver, ServerLocation};
pub use store_server::trace::Settings as Trace;
pub use upstream_tls::{TlsFiles, UpstreamTls};

/// The whole file. Every key has a default except the servers themselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The process; read at start only.
    pub server: Server,
    /// Addresses for clients; read at start only. Certificates are read again when they change.
    pub listen: Vec<Listen>,
    /// Limits on what one client may send and hold.
    pub limits: Limits,
    /// Proxies that are trusted to name a request's client.
    pub forwarded: Forwarded,
    /// How often a request may be tried.
    pub retry: Retry,
    /// How names of servers become addresses.
    pub resolver: Resolver,
    /// Compression of answers.
    pub compression: Compression,
    /// The access log, one line a request; read at start only.
    pub access_log: AccessLog,
    /// Traces: read at start only.
    pub trace: Trace,
    /// The console: read at start only.
    pub console: Console,
    /// Which group answers which requests.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Groups of servers that can stand in for one another, by name.
    pub upstreams: BTreeMap<String, Group>,
}

/// Settings of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Threads that serve requests.
    pub threads: usize,
    /// Address of the admin listener: metrics, status and changes.
    pub admin: SocketAddr,
    /// Host names that requests to the admin listener may be for, besides `localhost` and addresses.
    pub admin_names: Vec<String>,
    /// File with the token that changes need. The first start creates it.
    pub admin_token_file: PathBuf,
    /// File with the process id. A relative path, here as in all settings, counts from the folder of the configuration
    /// file.
    pub pid_file: PathBuf,
    /// The Unix socket over which a new process takes over the old one's sockets.
    pub upgrade_socket: PathBuf,
    /// How long requests in flight may take to finish when the process stops.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
}

/// One address for clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// IP address and port.
    pub address: SocketAddr,
    /// HTTPS instead of HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// HTTP/2 with TLS, by ALPN.
    pub h2: bool,
    /// HTTP/2 without TLS, for clients that begin with its preface.
    pub h2c: bool,
}

/// A certificate and its key, PEM files that are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The server's certificate, then those of the authorities between it and the root.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
}

/// Limits on what one client may send and hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most header lines of a request.
    pub header_count: usize,
    /// Most bytes of a request's head.
    pub header_bytes: usize,
    /// Most bytes of a request's body.
    pub body_bytes: u64,
    /// Time limit for the whole head, from its first byte.
    #[serde(with = "duration")]
    pub header_timeout: Duration,
    /// Time limit for the whole body.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a connection may be idle between two requests.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// How long a client may leave an answer unread.
    #[serde(with = "duration")]
    pub send_timeout: Duration,
    /// Time limit for a whole request, including all tries and the answer.
    #[serde(with = "duration")]
    pub request_timeout: Duration,
    /// Most client connections open at once.
    pub connections: usize,
    /// Most connections open at once from one client address, except for trusted proxies.
    pub connections_per_client: usize,
    /// Most requests in flight at once for one client address.
    pub requests_per_client: usize,
    /// Rate of requests per client address; without it, there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// A token bucket per client address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Tokens that come back each second.
    pub per_second: f64,
    /// Most tokens that the bucket holds.
    pub burst: u32,
}

/// Proxies that are trusted to name a request's client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forwarded {
    /// Proxies before this one, whose `X-Forwarded-…` and `Forwarded` headers are trusted.
    pub trusted: Vec<IpNet>,
}

/// How often a request may be tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Most retries, as a share of the requests of the last ten seconds.
    pub budget: f64,
    /// Retries per second that are always allowed, however few requests there are.
    pub min_per_second: u32,
    /// Most tries of one request, including the first.
    pub max_tries: usize,
    /// Paths below which servers honour `Idempotency-Key`: to a POST that comes again with the same key they repeat
    /// their first answer.
    pub keyed_posts: Vec<String>,
}

/// Compression of answers by this proxy. A level of 0 switches a coding off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compression {
    /// Level from 1 to 9, or 0.
    pub gzip: u32,
    /// Level from 1 to 11, or 0.
    pub brotli: u32,
}

/// The access log, one JSON line for each request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// The file that lines are appended to; `-` is stdout. Without it, there is no log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Share of the requests that are logged, from 0 to 1; requests answered with 500 or above always are.
    pub sample: f64,
}

/// Sends requests to a group. The first route that matches decides, in the order that [`Route::path_prefix`] describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The path segments that a path must begin with. Routes with a host are tried before those without, and longer
    /// prefixes before shorter ones.
    #[serde(default = "everything")]
    pub path_prefix: String,
    /// The host that a request must be for, without its port; without it, any host matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Name of the group.
    pub upstreams: String,
}

fn everything() -> String {
    "/".into()
}

impl Default for Server {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            admin_names: Vec::new(),
            admin_token_file: "store-proxy.token".into(),
            pid_file: "store-proxy.pid".into(),
            upgrade_socket: "store-proxy.upgrade".into(),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: None,
            h2: true,
            h2c: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_count: 100,
            header_bytes: 32 * 1024,
            body_bytes: 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            connections: 8192,
            connections_per_client: 1024,
            requests_per_client: 512,
            rate: None,
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            budget: 0.2,
            min_per_second: 10,
            max_tries: 3,
            keyed_posts: Vec::new(),
        }
    }
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            path: None,
            sample: 1.0,
        }
    }
}
