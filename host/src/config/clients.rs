//! Settings: how much each client may use of the host.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, value_parser};
use ipnet::IpNet;

use super::duration;

/// The default: half of the requests that a component may have in flight by default.
const REQUESTS_PER_CLIENT: u32 = 512;

/// The default: an eighth of all connections.
const CONNECTIONS_PER_CLIENT: u32 = 1024;

/// The default: 64 bodies of the largest size that a component takes by default.
const BODY_MIB_PER_CLIENT: u32 = 64;

/// The default: the shares of four clients.
const BODY_MIB: u32 = 256;

/// What one client address may have of the host, so that it leaves the others theirs. Addresses of IPv6 count by their
/// first 64 bits.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits of each client")]
pub struct ClientSettings {
    /// Connections of one client address; one more is answered 429 and closed. Those of trusted proxies are not counted
    #[arg(
        long,
        default_value_t = CONNECTIONS_PER_CLIENT,
        value_parser = value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_connections_per_client: u32,

    /// Requests that one client address may have in flight, whatever the component; one more is answered 429
    #[arg(
        long,
        default_value_t = REQUESTS_PER_CLIENT,
        value_parser = value_parser!(u32).range(1..=1_000_000)
    )]
    pub max_requests_per_client: u32,

    /// Most bytes of bodies of one client address, in MiB, that have arrived and wait for a component; beyond that 429
    #[arg(
        long,
        default_value_t = BODY_MIB_PER_CLIENT,
        value_parser = value_parser!(u32).range(1..=65_536)
    )]
    pub max_body_mib_per_client: u32,

    /// Most bytes of bodies of all clients together, in MiB, that wait for a component; beyond that 503
    #[arg(long, default_value_t = BODY_MIB, value_parser = value_parser!(u32).range(1..=65_536))]
    pub max_body_mib: u32,

    /// How long a client may take to send a request's body; then 408
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub receive_timeout: Duration,

    /// Proxies that are believed when their `X-Forwarded-For` or `Forwarded` names a request's client: addresses and
    /// networks, divided by commas, or `none`
    #[arg(long, value_name = "NETWORKS", default_value = "127.0.0.1,::1")]
    pub trusted_proxies: Networks,
}

impl ClientSettings {
    /// [`ClientSettings::max_body_mib_per_client`] in bytes.
    pub fn body_bytes_per_client(&self) -> u64 {
        u64::from(self.max_body_mib_per_client) << 20
    }

    /// [`ClientSettings::max_body_mib`] in bytes.
    pub fn body_bytes(&self) -> u64 {
        u64::from(self.max_body_mib) << 20
    }
}

#[cfg(test)]
impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            max_connections_per_client: CONNECTIONS_PER_CLIENT,
            max_requests_per_client: REQUESTS_PER_CLIENT,
            max_body_mib_per_client: BODY_MIB_PER_CLIENT,
            max_body_mib: BODY_MIB,
            receive_timeout: Duration::from_secs(30),
            trusted_proxies: Networks(Vec::new()),
        }
    }
}

/// IP addresses and networks, such as `10.0.0.0/8,127.0.0.1`; may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether `address` is one of them, or in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        text.split(',')
            .map(|network| {
                let network = network.trim();
                let address = || network.parse().map(|address: IpAddr| address.into());
                network.parse().or_else(|_| address()).map_err(|_| {
                    format!("`{network}` is neither an address nor a network like 10.0.0.0/8")
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read() {
        let networks: Networks = "10.0.0.0/8, 127.0.0.1,::1".parse().expect("valid");
        for (address, is_inside) in [
            ("10.9.8.7", true),
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("::1", true),
            ("127.0.0.2", false),
        ] {
            let address = address.parse().expect(address);
            assert_eq!(networks.contains(address), is_inside, "{address}");
        }
        assert_eq!("none".parse(), Ok(Networks(Vec::new())));
        for (wrong, named) in [
            ("", ""),
            ("proxy", "proxy"),
            ("10.0.0.0/33", "10.0.0.0/33"),
            ("10.0.0.0/8,", ""),
        ] {
            let reason = wrong.parse::<Networks>().expect_err(wrong);
            let expected = format!("`{named}` is neither an address nor a network like 10.0.0.0/8");
            assert_eq!(reason, expected, "{wrong}");
        }
    }
}
