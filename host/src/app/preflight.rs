//! Checks the databases and caches before the first request, so that a wrong password stops the start instead of
//! failing each request.

use std::fmt::Display;
use std::sync::Arc;

use ::redis::{ErrorKind, FromRedisValue, RedisError};

use super::plan::Plan;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::outbound::{Backend, Kind, is_about_time, stands, tls_error};
use crate::{migrate, mysql, redis};

/// The generation number for the connections of this check. Generations that serve have other numbers.
const PREFLIGHT: u64 = 0;

/// What Redis says, without a code of its own, of a command that it does not have.
const MISSING: [&str; 2] = ["unknown command", "unknown subcommand"];

/// The command without which no value is kept near, as Redis names it to a user without the right to it.
const TRACKING: &str = "'client";

/// Connects to each database and cache once.
///
/// # Errors
/// See [`PreflightError`]. An unreachable server is only a warning if `allow_unreachable` is set; a refused password is
/// always an error.
pub(crate) async fn check(
    plan: &Plan,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<(), PreflightError> {
    for (url, component) in &plan.backends() {
        let Some(kind) = Kind::of(url) else { continue };
        // The address was checked when the plan was made.
        let backend = Backend::parse(url, kind).map_err(PreflightError::Backend)?;
        let checked = match kind {
            Kind::Mysql => {
                let memory = config.limits.memory_limit_bytes();
                let server = || plan.servers.mysql.server(&backend, memory);
                let metrics = metrics.mysql_pool(component);
                let pool = mysql::Pool::new(server(), config.mysql.clone(), metrics);
                match mysql(pool).await {
                    Ok(()) if plan.needs_migrations(url) && !config.allow_other_schema => {
                        schema(&server()).await
                    }
                    connected => connected,
                }
            }
            Kind::Redis => {
                let settings = plan.servers.redis.clone();
                redis(&backend, plan.keeps_near(url), settings).await
            }
        };
        match checked {
            Ok(()) => {}
            Err(Failure {
                kind: BackendFault::Unreachable | BackendFault::Handshake(_),
                reason,
            }) if config.allow_unreachable => {
                tracing::warn!(component, "{reason}; serving without it until it is back");
            }
            Err(Failure { kind, reason }) => {
                let said = format!("`component.{component}.variables`: {reason}");
                return Err(match kind {
                    BackendFault::OtherSchema => PreflightError::Schema(said),
                    kind if kind.may_pass() => {
                        PreflightError::Backend(format!("{said}; {}", kind.advice()))
                    }
                    kind => PreflightError::Refused(format!("{said}; {}", kind.advice())),
                });
            }
        }
    }
    Ok(())
}

/// Why the app can't work with its databases and caches: one line that names the database or cache and says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PreflightError {
    /// The server can't be reached or used, which may pass.
    #[error("{0}")]
    Backend(String),
    /// The server refuses what the settings say, or is not what they say. Waiting does not help.
    #[error("{0}")]
    Refused(String),
    /// The tables in the database are those of another version of this program.
    #[error("{0}")]
    Schema(String),
}

