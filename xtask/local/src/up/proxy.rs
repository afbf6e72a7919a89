//! The proxy of `up`, with a configuration made for its hosts or a given one.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context, Result};
use testbed::{Host, Progress, Proxy, ProxyOptions};

use super::{Options, SLOW};
use xtask::build::PROXY_PACKAGE;
use xtask::paths;

/// Fails if the proxy's port or the port of its metrics is taken.
pub(super) fn check_free(listen: SocketAddr) -> Result<()> {
    for address in [listen, admin(listen)?] {
        TcpListener::bind(address)
            .with_context(|| format!("{address}: choose another with --proxy-listen"))?;
    }
    Ok(())
}

/// Starts the proxy in front of `hosts`.
pub(super) async fn start(options: &Options, hosts: &[Host]) -> Result<Proxy> {
    let step = Progress::detect().step("proxy", 0);
    let config = match &options.proxy_config {
        Some(file) => file.clone(),
        None => write_config(options.proxy_listen, hosts)?,
    };
    let options = ProxyOptions {
        logs: paths::store().join("logs"),
        inherit_settings: true,
        ..ProxyOptions::new(paths::program(PROXY_PACKAGE), config)
    };
    let proxy = Proxy::start(&options).await?;
    step.finish_with(&proxy.url(""));
    Ok(proxy)
}

/// The hosts' flags that name the proxy and its admin token, which is the hosts' own token. Hosts tell the proxy when a
/// report changes, because the proxy keeps reports in memory. With a configuration of the user's, only the user knows
/// whether and where that proxy listens; `STORE_HOST_PURGE` then tells the hosts.
pub(super) fn purge_flags(options: &Options, token: &str) -> Vec<String> {
    if options.proxy_config.is_some() {
        return Vec::new();
    }
    let Ok(admin) = admin(options.proxy_listen) else {
        return Vec::new();
    };
    vec![
        format!("--purge=http://{admin}"),
        format!("--proxy-token-file={token}"),
    ]
}

fn write_config(listen: SocketAddr, hosts: &[Host]) -> Result<PathBuf> {
    let file = paths::store().join("store-proxy.toml");
    let urls = |url: fn(&Host) -> String| hosts.iter().map(url).collect::<Vec<_>>();
    let (urls, admins) = (urls(|host| host.url("")), urls(|host| host.admin_url("")));
    let text = config(listen, admin(listen)?, &urls, &admins);
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    Ok(file)
}

/// All other keys have defaults; `proxy/store-proxy.example.toml` explains every key.
fn config(
    listen: SocketAddr,
    admin: SocketAddr,
    hosts: &[String],
    hosts_admin: &[String],
) -> String {
    let peers = (1..).zip(hosts_admin);
    let peers: Vec<String> = peers
        .map(|(number, url)| format!("host-{number} = \"{url}\""))
        .collect();
    let peers = peers.join(", ");
    let servers: String = hosts
        .iter()
        .map(|url| url.trim_start_matches("http://"))
        .map(|address| format!("    {{ address = \"{address}\" }},\n"))
        .collect();
    format!(
        "# Made by `cargo xtask up`, each time anew. To change it, copy it and give the copy: up --proxy-config FILE\n\
         [server]\nadmin = \"{admin}\"\nadmin_token_file = \"admin-token\"\n\n\
         [[listen]]\naddress = \"{listen}\"\n\n\
         [retry]\nkeyed_posts = [\"/orders\", \"/users\", \"/products\", \"/stocks\"]\n\n\
         [access_log]\npath = \"logs/access.log\"\n\n\
         [trace]\ntail = true\nslow = \"{SLOW}\"\n\n\
         [console]\npeers = {{ {peers} }}\n\n\
         [upstreams.store]\npolicy = \"round_robin\"\nhealth = {{ path = \"/readyz\" }}\ncache = {{}}\nservers = [\n{servers}]\n"
    )
}

/// The admin port: the one after the port for clients, on loopback only, because everyone who reaches it can change the
/// proxy.
fn admin(listen: SocketAddr) -> Result<SocketAddr> {
    let port = listen
        .port()
        .checked_add(1)
        .context("--proxy-listen: there is no port after it")?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_are_the_servers() {
        let listen = SocketAddr::from(([0, 0, 0, 0], 8080));
        let admin = admin(listen).expect("there is a port");
        let hosts = ["http://127.0.0.1:5000", "http://127.0.0.1:5001"].map(str::to_owned);
        let admins = ["http://127.0.0.1:5100".to_owned()];
        let text = config(listen, admin, &hosts, &admins);
        for line in [
            "admin = \"127.0.0.1:8081\"",
            "cache = {}",
            "peers = { host-1 = \"http://127.0.0.1:5100\" }",
            "address = \"0.0.0.0:8080\"",
            "    { address = \"127.0.0.1:5001\" },",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no {line} in {text}"
            );
        }
    }

    #[test]
    fn the_last_port_is_refused() {
        assert!(admin(SocketAddr::from(([127, 0, 0, 1], 65_535))).is_err());
    }
}
