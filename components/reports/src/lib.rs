//! The component that serves the two sales reports and keeps them in Redis.
//!
//! Readers use HTTP. The host's refresh task uses `store:reports/refresh`, our own interface. Plain Spin never calls
//! that interface; there, readers do the refresh's work.

mod cached;
mod keys;
mod lease;
mod mysql;
mod redis;
mod refresh;
mod sql;

use spin_sdk::http::StatusCode;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request as WasiRequest, Response};
use store_domain::freshness::Freshness;
use store_domain::reports::Report;
use store_domain::settings::ReportSource;
use store_guest::{Problem, Reply, Request, Verb, segments, variables};

struct Component;

spin_sdk::wasip3::http::service::export!(Component);

/// Written by hand: the macro `http_service` reads the whole request, needed or not, in a dozen calls to the host.
impl Guest for Component {
    async fn handle(request: WasiRequest) -> Result<Response, ErrorCode> {
        store_guest::serve(request, route).await
    }
}

async fn route(request: &Request) -> Result<Reply, Problem> {
    let report = match segments(request.path()).as_slice() {
        ["orders", "reports", "highest-spenders"] => Report::HighestSpenders,
        ["orders", "reports", "best-sellers"] => Report::BestSellers,
        _ => return Err(Problem::no_route()),
    };
    if request.verb() != Verb::Get {
        return Err(Problem::MethodNotAllowed { allow: "GET, HEAD" });
    }
    let (body, freshness) = match variables::setting().await? {
        ReportSource::Cached => cached::read(report).await?,
        ReportSource::Redis => (redis::read(report).await?.into_bytes(), Freshness::NONE),
        ReportSource::Mysql => (mysql::add_up(report).await?.into_bytes(), Freshness::NONE),
    };
    Ok(Reply::finished_json(StatusCode::OK, body)
        .with_freshness(freshness)
        .unless_known(request))
}

#[expect(unsafe_code, reason = "generated from wit/world.wit")]
mod bindings {
    use spin_sdk::wit_bindgen;

    wit_bindgen::generate!({
        world: "refresher",
        path: "../../wit",
        runtime_path: "spin_sdk::wit_bindgen::rt",
        generate_all,
    });

    struct Component;

    impl exports::store::reports::refresh::Guest for Component {
        async fn refresh() -> Result<exports::store::reports::refresh::Outcome, String> {
            crate::refresh::run()
                .await
                .map_err(|error| error.to_string())
        }

        async fn refresh_now() -> Result<exports::store::reports::refresh::Outcome, String> {
            crate::refresh::run_now()
                .await
                .map_err(|error| error.to_string())
        }
    }

    export!(Component);
}
