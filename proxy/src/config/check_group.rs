//! Checks in a group of upstreams what serde can't check.

use std::collections::HashSet;

use super::complaint::{CheckResult, Complaint, within};
use super::{Cache, Config, Ejection, Group, HashOn, Health, Policy, ServerEntry};

pub(super) fn check_groups(config: &Config) -> CheckResult {
    if config.upstreams.is_empty() {
        let reason = "no group of upstreams; write [upstreams.store] with `servers`";
        return Err(Complaint::new(&[], reason));
    }
    for (name, group) in &config.upstreams {
        // Names of groups appear in metric labels and log lines.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            let reason = "a group's name is made of letters, digits, - and _";
            return Err(Complaint::new(&["upstreams", name], reason));
        }
        check_group(group).map_err(|mut complaint| {
            let above = ["upstreams".to_owned(), name.clone()];
            complaint.path.splice(0..0, above);
            complaint
        })?;
    }
    Ok(())
}

fn check_group(group: &Group) -> CheckResult {
    if group.servers.is_empty() {
        return Err(Complaint::new(
            &[],
            "a group needs at least one of `servers`",
        ));
    }
    if group.hash_on != HashOn::ClientAddress && group.policy != Policy::ConsistentHash {
        let reason = "has no effect without policy = \"consistent_hash\"";
        return Err(Complaint::new(&["hash_on"], reason));
    }
    let mut seen = HashSet::new();
    for (number, server) in group.servers.iter().enumerate() {
        let number = number.to_string();
        if !seen.insert(&server.location) {
            let key = if server.srv.is_some() {
                "srv"
            } else {
                "address"
            };
            let reason = format!("`{}` is named twice", server.written());
            return Err(Complaint::new(&["servers", &number, key], reason));
        }
        check_server(server, group.policy, &number)?;
    }
    if let Some(tls) = &group.tls {
        tls.check()
            .map_err(|(key, reason)| Complaint::new(&["tls", key], reason))?;
    }
    check_ejection(&group.ejection)?;
    group.cache.as_ref().map_or(Ok(()), check_cache)?;
    group.health.as_ref().map_or(Ok(()), check_health)
}

fn check_server(server: &ServerEntry, policy: Policy, number: &str) -> CheckResult {
    let weight = ["servers", number, "weight"];
    within(&weight, server.weight, 1..=1000)?;
    if server.weight != 1 && server.srv.is_some() {
        let reason = "SRV records have weights of their own";
        return Err(Complaint::new(&weight, reason));
    }
    if server.weight != 1 && policy == Policy::RoundRobin {
        let reason = "round_robin takes no weights; set policy = \"weighted_round_robin\"";
        return Err(Complaint::new(&weight, reason));
    }
    let connections = ["servers", number, "max_connections"];
    within(&connections, server.max_connections, 1..=1_000_000)?;
    within(
        &["servers", number, "max_queue"],
        server.max_queue,
        0..=1_000_000,
    )
}

fn check_ejection(ejection: &Ejection) -> CheckResult {
    if ejection.base > ejection.max {
        let reason = "must not be longer than `ejection.max`";
        return Err(Complaint::new(&["ejection", "base"], reason));
    }
    Ok(())
}

fn check_cache(cache: &Cache) -> CheckResult {
    within(&["cache", "size_mib"], cache.size_mib, 1..=1024 * 1024)?;
    let object = ["cache", "max_object_kib"];
    within(&object, cache.max_object_kib, 1..=1024 * 1024)?;
    if cache.max_object_bytes() > cache.size_bytes() {
        let reason = "must not be more than `cache.size_mib`";
        return Err(Complaint::new(&object, reason));
    }
    let guess = ["cache", "heuristic_percent"];
    within(&guess, cache.heuristic_percent, 0..=100)
}

fn check_health(health: &Health) -> CheckResult {
    let asked = health.path.starts_with('/') && health.path.bytes().all(|b| b.is_ascii_graphic());
    if !asked {
        let reason = "must begin with / and be percent-encoded";
        return Err(Complaint::new(&["health", "path"], reason));
    }
    within(&["health", "status"], health.status, 200..=599)?;
    within(&["health", "down_after"], health.down_after, 1..=1000)?;
    within(&["health", "up_after"], health.up_after, 1..=1000)
}
