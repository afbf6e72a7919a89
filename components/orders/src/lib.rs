//! The component that serves orders and users.

mod idempotency;
mod ledger;
mod read;
mod sql;
mod users;
mod write;

use serde::Serialize;
use spin_sdk::http::{IntoResponse, Request as SpinRequest, StatusCode};
use spin_sdk::http_service;
use store_guest::{Problem, Reply, Request, Verb, parse_id, segments};

#[http_service]
async fn handle(request: SpinRequest) -> impl IntoResponse {
    store_guest::serve(request, route).await
}

async fn route(request: Request) -> Result<Reply, Problem> {
    let path = request.path().to_owned();
    match (request.verb(), segments(&path).as_slice()) {
        (Verb::Get, ["health-check"]) => Ok(health()),
        (_, ["health-check"]) => Err(Problem::MethodNotAllowed { allow: "GET, HEAD" }),

        (Verb::Post, ["orders"]) => write::place(request).await,
        (_, ["orders"]) => Err(Problem::MethodNotAllowed { allow: "POST" }),

        (Verb::Get, ["orders", id]) => read::order(parse_id(id)?).await,
        (Verb::Delete, ["orders", id]) => write::delete(parse_id(id)?).await,
        (_, ["orders", _]) => Err(Problem::MethodNotAllowed {
            allow: "GET, HEAD, DELETE",
        }),

        (Verb::Post, ["users"]) => users::create(request).await,
        (_, ["users"]) => Err(Problem::MethodNotAllowed { allow: "POST" }),

        (Verb::Get, ["users", id]) => users::get(parse_id(id)?).await,
        (Verb::Delete, ["users", id]) => users::delete(parse_id(id)?).await,
        (_, ["users", _]) => Err(Problem::MethodNotAllowed {
            allow: "GET, HEAD, DELETE",
        }),

        _ => Err(Problem::no_route()),
    }
}

/// The component answers, so it is healthy: an outage of MySQL or Redis is no reason to take it out of service.
fn health() -> Reply {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
    }
    Reply::json(StatusCode::OK, &Health { status: "ok" })
}
