//! How many connections there may be, and how often one address may ask.

use crate::access_log::{LOG, lines};
use crate::support::{Client, NO_EJECTION, Rig, Upstream, eventually, get, problem, request, shop};

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_refused_until_others_end() {
    let upstream = Upstream::start().await;
    let config = format!("[limits]\nconnections = 20\n{}", shop("", [&upstream]));
    let rig = Rig::start(&config).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = rig.client().await;
        assert_eq!(client.ask(get("/")).await.status(), 200);
        clients.push(client);
    }
    assert_eq!(rig.metric("store_proxy_connections", &[]).await, 20.0);
    let mut refused = rig.client().await;
    let said = refused.rest().await.expect("it is closed");
    let said = String::from_utf8_lossy(&said);
    assert!(
        said.is_empty() || said.starts_with("HTTP/1.1 503"),
        "{said}"
    );
    let reason = &["reason=\"connections\""];
    assert_eq!(rig.metric("store_proxy_refused_total", reason).await, 1.0);
    // Those who are in stay in.
    for client in &mut clients {
        assert_eq!(client.ask(get("/")).await.status(), 200);
    }
    clients.truncate(10);
    eventually("there is room again", async || {
        let mut client = rig.client().await;
        client.send(get("/")).await;
        let answer = client.try_answer(crate::support::Kind::Response).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
}

/// Each that is refused takes some seconds to hear it, so only so many are told at once.
#[tokio::test(flavor = "multi_thread")]
async fn many_refused_connections_hold_nothing() {
    let upstream = Upstream::start().await;
    let config = format!("{LOG}[limits]\nconnections = 1\n{}", shop("", [&upstream]));
    // Where the version is not known yet, it is waited for as well.
    let rig = Rig::with("", "h2c = true", &config).await;
    let mut first = rig.client().await;
    assert_eq!(first.ask(get("/")).await.status(), 200);
    let mut refused = Vec::new();
    for _ in 0..400 {
        refused.push(rig.client().await);
    }
    let (mut told, mut untold) = (0, 0);
    for mut client in refused {
        let said = client.rest().await.expect("it is closed");
        match said.starts_with(b"HTTP/1.1 503") {
            true => told += 1,
            false if said.is_empty() => untold += 1,
            false => panic!("{:?}", String::from_utf8_lossy(&said)),
        }
    }
    assert!(told >= 256, "{told} were told");
    assert!(untold > 0, "all were told");
    let reason = &["reason=\"connections\""];
    assert_eq!(rig.metric("store_proxy_refused_total", reason).await, 400.0);
    eventually("each is logged", async || {
        let logged = lines(&rig.folder);
        let logged = logged
            .iter()
            .filter(|line| line["refused"] == "connections");
        logged.count() == 400
    })
    .await;
    assert_eq!(first.ask(get("/")).await.status(), 200);
}

const SLOW_REFILL: &str = "[limits]\nrate = { per_second = 0.01, burst = 10 }\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_often_is_429_and_others_are_not() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&format!("{SLOW_REFILL}{}", shop("", [&upstream]))).await;
    let mut client = Client::connect_from("127.0.2.1", rig.address).await;
    for _ in 0..10 {
        assert_eq!(client.ask(get("/")).await.status(), 200);
    }
    let mut client = Client::connect_from("127.0.2.1", rig.address).await;
    let limited = client.ask(get("/")).await;
    assert_eq!(
        problem(&limited, 429),
        "too many requests from this address; slow down"
    );
    let seconds: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=100).contains(&seconds), "{seconds}");
    assert_eq!(rig.metric("store_proxy_rate_limited_total", &[]).await, 1.0);
    let mut other = Client::connect_from("127.0.2.2", rig.address).await;
    assert_eq!(other.ask(get("/")).await.status(), 200);
    assert_eq!(upstream.count(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_back() {
    let upstream = Upstream::start().await;
    let config = format!(
        "[limits]\nrate = {{ per_second = 5.0, burst = 2 }}\n{}",
        shop(NO_EJECTION, [&upstream])
    );
    let rig = Rig::start(&config).await;
    eventually("the bucket is empty", async || {
        rig.get("/").await.status() == 429
    })
    .await;
    eventually("a token is back", async || {
        rig.get("/").await.status() == 200
    })
    .await;
}

/// Behind a trusted proxy everybody has the same peer address.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_client_has_its_own_bucket() {
    let upstream = Upstream::start().await;
    let config = format!(
        "{SLOW_REFILL}\n[forwarded]\ntrusted = [\"127.0.3.0/24\"]\n{}",
        shop("", [&upstream])
    );
    let rig = Rig::start(&config).await;
    let ask = async |peer: &str, said: &str| {
        let mut client = Client::connect_from(peer, rig.address).await;
        let request = request("GET", "/", &[("x-forwarded-for", said)], "");
        client.ask(request).await.status()
    };
    for number in 0..30 {
        let status = ask("127.0.3.1", &format!("203.0.113.{number}")).await;
        assert_eq!(status, 200);
    }
    // Who is not trusted can't make up addresses.
    let mut statuses = Vec::new();
    for number in 0..12 {
        statuses.push(ask("127.0.2.9", &format!("203.0.113.{number}")).await);
    }
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 10);
    assert_eq!(statuses[10..], [429, 429]);
}
