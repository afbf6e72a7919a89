//! The console of this proxy and of the hosts behind it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use store_server::console::{Console, Member, MemberUrl, Program};
use tokio::task::JoinSet;

use crate::config::Config;
use crate::metrics::PANELS;
use crate::table::live::LiveTable;

/// Starts the console. It takes samples until the set is dropped.
pub(super) fn start(
    package: &'static str,
    config: &Config,
    live: &Arc<LiveTable>,
) -> (Arc<Console>, JoinSet<()>) {
    let listens = config.listen.first().map(|listen| listen.address);
    let listens = listens.unwrap_or(config.server.admin);
    let program = Program {
        package,
        name: format!("proxy {listens}"),
        keeps_traces: live.tracing.is_on(),
    };
    let members = config.console.members();
    let registry = live.metrics.registry();
    let console = Console::new(program, &PANELS, registry, members);
    let (live, port) = (live.clone(), config.console.upstream_admin_port);
    let mut task = JoinSet::new();
    task.spawn(console.clone().run(move || match port {
        Some(port) => hosts(live.sockets(), port),
        None => Vec::new(),
    }));
    (console, task)
}

/// The hosts that are upstreams, one for each machine, by the machine's address.
fn hosts(upstreams: BTreeSet<SocketAddr>, port: u16) -> Vec<Member> {
    let machines: BTreeSet<_> = upstreams.iter().map(SocketAddr::ip).collect();
    let member = |ip| {
        let url = MemberUrl::at(SocketAddr::new(ip, port));
        url.and_then(|url| Member::new(&ip.to_string(), url)).ok()
    };
    machines.into_iter().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_machine_of_an_upstream_has_one_host() {
        let upstreams = ["10.0.0.1:5000", "10.0.0.1:5001", "[fd00::1]:5000"];
        let upstreams = upstreams.map(|address| address.parse().expect("an address"));
        let found = hosts(upstreams.into(), 5100);
        let urls: Vec<String> = found.iter().map(|host| host.url.to_string()).collect();
        assert_eq!(urls, ["http://10.0.0.1:5100", "http://[fd00::1]:5100"]);
        assert_eq!(found[1].name, "fd00::1");
    }
}
