//! The component that serves orders and users.

mod group;
mod ledger;
mod read;
mod sql;
mod undo;
mod users;
mod write;

use serde::Serialize;
use spin_sdk::http::StatusCode;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request as WasiRequest, Response};
use store_guest::{Problem, Reply, Request, Verb, parse_id, segments};

struct Component;

spin_sdk::wasip3::http::service::export!(Component);

/// Written by hand: the macro `http_service` reads the whole request, needed or not, in a dozen calls to the host.
impl Guest for Component {
    async fn handle(request: WasiRequest) -> Result<Response, ErrorCode> {
        store_guest::serve(request, route).await
    }
}

async fn route(request: &Request) -> Result<Reply, Problem> {
    match (request.verb(), segments(request.path()).as_slice()) {
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

/// If the component answers, it is healthy: an outage of MySQL or Redis is no reason to take it out of service.
fn health() -> Reply {
    #[derive(Serialize)]
    struct Health {
        status: &'static str,
    }
    Reply::json(StatusCode::OK, &Health { status: "ok" })
}
