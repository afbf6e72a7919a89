//! One request's way through the host.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError};

use crate::app::App;
use crate::body::{self, Excess, LimitedBody, discard};
use crate::component::LoadedComponent;
use crate::instance::Admitted;
use crate::observed::Observed;
use crate::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id taken over from a client or a proxy.
const REQUEST_ID_LENGTH: usize = 128;

/// Answers one request: finds its component, keeps to the limits, counts.
pub(crate) async fn respond(
    app: &App,
    request: Request<Incoming>,
    send_timeout: Duration,
) -> Response<WasiBody> {
    let request_id = request_id(&request);
    let mut response = match app.router.find(request.uri().path()) {
        Some(route) => {
            let component = &app.components[&route.component];
            let method = method_label(request.method());
            let observed = Observed::new(component, route.pattern.clone(), method);
            match dispatch(component, request, request_id.clone()).await {
                Ok((response, permit)) => {
                    let response = response.map(|body| body::unstalled(body, send_timeout));
                    observed.follow(response, Some(permit))
                }
                Err(problem) => observed.follow(problem.response(&request_id), None),
            }
        }
        None => Problem::NoRoute.response(&request_id),
    };
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Takes over the id that a proxy gave, if it can stand in a log line, or makes one.
fn request_id(request: &Request<Incoming>) -> Arc<str> {
    let given = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match given {
        Some(id)
            if !id.is_empty()
                && id.len() <= REQUEST_ID_LENGTH
                && id.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            id.into()
        }
        _ => Uuid::new_v4().hyphenated().to_string().into(),
    }
}

/// Anyone can invent methods, so only the usual ones become labels.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Hands the request to an instance.
async fn dispatch(
    component: &LoadedComponent,
    request: Request<Incoming>,
    request_id: Arc<str>,
) -> Result<(Response<WasiBody>, Arc<OwnedSemaphorePermit>), Problem> {
    let limits = &component.context.limits;
    let permit = component
        .in_flight
        .clone()
        .try_acquire_owned()
        .map(Arc::new)
        .map_err(|_| Problem::Overloaded)?;
    let too_large = Problem::BodyTooLarge {
        limit_bytes: limits.body_limit_bytes,
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.body_limit_bytes) {
        discard(request.into_body()).await;
        return Err(too_large);
    }
    let excess = Excess::default();
    let request = guest_request(
        request,
        &request_id,
        limits.body_limit_bytes,
        excess.clone(),
    );
    let admitted = Admitted {
        id: request_id.clone(),
        permit: permit.clone(),
    };
    let handled = tokio::time::timeout(
        limits.request_timeout,
        component.handler.handle(admitted, request),
    )
    .await;
    if let Some(body) = excess.take() {
        discard(body).await;
        return Err(too_large);
    }
    match handled {
        Ok(Ok(response)) => Ok((response, permit)),
        Ok(Err(error)) => Err(blame(component, &request_id, &error)),
        Err(_) => Err(Problem::TimedOut),
    }
}

fn guest_request(
    request: Request<Incoming>,
    request_id: &str,
    limit_bytes: u64,
    excess: Excess,
) -> Request<WasiBody> {
    let (mut head, body) = request.into_parts();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        head.headers.insert(REQUEST_ID, value);
    }
    let body = LimitedBody::new(body, limit_bytes, excess);
    Request::from_parts(head, body.boxed_unsync())
}

/// What a failed call means to the client. The cause is logged here, once.
fn blame(component: &LoadedComponent, request_id: &str, error: &wasmtime::Error) -> Problem {
    let id = &component.context.id;
    let (problem, cause) = if error.is::<ExpirationError>() {
        (Problem::TimedOut, None)
    } else if let Some(error) = error.downcast_ref::<InstantiationError<Admitted>>() {
        (
            Problem::Overloaded,
            Some(error.error.root_cause().to_string()),
        )
    } else {
        (
            Problem::ComponentFailed,
            Some(error.root_cause().to_string()),
        )
    };
    let cause = cause.unwrap_or_else(|| "the time limit of the request was reached".into());
    tracing::error!(
        component = id,
        request = request_id,
        "`{id}` gave no answer: {cause}"
    );
    problem
}
