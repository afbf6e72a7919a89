//! Results of a look-up.

use std::net::SocketAddr;
use std::time::Duration;

/// The servers that a name stands for.
#[derive(Debug)]
pub struct Answer {
    /// The servers in the order of their addresses, each address once.
    pub found: Vec<ResolvedServer>,
    /// How long the answer is valid.
    pub lifetime: Duration,
    /// Reasons why some records can't be used.
    pub left_out: Vec<String>,
    /// Why another answer may be the right one: name servers did not answer for a name that comes before the one that
    /// was found, as a host in an earlier search domain does.
    pub doubt: Option<LookupError>,
}

/// One server behind a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResolvedServer {
    /// The address to connect to.
    pub address: SocketAddr,
    /// The name of the host with this address.
    pub host: String,
    /// Share of the requests, relative to other servers' weights; `None`: use the weight in the settings.
    pub weight: Option<u16>,
}

/// Why a look-up found nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name does not exist, according to a name server.
    #[error("there is no such name")]
    NoSuchName,
    /// The name exists, but has no records that lead to a server.
    #[error("{0}")]
    Nothing(String),
    /// No name server answered.
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
            doubt: None,
        }
    }
}

impl LookupError {
    /// The error's name in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoSuchName | Self::Nothing(_) => "empty",
            Self::Unanswered(_) | Self::NobodyToAsk(_) => "failed",
        }
    }

    /// Of two errors in one look-up, returns the one that is more informative.
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

    /// The error, if it leaves open whether the name exists: then what a later name stands for is in doubt.
    pub(super) fn doubt(self) -> Option<Self> {
        match self {
            Self::NoSuchName | Self::Nothing(_) => None,
            Self::Unanswered(_) | Self::NobodyToAsk(_) => Some(self),
        }
    }

    /// Whether both errors mean the same for an operator, even if their texts differ.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Nothing(one), Self::Nothing(other)) => one == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// The addresses as text for people.
#[must_use]
pub fn list(found: &[ResolvedServer]) -> String {
    let addresses: Vec<String> = found
        .iter()
        .map(|found| found.address.to_string())
        .collect();
    addresses.join(", ")
}
