//! Which server holds which slots, as a node reports it.

use std::collections::HashSet;

use redis::{FromRedisValue, RedisResult, Value};

use crate::config::HostPort;

/// The most servers that are remembered. The specification recommends no larger cluster.
const MOST_SERVERS: usize = 1000;

/// The most servers that a log line names.
const MOST_NAMED: usize = 8;

/// The slots and their primaries, as one node knows them.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    /// A number that grows with each failover and each move of a slot, as far as the node knows of them.
    pub(super) epoch: u64,
    /// The ranges of slots, ordered by their first slots.
    ranges: Vec<SlotRange>,
    /// The primaries and their replicas: the servers that a link may lead to.
    servers: HashSet<HostPort>,
}

/// Nodes agree if they say the same of each slot. A replica comes and goes without that.
impl PartialEq for Slots {
    fn eq(&self, other: &Self) -> bool {
        self.epoch == other.epoch && self.agrees(other)
    }
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
        let (mut ranges, mut servers) = (Vec::new(), HashSet::new());
        for entry in &entries {
            let Some((first, last, holders)) = parts(entry) else {
                continue;
            };
            let primary = holders.first().and_then(|holder| server(node, holder));
            ranges.extend(primary.map(|primary| SlotRange {
                first,
                last,
                primary,
            }));
            let left = MOST_SERVERS.saturating_sub(servers.len());
            let holders = holders.iter().filter_map(|holder| server(node, holder));
            servers.extend(holders.take(left));
        }
        ranges.sort_by_key(|range| range.first);
        Ok(Some(Self {
            epoch: epoch.unwrap_or_default(),
            ranges,
            servers,
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

    /// Whether the node knows a server, as a primary or as a replica.
    pub(super) fn knows(&self, server: &HostPort) -> bool {
        self.servers.contains(server)
    }

    /// The servers that hold slots, each of them once.
    pub(super) fn primaries(&self) -> Vec<&HostPort> {
        let mut seen = HashSet::new();
        let primaries = self.ranges.iter().map(|range| &range.primary);
        primaries.filter(|primary| seen.insert(*primary)).collect()
    }

    /// The servers that hold slots, as text for log lines, which names only some of many.
    pub(super) fn described(&self) -> String {
        let mut primaries = self.primaries();
        let others = primaries.len().saturating_sub(MOST_NAMED);
        primaries.truncate(MOST_NAMED);
        let mut named: Vec<_> = primaries.iter().map(ToString::to_string).collect();
        named.sort();
        match others {
            0 => named.join(", "),
            _ => format!("{} and {others} others", named.join(", ")),
        }
    }
}

/// The parts of one entry of `CLUSTER SLOTS`: the first slot, the last one, and the servers, of which the first is the
/// primary (<https://redis.io/docs/latest/commands/cluster-slots/>).
fn parts(entry: &Value) -> Option<(u16, u16, &[Value])> {
    let Value::Array(entry) = entry else {
        return None;
    };
    let [Value::Int(first), Value::Int(last), holders @ ..] = entry.as_slice() else {
        return None;
    };
    Some((
        u16::try_from(*first).ok()?,
        u16::try_from(*last).ok()?,
        holders,
    ))
}

/// The address of one server in an entry. `None` if the node does not know it.
fn server(node: &HostPort, holder: &Value) -> Option<HostPort> {
    let Value::Array(holder) = holder else {
        return None;
    };
    let [host, Value::Int(port), ..] = holder.as_slice() else {
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
    Some(HostPort::new(host, port))
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
        assert!(slots.knows(&HostPort::new("replica", 1)));
        assert!(!slots.knows(&HostPort::new("stranger", 1)));
        assert_eq!(slots.described(), "asked:7001, asked:7004, b:7002");
    }

    #[test]
    fn many_servers_are_neither_remembered_nor_named_all() {
        let many = i64::try_from(MOST_SERVERS).expect("it is small") + 1;
        let ranges = (1..=many).map(|port| range(port, port, text("a"), port));
        let slots = read(UP, ranges.collect()).expect("the cluster is up");
        assert_eq!(slots.servers.len(), MOST_SERVERS);
        assert!(slots.knows(&HostPort::new("a", 1)));
        let described = slots.described();
        assert!(described.starts_with("a:1, a:2, "), "{described}");
        assert!(described.ends_with(", a:8 and 993 others"), "{described}");
    }

    /// Two nodes agree even if one of them does not know a replica.
    #[test]
    fn nodes_agree_whatever_replicas_they_know() {
        let one = read(UP, vec![range(0, 9, text("a"), 1)]).expect("the cluster is up");
        let mut other = one.clone();
        other.servers.clear();
        assert_eq!(one, other);
        other.epoch += 1;
        assert_ne!(one, other);
    }

    #[test]
    fn a_cluster_that_is_down_has_no_slots() {
        assert_eq!(read("cluster_state:fail\r\n", vec![]), None);
        let empty = read(UP, vec![]).expect("the cluster is up");
        assert_eq!(empty.primary(None), None);
        assert_eq!(empty.primary(Some(7)), None);
    }
}
