//! The proxy's own answers, in pingora's phases.

use http::Method;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use pingora_error::{BError, Error, ErrorSource, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;
use store_server::problem::MEDIA_TYPE;

use super::exchange::Exchange;
use crate::message::problem::Problem;
use crate::message::request_id::REQUEST_ID;
use crate::upstream::PermitError;

impl From<PermitError> for Problem {
    fn from(error: PermitError) -> Self {
        match error {
            PermitError::NoUpstream { retry_after } => Self::NoUpstream { retry_after },
            PermitError::Overloaded => Self::Overloaded,
        }
    }
}

/// Ends the phase with a problem. `fail_to_proxy` sends it as the answer.
pub(crate) fn fail(exchange: &mut Exchange, problem: Problem) -> BError {
    let error = Error::new_in(ErrorType::HTTPStatus(problem.status().as_u16()));
    exchange.ending.problem = Some(problem);
    error
}

/// The problem that stands for an error of pingora; `None` if there is no client left to answer.
pub(crate) fn problem_of(error: &Error) -> Option<Problem> {
    if let Some(reason) = broken_rule(error) {
        return Some(Problem::Malformed(reason));
    }
    match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Some(Problem::TooSlow),
        (
            ErrorSource::Downstream,
            ErrorType::WriteError
            | ErrorType::WriteTimedout
            | ErrorType::ReadError
            | ErrorType::ConnectionClosed,
        ) => None,
        (ErrorSource::Downstream, _) => Some(Problem::Malformed("the request is malformed")),
        (ErrorSource::Upstream, _) => Some(Problem::UpstreamBroke),
        (ErrorSource::Internal | ErrorSource::Unset, _) => Some(Problem::Internal),
    }
}

/// What `Wire` found wrong with a chunked body while pingora read it.
fn broken_rule(error: &Error) -> Option<&'static str> {
    if *error.esource() != ErrorSource::Downstream {
        return None;
    }
    let cause = error.root_cause().downcast_ref::<std::io::Error>()?;
    (cause.kind() == std::io::ErrorKind::InvalidData).then_some("the chunked body is malformed")
}

/// Sends the proxy's own answer. The connection is closed after it, as the rest of the request may still be on its way.
pub(crate) async fn answer(
    session: &mut Session,
    exchange: &mut Exchange,
    problem: Problem,
) -> Result<()> {
    exchange.ending.refused = problem.reason();
    let body = problem.body(exchange.id());
    let mut response = ResponseHeader::build(problem.status(), Some(6))?;
    response.insert_header(CONTENT_TYPE, MEDIA_TYPE)?;
    response.insert_header(CONTENT_LENGTH, body.len())?;
    response.insert_header(CACHE_CONTROL, "no-store")?;
    response.insert_header(X_CONTENT_TYPE_OPTIONS, "nosniff")?;
    response.insert_header(REQUEST_ID, exchange.origin.request_id.clone())?;
    if let Some((name, value)) = exchange.spans.line.take() {
        response.append_header(name, value)?;
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        response.insert_header(RETRY_AFTER, seconds)?;
    }
    session.set_keepalive(None);
    let head_only = session.req_header().method == Method::HEAD;
    session
        .write_response_header(Box::new(response), head_only)
        .await?;
    if !head_only {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}