struct Failure {
    kind: BackendFault,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BackendFault {
    /// The server can't be reached, or is not ready yet.
    Unreachable,
    /// The server has no such database. Somebody else may be about to make it.
    NoDatabase,
    Refused,
    /// Client and server don't agree on TLS. The string is the kind of server, as flags are named.
    Tls(&'static str),
    /// The connection broke off while TLS was agreed on. The string is as for `Tls`.
    Handshake(&'static str),
    /// The server's certificate is not valid yet, or no longer.
    Untimely,
    /// No Sentinel watches a primary of this name.
    NotWatched,
    /// The Sentinels refuse the user or the password that the settings have for them.
    RefusedBySentinels,
    /// The Redis server can't tell the host which values change, so no value can be kept near.
    CanNotKeepNear,
    /// The Redis server is a node of a cluster and has only a part of the keys, but the settings name no cluster.
    Cluster,
    /// A node that the settings name belongs to no cluster.
    NoCluster,
    /// The address names a database that a Redis Cluster does not have.
    Database,
    /// The database has the tables of another version of this program.
    OtherSchema,
}

impl BackendFault {
    /// Whether the fault may go away by waiting. Otherwise somebody must change a setting or a server, so the host is
    /// not to be started again and again.
    fn may_pass(self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::NoDatabase | Self::Handshake(_) | Self::Untimely
        )
    }

    fn advice(self) -> String {
        let fixed = match self {
            Self::Unreachable => {
                "start it, check its address, or serve without it with --allow-unreachable"
            }
            Self::NoDatabase => "`store-host migrate` makes it; or check the database's name",
            Self::Refused => "check the user, password and database, and whether it wants TLS",
            Self::Untimely => "renew the certificate, or check the clock of this machine",
            Self::Tls(kind) | Self::Handshake(kind) => {
                return format!(
                    "TLS is not agreed on: check --{kind}-tls, --{kind}-ca and the server's certificate, which must be for the \
                     host in the address unless the mode is verify-ca or require"
                );
            }
            Self::NotWatched => {
                "with --redis-sentinel, the host of a redis:// address is the name of a primary, as `SENTINEL MASTERS` \
                 lists them"
            }
            Self::RefusedBySentinels => {
                "set --redis-sentinel-user and --redis-sentinel-password-file to what the Sentinels ask for"
            }
            Self::Cluster => {
                "name some of its nodes with --redis-cluster, or use a server without `cluster-enabled`"
            }
            Self::NoCluster => {
                "--redis-cluster names nodes of a Redis Cluster, with `cluster-enabled yes`; leave it out for one server"
            }
            Self::Database => {
                "a Redis Cluster has database 0 only: leave the number out of the address"
            }
            Self::CanNotKeepNear => {
                "`redis_near_cache` needs Redis 6 or newer, and a user who may run CLIENT: give it that, or take the \
                 key out of the manifest"
            }
            Self::OtherSchema => "use the store-host that is made for it",
        };
        fixed.to_owned()
    }
}

async fn mysql(pool: Arc<mysql::Pool>) -> Result<(), Failure> {
    match pool.checkout(PREFLIGHT, None).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure {
            kind: error
                .refusal()
                .map_or(BackendFault::Unreachable, mysql_fault),
            reason: error.to_string(),
        }),
    }
}

/// What the error of a connection to MySQL means.
fn mysql_fault(error: &mysql_async::Error) -> BackendFault {
    match error {
        error if mysql::is_refusal(error) => BackendFault::Refused,
        error if mysql::lacks_database(error) => BackendFault::NoDatabase,
        error if tls_error(error).is_some_and(is_about_time) => BackendFault::Untimely,
        error if mysql::is_about_tls(error) => BackendFault::Tls("mysql"),
        error if tls_error(error).is_some() => BackendFault::Handshake("mysql"),
        _ => BackendFault::Unreachable,
    }
}

/// Checks whether the database has the tables that this version's components need.
async fn schema(server: &mysql::Server) -> Result<(), Failure> {
    let failure = |kind, reason: &dyn Display| Failure {
        kind,
        reason: format!("MySQL at {server}: {reason}"),
    };
    let last_applied = migrate::last_applied(server).await;
    let last_applied = last_applied.map_err(|error| failure(BackendFault::Unreachable, &error))?;
    migrate::check(last_applied).map_err(|other| failure(BackendFault::OtherSchema, &other))
}

async fn redis(
    backend: &Backend,
    keeps_near: bool,
    settings: redis::LinkSettings,
) -> Result<(), Failure> {
    let failure = |kind, error: &dyn Display| Failure {
        kind,
        reason: format!("Redis at {backend}: {error}"),
    };
    let near = keeps_near.then(Arc::default);
    let names_cluster = settings.names_cluster();
    if names_cluster {
        check_database(backend)?;
    }
    let link = redis::Links::new(backend, settings, near)
        .map_err(|error| failure(BackendFault::Tls("redis"), &error))?;
    let answer = link.ping().await;
    answer.map_err(|error| failure(redis_fault(&error, keeps_near), &error))?;
    if names_cluster {
        return Ok(());
    }
    // If the Redis user may not run `INFO`, the server is accepted.
    let about_cluster = link.ask(::redis::cmd("INFO").arg("cluster")).await;
    let about_cluster = about_cluster.and_then(|info| Ok(String::from_redis_value(info)?));
    if about_cluster.is_ok_and(|info| info.contains("cluster_enabled:1")) {
        return Err(Failure {
            kind: BackendFault::Cluster,
            reason: format!("Redis at {backend} is a node of a Redis Cluster"),
        });
    }
    Ok(())
}

/// Refuses the number of a database that a Redis Cluster does not have.
fn check_database(backend: &Backend) -> Result<(), Failure> {
    match backend.redis_info().db() {
        0 => Ok(()),
        database => Err(Failure {
            kind: BackendFault::Database,
            reason: format!("Redis at {backend}: there is no database {database}"),
        }),
    }
}

