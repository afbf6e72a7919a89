//! `GET /readyz`, which the host answers itself.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response};
use wasmtime_wasi_http::WasiBody;

use crate::app::Readiness;
use crate::message::Problem;
use crate::message::problem::full;

/// The path of the readiness check. Components get no requests for it.
const PATH: &str = "/readyz";

pub(super) fn is_asked_by<B>(request: &Request<B>) -> bool {
    request.uri().path() == PATH && [Method::GET, Method::HEAD].contains(request.method())
}

/// Answers 200, or the problem [`Problem::NotReady`].
pub(super) async fn answer(readiness: &Readiness) -> Result<Response<WasiBody>, Problem> {
    if !readiness.is_ready().await {
        return Err(Problem::NotReady);
    }
    let mut response = Response::new(full("{\"status\":\"ready\"}"));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
