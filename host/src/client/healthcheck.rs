//! `store-host healthcheck` says whether the host on this machine is ready. It is for container images that have no
//! other HTTP client.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use store_server::listener::reachable;

use super::ClientError;
use super::http::{Call, Caller};
use crate::config::{AdminUrl, duration};

/// The address of the host to check, given by the settings that it serves with.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Where the host listens for requests
    #[arg(long, env = "STORE_HOST_LISTEN", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,

    /// Longest wait for its answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub timeout: Duration,
}

/// Sends `GET /readyz` to the host.
///
/// # Errors
/// There is no answer, or the host is not ready.
pub async fn healthcheck(args: &HealthcheckArgs) -> Result<(), ClientError> {
    let caller = Caller {
        token: None,
        timeout: args.timeout,
    };
    let host = AdminUrl::Tcp(reachable(args.listen).to_string());
    let ready = caller.call::<Value>(&host, Call::get("/readyz")).await;
    ready.map(drop)
}
