//! Serves one request in a component.

use spin_sdk::wasip3::http::types::{ErrorCode, Request as WasiRequest, Response};

use crate::{Problem, Reply, Request};

/// Answers one request by `route`, and turns a problem into its response.
///
/// # Errors
/// If the host refuses the response. The host then answers with a 5xx of its own.
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
