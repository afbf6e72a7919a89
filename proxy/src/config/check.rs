//! Checks what serde can't check: values out of range, and settings that contradict one another.

use std::collections::HashSet;
use std::net::SocketAddr;

use store_server::console::Member;
use store_server::document::suggestion;
use store_server::listener::LONGEST_SOCKET_PATH;

use super::check_group::check_groups;
use super::complaint::{CheckResult, Complaint, within};
use super::{Config, Console, Limits, Route};
use crate::message::target;

/// Most listeners for clients: one message of an upgrade carries 32 sockets, and one of them is the admin listener's.
const MAX_LISTENERS: usize = 31;

pub(super) fn check(config: &Config) -> CheckResult {
    check_server(config)?;
    check_listeners(config)?;
    check_limits(&config.limits)?;
    within(&["retry", "budget"], config.retry.budget, 0.0..=1.0)?;
    within(
        &["retry", "min_per_second"],
        config.retry.min_per_second,
        0..=1_000_000,
    )?;
    within(&["retry", "max_tries"], config.retry.max_tries, 1..=100)?;
    for (number, path) in config.retry.keyed_posts.iter().enumerate() {
        let at = number.to_string();
        check_prefix(path).map_err(|why| Complaint::new(&["retry", "keyed_posts", &at], why))?;
    }
    within(&["compression", "gzip"], config.compression.gzip, 0..=9)?;
    within(
        &["compression", "brotli"],
        config.compression.brotli,
        0..=11,
    )?;
    within(
        &["access_log", "sample"],
        config.access_log.sample,
        0.0..=1.0,
    )?;
    check_console(&config.console)?;
    check_groups(config)?;
    check_routes(config)
}

fn check_server(config: &Config) -> CheckResult {
    let server = &config.server;
    within(&["server", "threads"], server.threads, 1..=1024)?;
    let socket = &server.upgrade_socket;
    if socket.as_os_str().len() > LONGEST_SOCKET_PATH {
        let reason = format!(
            "{} is longer than {LONGEST_SOCKET_PATH} bytes",
            socket.display()
        );
        return Err(Complaint::new(&["server", "upgrade_socket"], reason));
    }
    if *socket == server.pid_file {
        let reason = "must not be the same file as `server.pid_file`";
        return Err(Complaint::new(&["server", "upgrade_socket"], reason));
    }
    for (number, name) in server.admin_names.iter().enumerate() {
        let at = number.to_string();
        check_host(Some(name))
            .map_err(|why| Complaint::new(&["server", "admin_names", &at], why))?;
    }
    fixed_port(&["server", "admin"], server.admin)
}

fn check_listeners(config: &Config) -> CheckResult {
    if config.listen.len() > MAX_LISTENERS {
        let reason = format!("at most {MAX_LISTENERS} addresses");
        return Err(Complaint::new(&["listen"], reason));
    }
    let mut seen = HashSet::from([config.server.admin]);
    for (number, listen) in config.listen.iter().enumerate() {
        let number = number.to_string();
        let path = ["listen", &number, "address"];
        fixed_port(&path, listen.address)?;
        if !seen.insert(listen.address) {
            return Err(Complaint::new(
                &path,
                "another listener has this address already",
            ));
        }
        if listen.h2c && listen.tls.is_some() {
            let reason = "is HTTP/2 without TLS; with TLS it is `h2`";
            return Err(Complaint::new(&["listen", &number, "h2c"], reason));
        }
    }
    Ok(())
}

/// Refuses port 0: after an upgrade, the system would pick another port.
fn fixed_port(path: &[&str], address: SocketAddr) -> CheckResult {
    match address.port() {
        0 => Err(Complaint::new(
            path,
            "port 0 can't be taken over by a new process; name a port",
        )),
        _ => Ok(()),
    }
}

fn check_limits(limits: &Limits) -> CheckResult {
    // Pingora reads at most 256 header lines.
    within(&["limits", "header_count"], limits.header_count, 1..=256)?;
    within(
        &["limits", "header_bytes"],
        limits.header_bytes,
        512..=1024 * 1024,
    )?;
    within(&["limits", "body_bytes"], limits.body_bytes, 0..=1 << 40)?;
    within(
        &["limits", "connections"],
        limits.connections,
        1..=1_000_000,
    )?;
    for (key, value) in [
        ("connections_per_client", limits.connections_per_client),
        ("requests_per_client", limits.requests_per_client),
    ] {
        within(&["limits", key], value, 1..=1_000_000)?;
    }
    if let Some(rate) = &limits.rate {
        within(
            &["limits", "rate", "per_second"],
            rate.per_second,
            0.001..=1_000_000.0,
        )?;
        within(&["limits", "rate", "burst"], rate.burst, 1..=1_000_000)?;
    }
    Ok(())
}

fn check_console(console: &Console) -> CheckResult {
    for (name, url) in &console.peers {
        let checked = Member::new(name, url.clone());
        checked.map_err(|why| Complaint::new(&["console", "peers", name], why))?;
    }
    let port = console.upstream_admin_port.unwrap_or(1);
    within(&["console", "upstream_admin_port"], port, 1..=u16::MAX)
}

fn check_routes(config: &Config) -> CheckResult {
    if config.routes.is_empty() {
        let reason = "with several groups, say which requests go where: [[route]]";
        return Err(Complaint::new(&["upstreams"], reason));
    }
    let mut seen = HashSet::new();
    for (number, route) in config.routes.iter().enumerate() {
        let number = number.to_string();
        let complain = |key, reason: String| Err(Complaint::new(&["route", &number, key], reason));
        if !config.upstreams.contains_key(&route.upstreams) {
            let known = config.upstreams.keys().map(String::as_str);
            let suggestion = suggestion(&route.upstreams, known);
            let reason = format!("there is no group `{}`{suggestion}", route.upstreams);
            return complain("upstreams", reason);
        }
        if let Err(reason) = check_prefix(&route.path_prefix) {
            return complain("path_prefix", reason.into());
        }
        if let Err(reason) = check_host(route.host.as_deref()) {
            return complain("host", reason.into());
        }
        if !seen.insert(matched(route)) {
            return complain(
                "path_prefix",
                "another route matches the same requests".into(),
            );
        }
    }
    Ok(())
}

fn check_prefix(prefix: &str) -> Result<(), &'static str> {
    if !prefix.starts_with('/') {
        return Err("must begin with /");
    }
    if !prefix.bytes().all(|byte| byte.is_ascii_graphic()) || prefix.contains(['?', '#']) {
        return Err("must be a path as requests have it: percent-encoded and without a query");
    }
    Ok(())
}

fn check_host(host: Option<&str>) -> Result<(), &'static str> {
    let Some(host) = host else { return Ok(()) };
    let inside_brackets = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match inside_brackets {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => Ok(()),
        None if !host.is_empty() && host.bytes().all(named) => Ok(()),
        _ => Err("must be a host name or address, without a port"),
    }
}

/// The host and the prefix that a route matches, in normal form. Routes that are equal in both match the same requests.
fn matched(route: &Route) -> (Option<String>, Vec<u8>) {
    let host = route.host.as_deref().map(target::host_name);
    let prefix = target::normal(route.path_prefix.trim_end_matches('/').as_bytes());
    (host.map(str::to_ascii_lowercase), prefix.into_owned())
}
