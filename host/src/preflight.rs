//! A look at the databases and caches before the first request: a wrong password should stop the start, not each
//! request.

use std::sync::Arc;

use ::redis::{ErrorKind, RedisError};
use mysql_async::Opts;
use url::Url;

use crate::app::Plan;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::{mysql, redis};

/// Connects to each backend once.
///
/// # Errors
/// One line that says which backend, why, and what to do. An unreachable one is only a warning when the config allows
/// it; a refused password never is.
pub(crate) async fn check(
    plan: &Plan,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<(), String> {
    for (url, component) in &plan.backends() {
        let checked = if url.starts_with("mysql://") {
            mysql(url, component, config, metrics).await
        } else {
            redis(url, plan.keeps_near(url), config).await
        };
        match checked {
            Ok(()) => {}
            Err(Failure {
                kind: Kind::Unreachable,
                reason,
            }) if config.allow_unreachable => {
                tracing::warn!(component, "{reason}; serving without it until it is back");
            }
            Err(Failure { kind, reason }) => {
                return Err(format!(
                    "`component.{component}.variables`: {reason}; {}",
                    kind.advice()
                ));
            }
        }
    }
    Ok(())
}

struct Failure {
    kind: Kind,
    reason: String,
}

#[derive(Clone, Copy)]
enum Kind {
    /// The only one for which waiting may help.
    Unreachable,
    Refused,
    /// It does not tell of changes.
    CanNotKeepNear,
}

impl Kind {
    fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "start it, check its address, or serve without it with --allow-unreachable"
            }
            Self::Refused => "check the user, password and database",
            Self::CanNotKeepNear => {
                "`redis_near_cache` needs Redis 6 or newer: give it one, or take the key out of the manifest"
            }
        }
    }
}

async fn mysql(
    url: &str,
    component: &str,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<(), Failure> {
    let opts = Opts::from_url(url).map_err(|_| Failure {
        kind: Kind::Refused,
        reason: format!("{} is not a MySQL URL", without_password(url)),
    })?;
    let pool = mysql::Pool::new(opts, config.mysql.clone(), metrics.mysql_pool(component));
    match pool.checkout().await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure {
            kind: match error.is_final() {
                true => Kind::Refused,
                false => Kind::Unreachable,
            },
            reason: error.to_string(),
        }),
    }
}

async fn redis(url: &str, keeps_near: bool, config: &Config) -> Result<(), Failure> {
    let address = without_password(url);
    let failure = |kind, error: RedisError| Failure {
        kind,
        reason: format!("Redis at {address}: {error}"),
    };
    let near = keeps_near.then(Arc::default);
    let mut connection =
        redis::manager(url, &config.redis, near).map_err(|error| failure(Kind::Refused, error))?;
    let ping = ::redis::cmd("PING");
    let answer = ping.query_async::<()>(&mut connection).await;
    answer.map_err(|error| {
        let kind = match error.kind() {
            ErrorKind::AuthenticationFailed => Kind::Refused,
            _ if keeps_near && !redis::is_outage(&error) => Kind::CanNotKeepNear,
            _ => Kind::Unreachable,
        };
        failure(kind, error)
    })
}

fn without_password(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => {
            let host = url.host_str().unwrap_or_default();
            url.port()
                .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        }
        Err(_) => "an address that is not a URL".into(),
    }
}
