//! One request's way through a component.

use spin_sdk::wasip3::http::types::{ErrorCode, Request as WasiRequest, Response};

use crate::{Problem, Reply, Request};

/// Answers one request by `route`, and turns a problem into the response that the contract asks for.
///
/// # Errors
/// If the host refuses the response, which then becomes a 5xx of the host's own.
pub async fn serve(
    request: WasiRequest,
    route: impl AsyncFnOnce(&Request) -> Result<Reply, Problem>,
) -> Result<Response, ErrorCode> {
    let request = Request::new(request)?;
    let reply = route(&request)
        .await
        .unwrap_or_else(|problem| problem.into_reply(request.instance()));
    if request.is_head() {
        reply.into_head_response()
    } else {
        reply.into_response()
    }
}
