//! `store-native`: the store's busiest routes as a plain native program.
//!
//! It exists only to be measured against: what `store-host` and the components cost more than this is the price of
//! WebAssembly. Domain, SQL, Redis keys and scripts are the components' own, and MySQL and Redis are reached with the
//! host's settings. It has none of what makes a service fit to run: no limits, no metrics, no deadlines, no
//! `Idempotency-Key`, no refresh (a host beside it does that), and errors in plain JSON.

mod answer;
mod groups;
/// The host's own: what is compared is where the logic runs.
#[path = "../../../host/src/redis/near.rs"]
mod near;
mod orders;
mod pools;
mod reports;
mod statements;
mod stocks;

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::pools::Pools;

/// The host's, with its usual settings: there is nothing here to give back.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A native twin of the store's busiest routes, to be measured against
#[derive(Debug, Parser)]
struct Cli {
    /// Where to serve; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The store's MySQL
    #[arg(long, value_name = "URL", env = "STORE_NATIVE_MYSQL_URL")]
    mysql_url: String,
    /// The store's Redis
    #[arg(long, value_name = "URL", env = "STORE_NATIVE_REDIS_URL")]
    redis_url: String,
    /// Commit orders together that wait at the same time
    #[arg(long)]
    grouped: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let pools = Pools::new(&cli.mysql_url, &cli.redis_url, cli.grouped)?;
    // Before anyone knows where we are: from here on, SIGTERM ends us as it should.
    let mut sigterm = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let terminated = async move { _ = sigterm.recv().await };
    let listener = TcpListener::bind(cli.listen)
        .await
        .with_context(|| format!("listening on {}", cli.listen))?;
    let address = listener.local_addr().context("asking for our address")?;
    writeln!(std::io::stdout(), "listening on http://{address}").context("saying where we are")?;
    // A connection that can't have it works all the same.
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
    axum::serve(listener, routes().with_state(pools))
        .with_graceful_shutdown(terminated)
        .await
        .context("serving")
}

fn routes() -> Router<Pools> {
    Router::new()
        .route("/health-check", get(answer::health))
        .route("/orders", post(orders::place))
        .route("/orders/{id}", get(orders::read))
        .route(
            "/orders/reports/highest-spenders",
            get(reports::highest_spenders),
        )
        .route("/orders/reports/best-sellers", get(reports::best_sellers))
        .route("/stocks/{product_id}", get(stocks::read))
}
