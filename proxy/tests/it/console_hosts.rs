//! Hosts that the console of a proxy finds by itself, because they are its upstreams.

use std::net::SocketAddr;

use serde_json::Value;
use testbed::{Host, HostOptions};

use crate::admin::ask;
use crate::shop::{address, empty_store, host_options};
use crate::support::{Rig, eventually, eventually_some, group, server_at};

/// What the proxy's admin listener answers.
async fn read(rig: &Rig, path: &str) -> Value {
    let answer = ask(rig, "GET", path, &[("host", "localhost")]).await;
    assert_eq!(answer.status(), 200, "{path}: {answer:?}");
    answer.json()
}

/// The members of the proxy's fleet: name, URL and state.
async fn members(rig: &Rig) -> Vec<[String; 3]> {
    let fleet = read(rig, "/fleet").await;
    let members = fleet["members"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    members
        .map(|member| ["name", "url", "state"].map(|key| text(&member[key])))
        .collect()
}

/// What tells a process from all others, as it says itself.
async fn process(host: &Host) -> Value {
    let fleet = reqwest::get(host.admin_url("/fleet")).await.unwrap();
    let fleet: Value = fleet.json().await.unwrap();
    assert_eq!(fleet["self"]["program"], "store-host");
    fleet["self"]["process"].clone()
}

fn admin_port(host: &Host) -> u16 {
    let url = host.admin_url("");
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_found_at_the_admin_port_of_their_machine() {
    let store = empty_store().await;
    let one = store.host(host_options()).await.unwrap();
    let port = admin_port(&one);
    // Another address of the loopback network is another machine.
    let elsewhere = HostOptions {
        listen: SocketAddr::from(([127, 0, 0, 2], 0)),
        admin_listen: format!("127.0.0.2:{port}"),
        ..host_options()
    };
    let two = store.host(elsewhere).await.unwrap();
    let hosts = [&one, &two];
    let config = |hosts: &[&Host]| {
        let servers = hosts.iter().map(|host| server_at(address(host), ""));
        let servers = group("shop", "", servers);
        format!("[console]\nupstream_admin_port = {port}\n{servers}")
    };
    let member =
        |ip: &str, state: &str| [ip, &format!("http://{ip}:{port}"), state].map(str::to_owned);

    let rig = Rig::start(&config(&hosts)).await;
    let both = ["127.0.0.1", "127.0.0.2"].map(|ip| member(ip, "up"));
    eventually("both are found", async || members(&rig).await == both).await;
    // Each is reached under the name that it got.
    for (ip, host) in ["127.0.0.1", "127.0.0.2"].into_iter().zip(hosts) {
        let fleet = read(&rig, &format!("/fleet/{ip}/fleet")).await;
        assert_eq!(fleet["self"]["process"], process(host).await, "{ip}");
        let status = read(&rig, &format!("/fleet/{ip}/status")).await;
        let components = status["components"].as_array().unwrap().iter();
        let ids: Vec<_> = components.map(|one| &one["component"]).collect();
        assert!(ids.iter().any(|id| **id == "orders"), "{ids:?}");
    }

    // One that is no upstream any more is not shown, and one that has died is.
    rig.reload(&config(&hosts[..1])).await;
    eventually("one is left", async || members(&rig).await == both[..1]).await;
    one.kill();
    eventually("it is gone", async || {
        members(&rig).await == [member("127.0.0.1", "gone")]
    })
    .await;
    let reason = eventually_some("the reason", async || {
        let fleet = read(&rig, "/fleet").await;
        fleet["members"][0]["reason"].as_str().map(str::to_owned)
    })
    .await;
    assert!(!reason.is_empty());
}
