//! A group of upstreams: its servers, how one is picked, and how long each step may take.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::{ServerEntry, UpstreamTls};
use store_server::duration;

/// A group of servers that can stand in for one another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Group {
    /// How the next server is picked.
    pub policy: Policy,
    /// What `consistent_hash` hashes.
    pub hash_on: HashOn,
    /// How long a request may wait until a server has a permit for it.
    #[serde(with = "duration")]
    pub queue_timeout: Duration,
    /// Time limit for a new connection.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Longest time without a byte from a server that has to answer, or to complete its answer.
    #[serde(with = "duration")]
    pub read_timeout: Duration,
    /// How long a server may leave a request unread.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// How long an idle connection is kept; it should be shorter than the time for which the server keeps it.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Which requests may go out on a connection that was used before.
    pub reuse: Reuse,
    /// Whether HTTP/2 is spoken to the servers: with TLS if the server agrees to it, without TLS always.
    pub http2: bool,
    /// TLS to the servers; without it, connections are not encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// Active health checks; without it, there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// When servers that fail requests get none for a while.
    pub ejection: Ejection,
    /// Keeps answers in memory; without it, every request goes to a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// The servers.
    pub servers: Vec<ServerEntry>,
}

/// How the next server is picked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// One upstream after the other, in proportion to their weights.
    WeightedRoundRobin,
    /// The upstream with the fewest requests in flight relative to its weight.
    LeastConnections,
    /// The same upstream for the same key, as long as it is up.
    ConsistentHash,
}

/// What [`Policy::ConsistentHash`] hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum HashOn {
    /// The client's IP address. Trusted proxies may name it (see `forwarded.trusted`).
    #[default]
    ClientAddress,
    /// The value of a request header, or the client's address if the header is missing.
    Header(HeaderName),
}

/// Which requests may go out on a connection that was used before. The server may close such a connection at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// Requests that may be sent again. Others always get a new connection, so that they never meet a closed one.
    #[default]
    Replayable,
    /// All requests. Writes are faster, but a write fails if the server closes its connection at that moment.
    All,
}

/// Active checks: each server is sent a GET at an interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// The path of the GET.
    pub path: String,
    /// The status that a healthy server answers with.
    pub status: u16,
    /// Time from one check to the next.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Time limit for one check.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Failures in a row after which a server is down.
    pub down_after: u32,
    /// Successes in a row after which a server that was down is up again.
    pub up_after: u32,
}

/// Ejects servers that fail requests for a while, without waiting for a health check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ejection {
    /// Failures in a row after which a server is ejected; 0: never.
    pub failures: u32,
    /// Whether that many 503 answers in a row also eject a server, as long as another server gives other answers.
    pub count_503: bool,
    /// How long a server is ejected at first; doubled each time.
    #[serde(with = "duration")]
    pub base: Duration,
    /// How long a server is ejected at most.
    #[serde(with = "duration")]
    pub max: Duration,
}

/// Keeps answers in memory, if their servers allow it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Memory of all kept answers together, in MiB. Answers that were not used for the longest time make room.
    pub size_mib: usize,
    /// The largest answer that is kept, in KiB.
    pub max_object_kib: usize,
    /// How long a request waits for another request that fetches the same answer, before it goes to a server itself.
    #[serde(with = "duration")]
    pub fill_timeout: Duration,
    /// Whether `Expires` decides how long an answer is fresh, if no other header does.
    pub expires: bool,
    /// For how long an answer is fresh that does not say so, in percent of the time since `Last-Modified`; 0: not at
    /// all.
    pub heuristic_percent: u32,
    /// The longest time for which such an answer is fresh.
    #[serde(with = "duration")]
    pub heuristic_max: Duration,
    /// Whether answers of other statuses than 200 are kept.
    pub other_statuses: bool,
    /// Whether answers are kept that must be confirmed by their server before each use.
    pub revalidate: bool,
    /// Whether requests for one range are answered from whole answers.
    pub ranges: bool,
    /// Whether requests with `Authorization` use the cache, for answers that are marked as the same for everybody.
    pub authorized: bool,
}

impl Group {
    /// Whether the proxy speaks HTTP/1.1 without TLS to the servers.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && !self.http2
    }
}

impl Cache {
    /// [`Cache::size_mib`] in bytes.
    pub fn size_bytes(&self) -> usize {
        self.size_mib * 1024 * 1024
    }

    /// [`Cache::max_object_kib`] in bytes.
    pub fn max_object_bytes(&self) -> usize {
        self.max_object_kib * 1024
    }

    /// Settings with every feature of the cache switched on.
    #[cfg(test)]
    pub(crate) fn opened() -> Self {
        Self {
            expires: true,
            heuristic_percent: 10,
            other_statuses: true,
            revalidate: true,
            ranges: true,
            authorized: true,
            ..Self::default()
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            size_mib: 64,
            max_object_kib: 1024,
            fill_timeout: Duration::from_secs(5),
            expires: false,
            heuristic_percent: 0,
            heuristic_max: Duration::from_secs(60 * 60),
            other_statuses: false,
            revalidate: false,
            ranges: false,
            authorized: false,
        }
    }
}

impl Default for Group {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            hash_on: HashOn::default(),
            queue_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(35),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(5),
            reuse: Reuse::default(),
            http2: false,
            tls: None,
            health: None,
            ejection: Ejection::default(),
            cache: None,
            servers: Vec::new(),
        }
    }
}

impl Default for Health {
    fn default() -> Self {
        Self {
            path: "/health-check".into(),
            status: 200,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            down_after: 2,
            up_after: 2,
        }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: 3,
            count_503: false,
            base: Duration::from_secs(1),
            max: Duration::from_secs(60),
        }
    }
}

impl FromStr for HashOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "client_address" {
            return Ok(Self::ClientAddress);
        }
        text.strip_prefix("header:")
            .and_then(|name| HeaderName::from_str(name).ok())
            .map(Self::Header)
            .ok_or_else(|| "write \"client_address\" or \"header:NAME\"".into())
    }
}

store_server::written_as_text!(HashOn);

impl fmt::Display for HashOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAddress => f.write_str("client_address"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}
