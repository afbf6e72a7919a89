//! Which server holds which slots, as a node reports it.

use redis::{FromRedisValue, RedisResult, Value};

use crate::config::HostPort;

/// The slots and their primaries, as one node knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    /// A number that grows with each failover and each move of a slot, as far as the node knows of them.
    pub(super) epoch: u64,
    /// The ranges of slots, ordered by their first slots.
    ranges: Vec<SlotRange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SlotRange {
    first: u16,
    last: u16,
    primary: HostPort,
}

impl Slots {
    /// Reads a node's answers to `CLUSTER INFO` and `CLUSTER SLOTS`. `None` if they say that the cluster is down.
    ///
    /// # Errors
    /// The first answer is not text.
    pub(super) fn read(node: &HostPort, info: Value, slots: Value) -> RedisResult<Option<Self>> {
        let info = String::from_redis_value(info)?;
        let field = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
        };
        if field("cluster_state") != Some("ok") {
            return Ok(None);
        }
        let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
        let entries = match slots {
            Value::Array(entries) => entries,
            _ => Vec::new(),
        };
        let ranges = entries
            .iter()
            .filter_map(|entry| SlotRange::read(node, entry));
        let mut ranges: Vec<_> = ranges.collect();
        ranges.sort_by_key(|range| range.first);
        Ok(Some(Self {
            epoch: epoch.unwrap_or_default(),
            ranges,
        }))
    }

    /// The primary that holds `slot`; without a slot, the primary that holds the lowest one.
    pub(super) fn primary(&self, slot: Option<u16>) -> Option<&HostPort> {
        let range = match slot {
            None => self.ranges.first()?,
            Some(slot) => {
                let above = self.ranges.partition_point(|range| range.first <= slot);
                let range = self.ranges.get(above.checked_sub(1)?)?;
                (slot <= range.last).then_some(range)?
            }
        };
        Some(&range.primary)
    }

    /// Whether a server holds any slot.
    pub(super) fn has(&self, server: &HostPort) -> bool {
        self.ranges.iter().any(|range| range.primary == *server)
    }

    /// Whether both have the same primary for each slot.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        self.ranges == other.ranges
    }

    /// The servers that hold slots, as text for log lines.
    pub(super) fn primaries(&self) -> String {
        let mut primaries: Vec<_> = self.ranges.iter().map(|r| r.primary.to_string()).collect();
        primaries.sort();
        primaries.dedup();
        primaries.join(", ")
    }
}

impl SlotRange {
    /// Reads one entry of `CLUSTER SLOTS`: the first and the last slot, the primary, the replicas. `None` if the
    /// primary is unknown (<https://redis.io/docs/latest/commands/cluster-slots/>).
    fn read(node: &HostPort, entry: &Value) -> Option<Self> {
        let Value::Array(entry) = entry else {
            return None;
        };
        let [
            Value::Int(first),
            Value::Int(last),
            Value::Array(primary),
            ..,
        ] = entry.as_slice()
        else {
            return None;
        };
        let [host, Value::Int(port), ..] = primary.as_slice() else {
            return None;
        };
        let host = match host {
            Value::BulkString(host) => str::from_utf8(host).ok()?,
            _ => "",
        };
        let host = match host {
            "?" => return None,
            // An empty host means that of the node itself.
            "" => node.host.as_str(),
            host => host,
        };
        let port = u16::try_from(*port).ok().filter(|port| *port > 0)?;
        Some(Self {
            first: u16::try_from(*first).ok()?,
            last: u16::try_from(*last).ok()?,
            primary: HostPort::new(host, port),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let node = |host, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let replica = node(text("replica"), 1);
        let slots = [first, last].map(Value::Int).into_iter();
        Value::Array(slots.chain([node(host, port), replica]).collect())
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn read(info: &str, ranges: Vec<Value>) -> Option<Slots> {
        let node = HostPort::new("asked", 7000);
        Slots::read(&node, text(info), Value::Array(ranges)).expect("it is text")
    }

    const UP: &str = "cluster_state:ok\r\ncluster_current_epoch:7\r\n";

    #[test]
    fn a_nodes_answer_is_read() {
        let ranges = vec![
            range(100, 200, text("b"), 7002),
            range(0, 99, text(""), 7001),
            range(300, 16_383, text("?"), 7003),
            range(201, 210, Value::Nil, 7004),
            Value::Nil,
        ];
        let slots = read(UP, ranges).expect("the cluster is up");
        assert_eq!(slots.epoch, 7);
        let primary = |slot| slots.primary(slot).map(ToString::to_string);
        for (slot, expected) in [
            (None, Some("asked:7001")),
            (Some(0), Some("asked:7001")),
            (Some(99), Some("asked:7001")),
            (Some(100), Some("b:7002")),
            (Some(210), Some("asked:7004")),
            (Some(211), None),
            (Some(16_383), None),
        ] {
            assert_eq!(primary(slot).as_deref(), expected, "{slot:?}");
        }
        assert!(slots.has(&HostPort::new("b", 7002)));
        assert!(!slots.has(&HostPort::new("replica", 1)));
        assert_eq!(slots.primaries(), "asked:7001, asked:7004, b:7002");
    }

    #[test]
    fn a_cluster_that_is_down_has_no_slots() {
        assert_eq!(read("cluster_state:fail\r\n", vec![]), None);
        let empty = read(UP, vec![]).expect("the cluster is up");
        assert_eq!(empty.primary(None), None);
        assert_eq!(empty.primary(Some(7)), None);
    }
}
