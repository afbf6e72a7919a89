//! One Sentinel's answer about a name, and which of several is believed.

use std::collections::HashMap;

use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, Value};

use crate::config::HostPort;

/// One Sentinel's answer about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentinelReply {
    pub(super) primary: HostPort,
    /// A number that grows with each failover:
    /// <https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/>.
    pub(super) epoch: u64,
}

impl SentinelReply {
    /// Reads the answer to `SENTINEL MASTER`.
    ///
    /// # Errors
    /// It names no address, or no epoch.
    pub(super) fn read(reply: Value) -> RedisResult<Self> {
        let fields = HashMap::<String, String>::from_redis_value(reply)?;
        let field = |name: &str| fields.get(name).map(String::as_str);
        let read = || {
            let port = field("port")?.parse().ok()?;
            Some(Self {
                primary: HostPort::new(field("ip")?, port),
                epoch: field("config-epoch")?.parse().ok()?,
            })
        };
        let odd = "a Sentinel says nothing of where a primary is";
        read().ok_or_else(|| RedisError::from((ErrorKind::UnexpectedReturnType, odd)))
    }
}

/// The answer of the Sentinel that saw the latest failover, if that is no earlier one than `known_epoch`.
pub(super) fn latest(
    opinions: Vec<SentinelReply>,
    known_epoch: Option<u64>,
) -> Option<SentinelReply> {
    let latest = opinions.into_iter().max_by_key(|opinion| opinion.epoch);
    latest.filter(|latest| Some(latest.epoch) >= known_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn without_a_majority_the_latest_failover_counts_and_none_before_what_is_known() {
        let reply = |(host, epoch): &(&str, u64)| SentinelReply {
            primary: HostPort::new(host, 6379),
            epoch: *epoch,
        };
        for (said, known, believed) in [
            (vec![("a", 6), ("b", 7)], None, Some("b")),
            (vec![("b", 7), ("a", 6)], Some(6), Some("b")),
            (vec![("b", 7)], Some(7), Some("b")),
            // It was cut off together with the old primary, and the others do not answer.
            (vec![("a", 6)], Some(7), None),
            (vec![("a", 0)], None, Some("a")),
        ] {
            let latest = latest(said.iter().map(reply).collect(), known);
            let believed = believed.map(|host| HostPort::new(host, 6379));
            assert_eq!(latest.map(|reply| reply.primary), believed, "{said:?}");
        }
    }

    #[test]
    fn a_sentinels_answer_is_read() {
        let fields = [
            "name",
            "store",
            "ip",
            "::1",
            "port",
            "6379",
            "config-epoch",
            "7",
        ];
        let read =
            SentinelReply::read(Value::Array(fields.map(text).into())).expect("all is there");
        assert_eq!(read.primary.to_string(), "[::1]:6379");
        assert_eq!(read.epoch, 7);
        SentinelReply::read(Value::Array(fields[..4].iter().map(|f| text(f)).collect()))
            .expect_err("no port");
    }
}
