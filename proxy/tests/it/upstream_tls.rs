//! TLS and HTTP/2 between proxy and servers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::shop::Shop;
use crate::support::authority::{Authority, SignedCertificate};
use crate::support::{
    NO_EJECTION, NameServer, Rig, Upstream, answered_by, eventually, folder, get, group, problem,
    request, server_at,
};

const CHECKS: &str = "health = { path = \"/alive\", interval = \"50ms\", timeout = \"1s\", down_after = 1, up_after = 1 }";

/// A group of servers that are believed if the authority in this folder signed for them.
fn secure(folder: &Path, keys: &str, tls: &str, addresses: &[SocketAddr]) -> String {
    let servers = addresses.iter().map(|address| server_at(*address, ""));
    let comma = if tls.is_empty() { "" } else { ", " };
    let tls = format!(
        "tls = {{ ca = \"{}/ca.pem\"{comma}{tls} }}",
        folder.display()
    );
    group("shop", &format!("{NO_EJECTION}\n{tls}\n{keys}"), servers)
}

fn authority() -> (std::path::PathBuf, Authority) {
    let (folder, authority) = (folder(), Authority::new());
    authority.write(&folder.join("ca.pem"));
    (folder, authority)
}

async fn tls_failures(rig: &Rig) -> f64 {
    rig.metric("store_proxy_upstream_tls_failures_total", &[])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_checks_go_through_tls_on_kept_connections() {
    let (folder, authority) = authority();
    let upstream = Upstream::start().await;
    let tls = authority.before("store.test", &upstream).await;
    let name = "server_name = \"store.test\"";
    let rig = Rig::start(&secure(&folder, "", name, &[tls.address])).await;
    let mut client = rig.client().await;
    for number in 0..20 {
        let answer = client.ask(get("/")).await;
        assert_eq!(answered_by(&answer), upstream.address, "{number}");
    }
    // A connection may be back a moment after its answer, when the next request has taken another.
    let kept = upstream.connections();
    assert!(kept < 10, "{kept}");
    let posted = client.ask(request("POST", "/", &[], "body")).await;
    assert_eq!(posted.status(), 200);
    // A POST that can't be sent again has a connection of its own.
    assert_eq!(upstream.connections(), kept + 1);

    let checked = format!("{CHECKS}\n");
    rig.reload(&secure(&folder, &checked, name, &[tls.address]))
        .await;
    eventually("it is checked", async || upstream.count_of("/alive") > 1).await;
    rig.wait_for_state(tls.address, "up").await;
    assert_eq!(tls_failures(&rig).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_believed_gets_nothing_and_the_log_says_why() {
    let (folder, authority) = authority();
    let upstream = Upstream::start().await;
    let stranger = Authority::new().sign("store.test");
    for (signed, why) in [
        (authority.sign("other.test"), "not valid for name"),
        (stranger, "invalid peer certificate"),
    ] {
        let tls = signed.before(upstream.address, None).await;
        let name = "server_name = \"store.test\"";
        let rig = Rig::start(&secure(&folder, "", name, &[tls.address])).await;
        for request in [get("/"), request("POST", "/", &[], "body")] {
            let told = problem(&rig.ask(request).await, 502);
            assert!(told.contains("nothing was done"), "{told}");
        }
        assert!(tls_failures(&rig).await >= 2.0);
        eventually(why, async || rig.proxy.log().contains(why)).await;

        let keys = format!("{CHECKS}\n");
        rig.reload(&secure(&folder, &keys, name, &[tls.address]))
            .await;
        rig.wait_for_state(tls.address, "down").await;
        eventually("the check says why", async || {
            let log = rig.proxy.log();
            log.lines()
                .any(|line| line.contains("is down") && line.contains(why))
        })
        .await;
    }
    assert_eq!(upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_to_another_server_if_one_is_not_believed() {
    let (folder, authority) = authority();
    let upstream = Upstream::start().await;
    let good = authority.before("store.test", &upstream).await;
    let bad = authority.before("other.test", &upstream).await;
    let name = "server_name = \"store.test\"";
    let rig = Rig::start(&secure(&folder, "", name, &[good.address, bad.address])).await;
    for _ in 0..6 {
        let posted = rig.ask(request("POST", "/", &[], "body")).await;
        assert_eq!(answered_by(&posted), upstream.address);
    }
    assert!(tls_failures(&rig).await >= 2.0);
}

/// What stands in the file, or is found by it, is what certificates must be for.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_for_the_host_that_is_connected_to() {
    let (folder, authority) = authority();
    let upstream = Upstream::start().await;
    let by_address = authority.before("127.0.0.1", &upstream).await;
    let rig = Rig::start(&secure(&folder, "", "", &[by_address.address])).await;
    assert_eq!(answered_by(&rig.get("/").await), upstream.address);

    let by_name = authority.before("store.test", &upstream).await;
    let dns = NameServer::start().await.unwrap();
    dns.set("store.test", 60, &[by_name.address]);
    dns.set_services(
        "_http._tcp.shop.test",
        &[(0, 0, by_name.address.port(), "store.test")],
    );
    let resolver = format!("[resolver]\nservers = [\"{}\"]\n", dns.address());
    let ca = format!("tls = {{ ca = \"{}/ca.pem\" }}", folder.display());
    for server in [
        format!("{{ address = \"store.test:{}\" }}", by_name.address.port()),
        "{ srv = \"_http._tcp.shop.test\" }".to_owned(),
    ] {
        rig.reload(&format!("{resolver}{}", group("shop", &ca, [server])))
            .await;
        assert_eq!(answered_by(&rig.get("/").await), upstream.address);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_shows_its_certificate_to_servers_that_ask() {
    let (folder, authority) = authority();
    let upstream = Upstream::start().await;
    let asks = Some(authority.asks_clients());
    let tls = authority
        .sign("127.0.0.1")
        .before(upstream.address, asks)
        .await;
    let rig = Rig::start(&secure(&folder, "", "", &[tls.address])).await;
    problem(&rig.get("/").await, 502);
    eventually("the log says why", async || {
        rig.proxy
            .log()
            .to_lowercase()
            .contains("certificaterequired")
    })
    .await;
    assert_eq!(upstream.count(), 0);

    authority.sign("proxy.test").write(&folder, "proxy");
    let own = format!(
        "certificate = \"{0}/proxy.pem\", key = \"{0}/proxy.key\"",
        folder.display()
    );
    rig.reload(&secure(&folder, "", &own, &[tls.address])).await;
    assert_eq!(answered_by(&rig.get("/").await), upstream.address);

    // A key of somebody else's changes nothing.
    let stranger = Authority::new().sign("proxy.test");
    let [_, key] = stranger.write(&folder, "stranger");
    std::fs::rename(key, folder.join("proxy.key")).unwrap();
    let output = rig.control(&["reload"]).await;
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("`upstreams.shop.tls.certificate`"), "{said}");
    assert_eq!(answered_by(&rig.get("/").await), upstream.address);
}

/// A second proxy, which speaks HTTP/2, before an upstream whose answers wait for the gate.
async fn behind_http2(
    listen: &str,
    folder: &Path,
    signed: &SignedCertificate,
) -> (Upstream, Rig, Arc<Semaphore>) {
    let (upstream, gate) = Upstream::holding("/held").await;
    let [certificate, key] = signed.write(folder, "server");
    let listen = listen
        .replace("CERTIFICATE", certificate.to_str().unwrap())
        .replace("KEY", key.to_str().unwrap());
    let config = crate::support::shop(NO_EJECTION, [&upstream]);
    (upstream, Rig::with("", &listen, &config).await, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_a_connection_of_http2_with_tls_and_without() {
    let (folder, authority) = authority();
    let signed = authority.sign("127.0.0.1");
    let ca = format!("tls = {{ ca = \"{}/ca.pem\" }}", folder.display());
    for (listen, tls) in [
        (
            "tls = { certificate = \"CERTIFICATE\", key = \"KEY\" }",
            &*ca,
        ),
        ("h2c = true", ""),
    ] {
        let (upstream, back, gate) = behind_http2(listen, &folder, &signed).await;
        let keys = format!("http2 = true\n{tls}\n{NO_EJECTION}");
        let front = group("shop", &keys, [server_at(back.address, "")]);
        let rig = Rig::start(&front).await;
        // The first opens it.
        assert_eq!(answered_by(&rig.get("/").await), upstream.address);
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = rig.client().await;
            client.send(get("/held")).await;
            clients.push(client);
        }
        eventually("all are there at once", async || {
            upstream.count_of("/held") == 20
        })
        .await;
        // Two that look for a connection at the same moment may open one each.
        let connections = back.metric("store_proxy_connections", &[]).await;
        assert!(connections < 10.0, "{connections} for 20 with {listen}");
        gate.add_permits(20);
        for mut client in clients {
            let answer = client.answer().await;
            assert_eq!(answered_by(&answer), upstream.address);
        }
        let long = "x".repeat(200_000);
        let posted = rig.ask(request("POST", "/", &[], &long)).await;
        assert_eq!(posted.status(), 200);
        assert_eq!(posted.json()["body"].as_str().map(str::len), Some(200_000));

        let checks = CHECKS.replace("/alive", "/healthz");
        rig.reload(&group(
            "shop",
            &format!("{keys}\n{checks}"),
            [server_at(back.address, "")],
        ))
        .await;
        eventually("it is checked", async || upstream.count_of("/healthz") > 1).await;
        rig.wait_for_state(back.address, "up").await;
    }
}

/// Servers that only know HTTP/1.1 are asked so, where they can say it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_agree_to_http2_is_asked_without() {
    let (folder, authority) = authority();
    let upstream = Upstream::start().await;
    let tls = authority.before("127.0.0.1", &upstream).await;
    let rig = Rig::start(&secure(&folder, "http2 = true", "", &[tls.address])).await;
    for _ in 0..20 {
        assert_eq!(answered_by(&rig.get("/").await), upstream.address);
    }
    let connections = upstream.connections();
    assert!(connections < 10, "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn store_hosts_take_orders_over_http2() {
    let shop = Shop::open(1).await;
    // A host that is held up is not down.
    let checks = CHECKS
        .replace("/alive", "/readyz")
        .replace("down_after = 1", "down_after = 9");
    let rig = shop.proxy("", &format!("http2 = true\n{checks}")).await;
    let body = "{\"user_id\":1,\"items\":[{\"product_id\":1,\"quantity\":1}]}";
    let json = ("content-type", "application/json");
    for number in 0..3 {
        let key = number.to_string();
        let headers = [json, ("idempotency-key", &*key)];
        let ordered = rig.ask(request("POST", "/orders", &headers, body)).await;
        assert_eq!(ordered.status(), 201, "{}", ordered.text());
    }
    let plain = rig.ask(request("POST", "/orders", &[json], body)).await;
    assert_eq!(plain.status(), 201, "{}", plain.text());
    assert_eq!(rig.get("/orders/1").await.json()["user_id"], 1);
    rig.wait_for_state(shop.addresses[0], "up").await;
}
