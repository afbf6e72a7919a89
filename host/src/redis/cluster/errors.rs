//! The errors of Redis Cluster servers, and what to do about each.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::config::HostPort;
use crate::outbound::tls_error;
use crate::redis::errors::{is_outage, is_read_only};

/// The error for a node that is in no cluster.
const NO_CLUSTER: &str = "a node that --redis-cluster names belongs to no Redis Cluster";

/// An error of the node `at`, with more information about its cause.
pub(super) fn explained(at: &HostPort, error: RedisError) -> RedisError {
    if error.to_string().contains("cluster support disabled") {
        return (ErrorKind::InvalidClientConfig, NO_CLUSTER, at.to_string()).into();
    }
    match is_passing(&error) {
        true => not_connected(format!("{at}: {error}")),
        false => error,
    }
}

/// Whether the error may go away by waiting.
pub(super) fn is_passing(error: &RedisError) -> bool {
    is_outage(error) && tls_error(error).is_none()
}

pub(super) fn not_connected(reason: String) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, reason).into()
}

/// Whether the node that was asked belongs to no cluster, so that waiting does not help.
pub(crate) fn is_no_cluster(error: &RedisError) -> bool {
    error.kind() == ErrorKind::InvalidClientConfig
}

/// Whether a server refused a command because another server holds the key, or none does.
pub(in crate::redis) fn is_elsewhere(error: &RedisError) -> bool {
    let is_of_a_cluster = matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ClusterDown)
    );
    is_of_a_cluster || is_read_only(error)
}

/// Whether a server says that another one holds the key.
pub(super) fn has_moved(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}

/// The server that a MOVED error of the server `asked` names as the holder of `slot`. It is a hint only: a script of a
/// component can return any error text.
pub(super) fn named_server(error: &RedisError, asked: &HostPort, slot: u16) -> Option<HostPort> {
    let errors = error.clone().into_server_errors()?;
    let (_, first) = errors.first()?;
    if first.kind() != Some(ServerErrorKind::Moved) {
        return None;
    }
    let mut words = first.details()?.split_ascii_whitespace();
    let is_of_slot = words.next()?.parse::<u16>() == Ok(slot);
    let (host, port) = words.next().filter(|_| is_of_slot)?.rsplit_once(':')?;
    let host = match host {
        "?" => return None,
        // An empty host means that of the server that was asked.
        "" => asked.host.as_str(),
        host => host,
    };
    Some(HostPort::new(host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn refused(reply: &str) -> RedisError {
        let reply = redis::parse_redis_value(reply.as_bytes());
        let reply = reply.and_then(Value::extract_error);
        reply.expect_err("it is an error")
    }

    #[test]
    fn a_refusal_names_the_right_server() {
        let asked = HostPort::new("asked", 7000);
        let named = |reply: &str| {
            let error = refused(reply);
            assert!(is_elsewhere(&error), "{error}");
            assert_eq!(has_moved(&error), reply.starts_with("-MOVED"), "{error}");
            named_server(&error, &asked, 3999).map(|server| server.to_string())
        };
        for (reply, server) in [
            ("-MOVED 3999 127.0.0.1:6381\r\n", "127.0.0.1:6381"),
            ("-MOVED 3999 ::1:6381\r\n", "[::1]:6381"),
            ("-MOVED 3999 :6381\r\n", "asked:6381"),
        ] {
            assert_eq!(named(reply).as_deref(), Some(server), "{reply}");
        }
        for unnamed in [
            "-MOVED 4000 127.0.0.1:6381\r\n",
            "-MOVED 3999 ?:6381\r\n",
            "-MOVED 3999\r\n",
            "-MOVED\r\n",
            "-CLUSTERDOWN The cluster is down\r\n",
            "-READONLY You can't write against a read only replica.\r\n",
        ] {
            assert_eq!(named(unnamed), None, "{unnamed}");
        }
        assert!(!is_elsewhere(&refused("-ASK 3999 127.0.0.1:6381\r\n")));
    }
}