/// What the error of a Redis server means, for a component that wants values kept near or not.
fn redis_fault(error: &RedisError, keeps_near: bool) -> BackendFault {
    match error {
        error if redis::is_unknown(error) => BackendFault::NotWatched,
        error if redis::is_refused_by_sentinels(error) => BackendFault::RefusedBySentinels,
        error if redis::lacks_tls_to_sentinels(error) => BackendFault::Tls("redis"),
        error if redis::is_no_cluster(error) => BackendFault::NoCluster,
        error if tls_error(error).is_some_and(is_about_time) => BackendFault::Untimely,
        error if tls_error(error).is_some_and(stands) => BackendFault::Tls("redis"),
        error if tls_error(error).is_some() => BackendFault::Handshake("redis"),
        error if keeps_near && forbids_tracking(error) => BackendFault::CanNotKeepNear,
        error if redis::is_refusal(error) => BackendFault::Refused,
        _ => BackendFault::Unreachable,
    }
}

/// Whether a Redis server says that it can't tell which values change: it does not have the protocol or the commands
/// for that, or the user may not run them.
fn forbids_tracking(error: &RedisError) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    match error.code() {
        Some("NOPROTO") => true,
        Some("NOPERM") => text.contains(TRACKING),
        _ => {
            error.kind() == ErrorKind::RESP3NotSupported
                || MISSING.iter().any(|said| text.contains(said))
        }
    }
}

#[cfg(test)]
mod tests {
    use ::redis::Value;
    use rustls::CertificateError;

    use super::*;

    /// A server that is busy may be waited for, whatever the component wants of it.
    #[test]
    fn a_redis_server_that_needs_time_is_no_wrong_one() {
        for (reply, fault) in [
            ("-LOADING Redis is loading", BackendFault::Unreachable),
            ("-BUSY Redis is busy", BackendFault::Unreachable),
            ("-MASTERDOWN Link is down", BackendFault::Unreachable),
            ("-MISCONF Redis is configured", BackendFault::Unreachable),
            (
                "-ERR max number of clients reached",
                BackendFault::Unreachable,
            ),
            ("-ERR Proxy error", BackendFault::Unreachable),
            ("-NOPERM this user has", BackendFault::Refused),
            (
                "-NOPERM User app has no permissions to run the 'client|tracking' command",
                BackendFault::CanNotKeepNear,
            ),
            ("-NOPROTO unsupported", BackendFault::CanNotKeepNear),
            (
                "-ERR Unknown subcommand or wrong number of arguments",
                BackendFault::CanNotKeepNear,
            ),
            ("-ERR unknown command", BackendFault::CanNotKeepNear),
        ] {
            let reply = ::redis::parse_redis_value(format!("{reply}\r\n").as_bytes());
            let reply = reply.and_then(Value::extract_error);
            let error = reply.expect_err("it is an error");
            assert_eq!(redis_fault(&error, true), fault, "{error}");
        }
    }

    /// A server that starts, is full or has no database yet is waited for. A refused password or an untrusted
    /// certificate stays what it is.
    #[test]
    fn only_what_may_pass_is_waited_for() {
        let server = |code: u16| {
            mysql_async::Error::Server(mysql_async::ServerError {
                code,
                message: String::new(),
                state: String::new(),
            })
        };
        for (code, may_pass) in [
            (1040, true),
            (1044, false),
            (1045, false),
            (1049, true),
            (1053, true),
            (1698, false),
            (3159, false),
        ] {
            assert_eq!(mysql_fault(&server(code)).may_pass(), may_pass, "{code}");
        }
        let silent = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(mysql_fault(&silent.into()).may_pass());
        for (tls, may_pass) in [
            (rustls::Error::from(CertificateError::Expired), true),
            (rustls::Error::from(CertificateError::NotValidYet), true),
            (rustls::Error::from(CertificateError::UnknownIssuer), false),
            (rustls::Error::DecryptError, true),
        ] {
            let error = mysql_async::Error::from(std::io::Error::other(tls.clone()));
            assert_eq!(mysql_fault(&error).may_pass(), may_pass, "{tls}");
            let error = RedisError::from(std::io::Error::other(tls.clone()));
            assert_eq!(redis_fault(&error, true).may_pass(), may_pass, "{tls}");
        }
    }

    #[test]
    fn a_cluster_has_no_database_with_a_number() {
        let checked = |url: &str| {
            let backend = Backend::parse(url, Kind::Redis).expect("a good address");
            check_database(&backend).err()
        };
        for right in ["redis://store-cache", "redis://store-cache:6379/0"] {
            assert!(checked(right).is_none(), "{right}");
        }
        let Failure { kind, reason } = checked("redis://store-cache/1").expect("it has one");
        assert_eq!(kind, BackendFault::Database);
        assert!(reason.contains("no database 1"), "{reason}");
        assert!(kind.advice().contains("leave the number out"));
    }
}
