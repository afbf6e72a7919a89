//! A look at the databases and caches before the first request: a wrong password should stop the start, not each
//! request.

use std::sync::Arc;

use mysql_async::Opts;
use url::Url;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::{mysql, redis};

/// Connects to each backend once.
///
/// # Errors
/// One line that says which backend, why, and what to do. An unreachable one is only a warning when the config allows
/// it; a refused password never is.
pub(crate) async fn check<'a>(
    backends: impl Iterator<Item = (&'a String, &'a String)>,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<(), String> {
    for (url, component) in backends {
        let checked = if url.starts_with("mysql://") {
            mysql(url, component, config, metrics).await
        } else {
            redis(url, config).await
        };
        match checked {
            Ok(()) => {}
            Err(Failure {
                is_final: false,
                reason,
            }) if config.allow_unreachable => {
                tracing::warn!(component, "{reason}; serving without it until it is back");
            }
            Err(Failure { is_final, reason }) => {
                let advice = if is_final {
                    "check the user, password and database"
                } else {
                    "start it, check its address, or serve without it with --allow-unreachable"
                };
                return Err(format!(
                    "`component.{component}.variables`: {reason}; {advice}"
                ));
            }
        }
    }
    Ok(())
}

struct Failure {
    /// Waiting does not help.
    is_final: bool,
    reason: String,
}

async fn mysql(
    url: &str,
    component: &str,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<(), Failure> {
    let opts = Opts::from_url(url).map_err(|_| Failure {
        is_final: true,
        reason: format!("{} is not a MySQL URL", without_password(url)),
    })?;
    let pool = mysql::Pool::new(opts, config.mysql.clone(), metrics.mysql_pool(component));
    match pool.checkout().await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure {
            is_final: error.is_final(),
            reason: error.to_string(),
        }),
    }
}

async fn redis(url: &str, config: &Config) -> Result<(), Failure> {
    let address = without_password(url);
    let failure = |is_final, error: ::redis::RedisError| Failure {
        is_final,
        reason: format!("Redis at {address}: {error}"),
    };
    let mut connection =
        redis::manager(url, &config.redis, None).map_err(|error| failure(true, error))?;
    ::redis::cmd("PING")
        .query_async::<()>(&mut connection)
        .await
        .map_err(|error| {
            failure(
                error.kind() == ::redis::ErrorKind::AuthenticationFailed,
                error,
            )
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
