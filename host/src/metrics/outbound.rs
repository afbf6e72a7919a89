//! Metrics of the commands that components send to Redis, and of the calls to MySQL and Redis that the host refuses.

use prometheus::{IntCounter, IntCounterVec};

use super::Declare;

pub(super) struct OutboundVecs {
    redis_errors: IntCounterVec,
    redis_near_reads: IntCounterVec,
    redis_scripts_ended: IntCounterVec,
    refused: IntCounterVec,
}

impl OutboundVecs {
    pub(super) fn declare(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            redis_errors: declare.counters(
                "store_redis_errors_total",
                "Redis commands that failed",
                &["component"],
            )?,
            redis_near_reads: declare.counters(
                "store_redis_near_cache_reads_total",
                "Reads of keys that the component asks to be kept near: hit or miss",
                &["component", "outcome"],
            )?,
            redis_scripts_ended: declare.counters(
                "store_redis_scripts_ended_total",
                "Scripts in Redis that ran too long and were ended",
                &["component"],
            )?,
            refused: declare.counters(
                "store_outbound_refused_total",
                "Calls of a component to MySQL or Redis that the host refused: address, command, statement, pools, size or full",
                &["component", "reason"],
            )?,
        })
    }

    /// Creates the series of a component before anything is counted.
    pub(super) fn announce(&self, component: &str) {
        self.redis_errors.with_label_values(&[component]);
        self.scripts_ended(component);
        for refusal in Refusal::ALL {
            self.refused
                .with_label_values(&[component, refusal.label()]);
        }
    }

    pub(super) fn redis_error(&self, component: &str) {
        self.redis_errors.with_label_values(&[component]).inc();
    }

    pub(super) fn scripts_ended(&self, component: &str) -> IntCounter {
        self.redis_scripts_ended.with_label_values(&[component])
    }

    pub(super) fn refuse(&self, component: &str, refusal: Refusal) {
        let labels = [component, refusal.label()];
        self.refused.with_label_values(&labels).inc();
    }

    pub(super) fn near(&self, component: &str) -> NearMetrics {
        let outcome = |outcome| {
            self.redis_near_reads
                .with_label_values(&[component, outcome])
        };
        NearMetrics {
            hits: outcome("hit"),
            misses: outcome("miss"),
        }
    }
}

/// Why the host refuses a call of a component to MySQL or Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The address is not valid, or not allowed.
    Address,
    /// A Redis command that would block, switch or subscribe the connection.
    Command,
    /// An XA transaction in MySQL, which would outlive its connection, or a statement in a string, which could be one.
    Statement,
    /// The component uses too many addresses at once.
    Pools,
    /// A row or an answer is larger than the host holds for the component.
    Size,
    /// The host already holds so much for the component that there is no room.
    Full,
}

impl Refusal {
    const ALL: [Self; 6] = [
        Self::Address,
        Self::Command,
        Self::Statement,
        Self::Pools,
        Self::Size,
        Self::Full,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Command => "command",
            Self::Statement => "statement",
            Self::Pools => "pools",
            Self::Size => "size",
            Self::Full => "full",
        }
    }
}

/// Counters of one component's reads of keys that may be kept near.
pub(crate) struct NearMetrics {
    pub(crate) hits: IntCounter,
    pub(crate) misses: IntCounter,
}
