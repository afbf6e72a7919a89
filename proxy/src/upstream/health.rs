//! One health check, and how its result is used.

use std::sync::LazyLock;
use std::time::Instant;

use http::header::{HOST, USER_AGENT};
use http::uri::{Scheme, Uri};
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_error::{BError, Error, ErrorType, OrErr, Result};
use pingora_http::RequestHeader;

use super::standing::Health;
use super::{Group, Upstream};
use crate::config;

/// The status of an upstream that answers but can't do its work.
const UNREADY: u16 = 503;

/// Opens the connections of all health checks. None is used twice, as an old connection would hide that the upstream
/// accepts no new ones.
static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));

/// Checks an upstream, if the group's settings ask for it, and updates its standing.
pub(crate) async fn check(group: &Group, upstream: &Upstream) {
    let Some(settings) = &group.settings.health else {
        return;
    };
    let outcome = tokio::time::timeout(settings.timeout, ask(upstream, settings))
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
    let address = &upstream.endpoint.address;
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

/// Sends the check in the way of requests: with TLS and HTTP/2 if the group uses them.
async fn ask(upstream: &Upstream, settings: &config::Health) -> Result<()> {
    let mut peer = upstream.peer.clone();
    peer.options.connection_timeout = Some(settings.timeout);
    // Pingora does not pool a connection for a single stream.
    peer.options.max_h2_streams = 1;
    let (mut session, _) = CONNECTOR.get_http_session(&peer).await?;
    session.set_read_timeout(Some(settings.timeout));
    session.set_write_timeout(Some(settings.timeout));
    let question = question(&settings.path, &session, peer.is_tls())?;
    session.write_request_header(Box::new(question)).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let answered = session
        .response_header()
        .map(|answer| answer.status.as_u16());
    if answered != Some(settings.status) {
        let answered = answered.unwrap_or_default();
        let reason = format!("answered {answered} instead of {}", settings.status);
        return Error::e_explain(ErrorType::HTTPStatus(answered), reason);
    }
    while session.read_response_body().await?.is_some() {}
    Ok(())
}

fn question(path: &str, session: &HttpSession, tls: bool) -> Result<RequestHeader> {
    let mut question = RequestHeader::build("GET", path.as_bytes(), None)?;
    question.insert_header(HOST, "localhost")?;
    question.insert_header(USER_AGENT, "store-proxy")?;
    if matches!(session, HttpSession::H2(_)) {
        // Pingora would send `https` even on a connection without TLS.
        let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
        let target = Uri::builder()
            .scheme(scheme)
            .authority("localhost")
            .path_and_query(path)
            .build();
        question.set_uri(target.or_err(ErrorType::InvalidHTTPHeader, "the path of checks")?);
        question.remove_header(&HOST);
    }
    Ok(question)
}

/// The text of the first error in a chain of errors.
fn reason(error: &Error) -> String {
    let cause = error.cause.as_ref();
    if let Some(deeper) = cause.and_then(|cause| cause.downcast_ref::<BError>()) {
        return reason(deeper);
    }
    match (&error.context, cause) {
        (Some(context), Some(cause)) => format!("{context}: {cause}"),
        (Some(context), None) => context.to_string(),
        (None, Some(cause)) => cause.to_string(),
        (None, None) => error.etype().as_str().to_owned(),
    }
}
