//! One request's way through the host.

use std::sync::Arc;
use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use wasmtime_wasi_http::WasiBody;

use crate::app::Live;
use crate::attempt::Attempt;
use crate::body::{self, announced_bytes, discard};
use crate::observed::{Held, Observed};
use crate::problem::Problem;
use crate::request_id::RequestId;
use crate::slot::Picked;

/// A store-proxy fetches what nobody has asked for yet, or more than was asked for: no call of a client's.
const CACHE_FILL: HeaderName = HeaderName::from_static("store-cache-fill");

/// What caches of the store's own go by (RFC 9213).
const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Answers one request: finds its component, keeps to the limits, counts.
pub(crate) async fn respond(
    live: &Live,
    request: Request<Incoming>,
    send_timeout: Duration,
) -> Response<WasiBody> {
    let request_id = RequestId::of(request.headers());
    // The app itself is let go at once: holding it would keep generations of other components alive.
    let found = live.load().find(request.uri().path());
    let mut response = match found {
        Some((target, picked)) => {
            let metrics = target.metrics.of(request.method());
            if !request.headers().contains_key(CACHE_FILL) {
                metrics.count_call();
            }
            let is_on_trial = picked.tally.is_some();
            let observed = Observed::new(metrics.clone());
            match dispatch(picked, request, request_id.clone()).await {
                Ok((mut response, held)) => {
                    if is_on_trial {
                        forbid_caching(&mut response);
                    }
                    let response = response.map(|body| body::unstalled(body, send_timeout));
                    observed.follow(response, Some(held))
                }
                Err(problem) => observed.follow(problem.response(request_id.as_str()), None),
            }
        }
        None => Problem::NoRoute.response(request_id.as_str()),
    };
    request_id.put(response.headers_mut());
    response
}

/// Two generations answer for a while. What one of them says to one client is not for others.
fn forbid_caching(response: &mut Response<WasiBody>) {
    let headers = response.headers_mut();
    for name in [CACHE_CONTROL, CDN_CACHE_CONTROL] {
        headers.insert(name, HeaderValue::from_static("no-store"));
    }
}

/// Keeps to the component's limits, and asks the generation that was picked. A request that a canary fails is served by
/// the stable generation, if it can be sent twice.
async fn dispatch(
    picked: Picked,
    request: Request<Incoming>,
    request_id: RequestId,
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
