//! One health check, and what it changes.

use std::time::Instant;

use pingora_error::{Error, ErrorType};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck};

use super::standing::Health;
use super::{Group, Upstream};
use crate::config;

/// What an upstream says that answers and can't do its work.
const UNREADY: u16 = 503;

/// Asks an upstream how it is, if the group's settings say so, and takes in what it answers.
pub(crate) async fn check(group: &Group, upstream: &Upstream) {
    let Some(settings) = &group.settings.health else {
        return;
    };
    let outcome = tokio::time::timeout(settings.timeout, ask(group, upstream))
        .await
        .unwrap_or_else(|_| Error::e_explain(ErrorType::ReadTimedout, "no answer in time"));
    let found = match &outcome {
        Ok(()) => Health::Good,
        Err(error) if *error.etype() == ErrorType::HTTPStatus(UNREADY) => Health::Unready,
        Err(_) => Health::Bad,
    };
    if !upstream.standing.checked(found, settings) {
        return;
    }
    let address = &upstream.entry.address;
    let state = match found {
        Health::Good => "up",
        Health::Unready => "not ready",
        Health::Bad => "down",
    };
    match outcome {
        Ok(()) => tracing::info!(
            group = group.name,
            upstream = address,
            "`{address}` is {state}"
        ),
        Err(error) => tracing::warn!(
            group = group.name,
            upstream = address,
            "`{address}` is {state}: {}",
            reason(&error)
        ),
    }
    group.refresh(Instant::now());
}

async fn ask(group: &Group, upstream: &Upstream) -> pingora_error::Result<()> {
    let Some(checker) = &group.checker else {
        return Ok(());
    };
    let target = Backend::new(&upstream.entry.resolved.to_string())?;
    checker.check(&target).await
}

fn reason(error: &Error) -> String {
    format!("{}: {}", error.etype().as_str(), error.reason_str())
}

/// The check of a group's upstreams. Each is a new connection: one that is kept alive can hide that no new ones are
/// accepted.
pub(crate) fn checker(settings: &config::Health) -> pingora_error::Result<HttpHealthCheck> {
    let expected = settings.status;
    let mut check = HttpHealthCheck::new("localhost", false);
    check.peer_template.options.connection_timeout = Some(settings.timeout);
    check.peer_template.options.read_timeout = Some(settings.timeout);
    check.req.set_raw_path(settings.path.as_bytes())?;
    check.req.insert_header("user-agent", "store-proxy")?;
    check.validator = Some(Box::new(move |answer| {
        let status = answer.status.as_u16();
        if status == expected {
            return Ok(());
        }
        let reason = format!("answered {status} instead of {expected}");
        Error::e_explain(ErrorType::HTTPStatus(status), reason)
    }));
    Ok(check)
}
