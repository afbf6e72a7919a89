//! A look at the databases and caches before the first request: a wrong password should stop the start, not each
//! request.

use std::fmt;
use std::sync::Arc;

use ::redis::{ErrorKind, FromRedisValue, RedisError};

use super::plan::Plan;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::outbound::{Backend, Kind};
use crate::{migrate, mysql, redis};

/// The generation that the connections of this check are opened for. None that serves has this number.
const PREFLIGHT: u64 = 0;

/// What Redis says to a wrong password, to none, and to a user that may not do what is asked.
const REFUSALS: [&str; 3] = ["WRONGPASS", "NOAUTH", "NOPERM"];

/// Connects to each backend once.
///
/// # Errors
/// See [`Unfit`]. An unreachable backend is only a warning when the config allows it; a refused password never is.
pub(crate) async fn check(
    plan: &Plan,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<(), Unfit> {
    for (url, component) in &plan.backends() {
        let Some(kind) = Kind::of(url) else { continue };
        // Checked when the plan was made.
        let backend = Backend::parse(url, kind).map_err(Unfit::Backend)?;
        let checked = match kind {
            Kind::Mysql => {
                let needs_migrations = plan.needs_migrations(url);
                mysql(&backend, component, needs_migrations, config, metrics).await
            }
            Kind::Redis => redis(&backend, plan.keeps_near(url), config).await,
        };
        match checked {
            Ok(()) => {}
            Err(Failure {
                kind: Trouble::Unreachable,
                reason,
            }) if config.allow_unreachable => {
                tracing::warn!(component, "{reason}; serving without it until it is back");
            }
            Err(Failure { kind, reason }) => {
                let said = format!("`component.{component}.variables`: {reason}");
                return Err(match kind.advice() {
                    None => Unfit::Schema(said),
                    Some(advice) => Unfit::Backend(format!("{said}; {advice}")),
                });
            }
        }
    }
    Ok(())
}

/// Why the app can't do its work with its databases and caches, in one line that says which one, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// It can't be reached or used.
    #[error("{0}")]
    Backend(String),
    /// Its tables are those of another version of this program.
    #[error("{0}")]
    Schema(String),
}

struct Failure {
    kind: Trouble,
    reason: String,
}

#[derive(Clone, Copy)]
enum Trouble {
    /// The only one for which waiting may help.
    Unreachable,
    Refused,
    /// It does not tell of changes.
    CanNotKeepNear,
    /// It has a part of the keys only, and sends whoever asks for another elsewhere.
    Cluster,
    /// It has other tables than this program is made for. The reason says what to do.
    OtherSchema,
}

impl Trouble {
    fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable => {
                "start it, check its address, or serve without it with --allow-unreachable"
            }
            Self::Refused => "check the user, password and database",
            Self::Cluster => {
                "this host speaks to one server that has all keys: use one without `cluster-enabled`"
            }
            Self::CanNotKeepNear => {
                "`redis_near_cache` needs Redis 6 or newer: give it one, or take the key out of the manifest"
            }
            Self::OtherSchema => return None,
        })
    }
}

async fn mysql(
    backend: &Backend,
    component: &str,
    needs_migrations: bool,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<(), Failure> {
    let pool = mysql::Pool::new(
        backend,
        config.mysql.clone(),
        config.limits.memory_limit_bytes(),
        metrics.mysql_pool(component),
    );
    if let Err(error) = pool.checkout(PREFLIGHT, None).await {
        return Err(Failure {
            kind: match error.is_final() {
                true => Trouble::Refused,
                false => Trouble::Unreachable,
            },
            reason: error.to_string(),
        });
    }
    if needs_migrations && !config.allow_other_schema {
        schema(backend).await?;
    }
    Ok(())
}

/// Looks whether the database has the tables that components of this version know.
async fn schema(backend: &Backend) -> Result<(), Failure> {
    let failure = |kind, reason: &dyn fmt::Display| Failure {
        kind,
        reason: format!("MySQL at {backend}: {reason}"),
    };
    let last_applied = migrate::last_applied(backend.mysql_opts()).await;
    let last_applied = last_applied.map_err(|error| failure(Trouble::Unreachable, &error))?;
    migrate::check(last_applied).map_err(|other| failure(Trouble::OtherSchema, &other))
}

async fn redis(backend: &Backend, keeps_near: bool, config: &Config) -> Result<(), Failure> {
    let failure = |kind, error: RedisError| Failure {
        kind,
        reason: format!("Redis at {backend}: {error}"),
    };
    let near = keeps_near.then(Arc::default);
    let settings = redis::LinkSettings::new(&config.redis, config.limits.memory_limit_bytes());
    let link = redis::Link::new(backend, settings, near)
        .map_err(|error| failure(Trouble::Refused, error))?;
    let answer = link.run(&::redis::cmd("PING"), None).await;
    answer.map_err(|error| {
        let kind = match error.kind() {
            ErrorKind::AuthenticationFailed => Trouble::Refused,
            _ if error.code().is_some_and(|code| REFUSALS.contains(&code)) => Trouble::Refused,
            _ if keeps_near && !redis::is_outage(&error) => Trouble::CanNotKeepNear,
            _ => Trouble::Unreachable,
        };
        failure(kind, error)
    })?;
    // A user that may not ask this is no reason to refuse the server.
    let about_cluster = link.run(::redis::cmd("INFO").arg("cluster"), None).await;
    let about_cluster = about_cluster.and_then(|info| Ok(String::from_redis_value(info)?));
    if about_cluster.is_ok_and(|info| info.contains("cluster_enabled:1")) {
        return Err(Failure {
            kind: Trouble::Cluster,
            reason: format!("Redis at {backend} is a node of a Redis Cluster"),
        });
    }
    Ok(())
}
