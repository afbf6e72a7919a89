//! `store-host healthcheck`: whether the host on this machine is ready, for images that have no other program to ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::ClientError;
use super::http::{Call, Caller};
use crate::config::{AdminUrl, duration};

/// Where it is asked, by the settings that it serves with.
#[derive(Debug, Args)]
pub struct HealthcheckArgs {
    /// Where the host listens for requests
    #[arg(long, env = "STORE_HOST_LISTEN", default_value = "127.0.0.1:5000")]
    pub listen: SocketAddr,

    /// Longest wait for its answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub timeout: Duration,
}

/// Asks for `/readyz`.
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

/// The address on which what listens at `listen` is reached from this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_on_this_machine() {
        for (listen, asked) in [
            ("0.0.0.0:5000", "127.0.0.1:5000"),
            ("[::]:5000", "[::1]:5000"),
            ("10.0.0.1:80", "10.0.0.1:80"),
        ] {
            let listen = listen.parse().expect(listen);
            assert_eq!(reachable(listen).to_string(), asked);
        }
    }
}
