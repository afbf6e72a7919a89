//! Prints which member runs where.

use super::members::{Cluster, token_file};

/// The members with their addresses, and which talks to which.
pub(super) fn picture(cluster: &Cluster) -> String {
    let network = match cluster.network.can_cut_off() {
        true => "each member in a network namespace of its own",
        false => "all members on loopback",
    };
    let admin = |url: &str| url.trim_start_matches("http://").to_owned();
    let proxies = cluster.proxies.iter().filter_map(|proxy| {
        let running = proxy.running.as_ref()?;
        let console = running.admin_url("/console");
        Some((running.url(""), format!("console {console}")))
    });
    let hosts = cluster.hosts.iter().filter_map(|host| {
        let running = host.running.as_ref()?;
        let metrics = running.admin_url("/metrics");
        Some((admin(&running.url("")), format!("metrics {metrics}")))
    });
    let databases = cluster.databases.nodes().iter();
    let databases = databases.map(|node| (node.address(), String::new()));
    let redis = cluster.redis.iter().zip(&cluster.sentinels);
    let redis = redis
        .map(|(redis, sentinel)| (redis.address(), format!("Sentinel {}", sentinel.address())));
    let mut text = format!("\n  clients                              {network}\n");
    let mut add = |title: &str, arrow: &str, members: Vec<(String, String)>| {
        text += arrow;
        for (number, (address, more)) in members.iter().enumerate() {
            let title = format!("{title} {number}");
            text += format!("  {title:<12} {address:<24} {more}").trim_end();
            text += "\n";
        }
    };
    add("proxy", "     │\n     ▼\n", proxies.collect());
    add(
        "host",
        "     │  each to all three\n     ▼\n",
        hosts.collect(),
    );
    add(
        cluster.databases.replication().server_name(),
        "     │  all to the same one                          │  to the primary that Sentinels name\n     ▼                                               ▼\n",
        databases.collect(),
    );
    add("Redis", "", redis.collect());
    let (prometheus, folder) = (cluster.prometheus.url(""), cluster.folder.display());
    let token = token_file(&cluster.folder);
    text + &format!(
        "\n  Prometheus   {prometheus}\n  admin token  {}\n  files, logs  {folder}\n",
        token.display()
    )
}
