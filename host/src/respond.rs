//! One request's way through the host.

use std::sync::Arc;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use uuid::Uuid;
use wasmtime_wasi_http::WasiBody;

use crate::app::Live;
use crate::attempt::Attempt;
use crate::body::{self, announced_bytes, discard};
use crate::observed::{Held, Observed};
use crate::problem::Problem;
use crate::slot::Picked;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A store-proxy fetches what nobody has asked for yet, or more than was asked for: no call of a client's.
const CACHE_FILL: HeaderName = HeaderName::from_static("store-cache-fill");

/// What caches of the store's own go by (RFC 9213).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Longest request id taken over from a client or a proxy.
const REQUEST_ID_LENGTH: usize = 128;

/// Answers one request: finds its component, keeps to the limits, counts.
pub(crate) async fn respond(
    live: &Live,
    request: Request<Incoming>,
    send_timeout: Duration,
) -> Response<WasiBody> {
    let request_id = request_id(&request);
    // The app itself is let go at once: holding it would keep generations of other components alive.
    let found = live.load().find(request.uri().path());
    let mut response = match found {
        Some((route, picked)) => {
            let context = picked.generation.context.clone();
            let method = method_label(request.method());
            if !request.headers().contains_key(CACHE_FILL) {
                context.metrics.count_call(method, &route.pattern);
            }
            let is_on_trial = picked.tally.is_some();
            let observed = Observed::new(&context, route, method);
            match dispatch(picked, request, request_id.clone()).await {
                Ok((mut response, held)) => {
                    if is_on_trial {
                        forbid_caching(&mut response);
                    }
                    let response = response.map(|body| body::unstalled(body, send_timeout));
                    observed.follow(response, Some(held))
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

/// Two generations answer for a while. What one of them says to one client is not for others.
fn forbid_caching(response: &mut Response<WasiBody>) {
    let headers = response.headers_mut();
    for name in [CACHE_CONTROL, CDN_CACHE_CONTROL] {
        headers.insert(name, HeaderValue::from_static("no-store"));
    }
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
        _ => (*Uuid::new_v4()
            .hyphenated()
            .encode_lower(&mut Uuid::encode_buffer()))
        .into(),
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

/// Keeps to the component's limits, and asks the generation that was picked. A request that a canary fails is served by
/// the stable generation, if it can be sent twice.
async fn dispatch(
    picked: Picked,
    request: Request<Incoming>,
    request_id: Arc<str>,
) -> Result<(Response<WasiBody>, Held), Problem> {
    let context = &picked.generation.context;
    let limits = &context.limits;
    let permit = context
        .in_flight
        .clone()
        .try_acquire_owned()
        .map(Arc::new)
        .map_err(|_| Problem::Overloaded)?;
    let announced = announced_bytes(request.headers());
    if announced.is_some_and(|length| length > limits.body_limit_bytes) {
        discard(request.into_body()).await;
        return Err(Problem::BodyTooLarge {
            limit_bytes: limits.body_limit_bytes,
        });
    }
    let Picked {
        generation,
        tally,
        fallback,
    } = picked;
    let attempt = Attempt {
        generation,
        tally,
        permit,
        request_id,
    };
    match fallback {
        Some((stable, tally)) => attempt.or_stable(request, stable, tally).await,
        None => attempt.make(request).await,
    }
}
