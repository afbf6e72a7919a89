//! What comes of a look-up.

use std::net::SocketAddr;
use std::time::Duration;

/// What a name stands for.
#[derive(Debug)]
pub struct Answer {
    /// In the order of their addresses, each once.
    pub found: Vec<ResolvedServer>,
    /// How long that holds.
    pub lifetime: Duration,
    /// Records that can't be used, and why.
    pub left_out: Vec<String>,
}

/// One server behind a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResolvedServer {
    /// Where it is.
    pub address: SocketAddr,
    /// The host that has the address.
    pub host: String,
    /// Its share, compared with the others'; none: as the file says.
    pub weight: Option<u16>,
}

/// Why a look-up brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Name servers know no such name.
    #[error("there is no such name")]
    NoSuchName,
    /// The name has nothing that leads to a server.
    #[error("{0}")]
    Nothing(String),
    /// Nobody says.
    #[error("no name server answers: {0}")]
    Unanswered(String),
    /// Neither the settings nor the system know a name server.
    #[error("no name server is known: {0}; name one in the settings")]
    NobodyToAsk(String),
}

impl Answer {
    pub(super) fn new(
        mut found: Vec<ResolvedServer>,
        lifetime: Duration,
        left_out: Vec<String>,
    ) -> Self {
        found.sort();
        found.dedup_by_key(|found| found.address);
        Self {
            found,
            lifetime,
            left_out,
        }
    }
}

impl LookupError {
    /// What metrics call it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoSuchName | Self::Nothing(_) => "empty",
            Self::Unanswered(_) | Self::NobodyToAsk(_) => "failed",
        }
    }

    /// Of two troubles that one look-up met, gives the one that says more.
    pub(super) fn or(self, other: Self) -> Self {
        let rank = |trouble: &Self| match trouble {
            Self::NoSuchName => 0,
            Self::Nothing(_) => 1,
            Self::Unanswered(_) | Self::NobodyToAsk(_) => 2,
        };
        if rank(&other) > rank(&self) {
            other
        } else {
            self
        }
    }

    /// Whether an operator would call it the same, however the words differ from time to time.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing(one), Self::Nothing(other)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// Addresses for people.
#[must_use]
pub fn list(found: &[ResolvedServer]) -> String {
    let addresses: Vec<String> = found
        .iter()
        .map(|found| found.address.to_string())
        .collect();
    addresses.join(", ")
}
