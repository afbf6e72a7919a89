//! The component that serves products and stock levels.

mod graphql;
mod overview;
mod read;
mod sql;
mod write;

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
        (Verb::Post, ["products"]) => write::create_product(request).await,
        (_, ["products"]) => Err(Problem::MethodNotAllowed { allow: "POST" }),

        (Verb::Get, ["products", id]) => read::product(parse_id(id)?).await,
        (Verb::Delete, ["products", id]) => write::delete_product(parse_id(id)?).await,
        (_, ["products", _]) => Err(Problem::MethodNotAllowed {
            allow: "GET, HEAD, DELETE",
        }),

        (Verb::Post, ["stocks"]) => write::set_stock(request).await,
        (_, ["stocks"]) => Err(Problem::MethodNotAllowed { allow: "POST" }),

        (Verb::Post, ["stocks", "graphql-query"]) => graphql::answer(request).await,
        (_, ["stocks", "graphql-query"]) => Err(Problem::MethodNotAllowed { allow: "POST" }),

        (Verb::Get, ["stocks", "reports", "overview-stocks"]) => overview::stocks().await,
        (_, ["stocks", "reports", "overview-stocks"]) => {
            Err(Problem::MethodNotAllowed { allow: "GET, HEAD" })
        }

        (Verb::Get, ["stocks", id]) => read::stock(parse_id(id)?).await,
        (_, ["stocks", _]) => Err(Problem::MethodNotAllowed { allow: "GET, HEAD" }),

        _ => Err(Problem::no_route()),
    }
}
