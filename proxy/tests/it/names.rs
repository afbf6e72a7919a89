//! Servers that are found by name, while their addresses change and their name server comes and goes.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{
    Load, NO_EJECTION, NO_SERVER, NameServer, Reply, Rig, Upstream, answered_by, eventually, get,
    group, problem,
};

const NAME: &str = "store.test";

/// Asked again as soon as records' time is over. Look-ups give up after three quarters of their time limit, which is
/// longer than a name server on a busy machine is held up.
fn resolver(dns: &NameServer) -> String {
    let address = dns.address();
    format!("[resolver]\nservers = [\"{address}\"]\nmin_interval = \"50ms\"\ntimeout = \"4s\"\n")
}

/// A group whose servers are this name, at the port of `upstream`.
fn by_name(dns: &NameServer, keys: &str, upstream: &Upstream) -> String {
    let server = format!("{{ address = \"{NAME}:{}\" }}", upstream.address.port());
    format!("{}{}", resolver(dns), group("shop", keys, [server]))
}

/// Upstreams with one port at several addresses, as behind a headless service.
async fn on_one_port<const N: usize>() -> [Upstream; N] {
    'ports: loop {
        let mut upstreams = vec![Upstream::start().await];
        let port = upstreams[0].address.port();
        for last in 2..=N {
            let address = SocketAddr::from(([127, 0, 0, last as u8], port));
            match Upstream::at(address).await {
                Ok(upstream) => upstreams.push(upstream),
                Err(_) => continue 'ports,
            }
        }
        if let Ok(upstreams) = upstreams.try_into() {
            return upstreams;
        }
    }
}

/// The addresses of upstreams as `/status` has them, and the name that each was found by.
async fn found(rig: &Rig) -> Vec<(String, String)> {
    let status = rig.status().await;
    let upstreams = status["groups"][0]["upstreams"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let found = upstreams
        .iter()
        .map(|u| (text(&u["address"]), text(&u["name"])));
    found.collect()
}

async fn eventually_has(rig: &Rig, upstreams: &[&Upstream]) {
    let expected: Vec<String> = upstreams.iter().map(|u| u.address.to_string()).collect();
    eventually(&format!("there are {expected:?}"), async || {
        let found = found(rig).await;
        found.iter().map(|(address, _)| address).eq(&expected)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_addresses_of_a_name_are_servers_and_changes_lose_no_request() {
    let [one, two, three] = on_one_port().await;
    let dns = NameServer::start().await.unwrap();
    dns.set(NAME, 0, &[two.address, one.address]);
    let rig = Rig::start(&by_name(&dns, "", &one)).await;
    eventually_has(&rig, &[&one, &two]).await;
    let name = format!("{NAME}:{}", one.address.port());
    assert!(found(&rig).await.iter().all(|(_, from)| *from == name));
    let info = [
        format!("upstream=\"{}\"", one.address),
        format!("name=\"{name}\""),
    ];
    let info = [&*info[0], &*info[1]];
    assert_eq!(rig.metric("store_proxy_upstream_info", &info).await, 1.0);

    let load = Load::start(rig.address, 4, |_| ("get".into(), get("/")));
    load.answers(100).await;
    dns.set(NAME, 0, &[two.address, three.address]);
    eventually_has(&rig, &[&two, &three]).await;
    load.answers(100).await;
    let before = one.count();
    load.answers(100).await;
    load.stop().await.assert_only(&[200]);
    assert_eq!(one.count(), before, "the one that is gone gets nothing");
    assert!(two.count() > 0 && three.count() > 0);
    assert_eq!(rig.metric("store_proxy_upstream_info", &info).await, 0.0);
    let label = format!("upstream=\"{}\"", one.address);
    let series = rig.scrape().await;
    assert!(!series.contains(&label), "{series}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_at_a_server_that_its_name_no_longer_has() {
    let [old, new] = on_one_port().await;
    let gate = old.hold();
    let dns = NameServer::start().await.unwrap();
    dns.set(NAME, 0, &[old.address]);
    let rig = Rig::start(&by_name(&dns, "", &old)).await;
    let mut waiting = rig.client().await;
    waiting.send(get("/")).await;
    eventually("it has arrived", async || old.count() == 1).await;
    dns.set(NAME, 0, &[new.address]);
    eventually_has(&rig, &[&new]).await;
    assert_eq!(answered_by(&rig.get("/").await), new.address);
    gate.add_permits(1);
    assert_eq!(answered_by(&waiting.answer().await), old.address);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_stays_while_the_name_server_is_gone_or_silent_or_knows_nothing() {
    let [one, two] = on_one_port().await;
    let mut dns = NameServer::start().await.unwrap();
    dns.set(NAME, 0, &[one.address]);
    let rig = Rig::start(&by_name(&dns, "", &one)).await;
    let looked_up = async |result: &str| {
        let label = format!("result=\"{result}\"");
        rig.metric("store_proxy_name_lookups_total", &[&label])
            .await
    };
    let trouble = async || {
        let status = rig.status().await;
        let trouble = &status["groups"][0]["names"][0]["trouble"];
        trouble.as_str().unwrap_or_default().to_owned()
    };
    let serves = async || answered_by(&rig.get("/").await) == one.address;

    dns.stop().await;
    eventually("nobody answers", async || {
        trouble().await.contains("no name server answers")
    })
    .await;
    assert!(serves().await);
    dns.start_again().await.unwrap();
    eventually("it answers again", async || trouble().await.is_empty()).await;

    dns.be_silent(true);
    eventually("nothing is said", async || {
        trouble().await.contains("no name server answers")
    })
    .await;
    assert!(serves().await);
    dns.be_silent(false);

    dns.remove(NAME);
    eventually("it is unknown", async || {
        trouble().await == "there is no such name"
    })
    .await;
    assert!(serves().await);
    let status = rig.status().await;
    assert_eq!(status["groups"][0]["names"][0]["addresses"], 1, "{status}");
    let output = rig.control(&["status"]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("can't be looked up: there is no such name"),
        "{said}"
    );

    dns.set(NAME, 0, &[]);
    eventually("it has none", async || {
        trouble().await == "it has no addresses"
    })
    .await;
    assert!(serves().await);
    dns.set(NAME, 0, &[two.address]);
    eventually_has(&rig, &[&two]).await;
    for result in ["ok", "empty", "failed"] {
        assert!(looked_up(result).await > 0.0, "{result}");
    }
    eventually("each change is told once", async || {
        rig.proxy.log().matches("can't be looked up").count() == 4
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_starts_before_its_servers_have_addresses() {
    let upstream = Upstream::start().await;
    let dns = NameServer::start().await.unwrap();
    let rig = Rig::start(&by_name(&dns, "", &upstream)).await;
    let answer = rig.get("/").await;
    assert_eq!(problem(&answer, 503), NO_SERVER);
    assert!(answer.header("retry-after").is_some());
    dns.set(NAME, 0, &[upstream.address]);
    eventually_has(&rig, &[&upstream]).await;
    assert_eq!(answered_by(&rig.get("/").await), upstream.address);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_asked_for_no_more_often_than_its_records_say() {
    let upstream = Upstream::start().await;
    let dns = NameServer::start().await.unwrap();
    dns.set(NAME, 3600, &[upstream.address]);
    dns.set("other.test", 0, &[upstream.address]);
    let port = upstream.address.port();
    let servers = [NAME, "other.test"].map(|name| format!("{{ address = \"{name}:{port}\" }}"));
    let config = format!("{}{}", resolver(&dns), group("shop", "", servers));
    let rig = Rig::start(&config).await;
    // One look-up may ask several times, until there is an answer.
    let [before, others] = [NAME, "other.test"].map(|name| dns.asked(name));
    eventually("the other is asked for", async || {
        dns.asked("other.test") > others + 5
    })
    .await;
    assert_eq!(dns.asked(NAME), before);
    // The same address is one server, whatever leads to it.
    eventually_has(&rig, &[&upstream]).await;
    rig.reload(&config).await;
    assert!(dns.asked(NAME) > before, "a reload asks");
    // An alert sees the first failure only if there was a value before it.
    let failed =
        format!("store_proxy_name_lookups_total{{name=\"{NAME}:{port}\",result=\"failed\"}} 0");
    let text = rig.scrape().await;
    assert!(text.lines().any(|line| line == failed), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_say_ports_and_weights_and_what_is_wrong_of_them_is_left_out() {
    let (one, two, spare) = (
        Upstream::start().await,
        Upstream::start().await,
        Upstream::start().await,
    );
    let dns = NameServer::start().await.unwrap();
    for host in ["a.test", "b.test"] {
        dns.set(host, 0, &[one.address]);
    }
    let service = "_http._tcp.store.test";
    let [first, second, other] = [&one, &two, &spare].map(|upstream| upstream.address.port());
    dns.set_services(
        service,
        &[
            (1, 30, first, "a.test"),
            (1, 10, second, "b.test"),
            (1, 10, 0, "a.test"),
            (1, 10, second, "missing.test"),
            (2, 10, other, "a.test"),
        ],
    );
    let keys = "policy = \"weighted_round_robin\"";
    let servers = [format!("{{ srv = \"{service}\" }}")];
    let rig = Rig::start(&format!(
        "{}{}",
        resolver(&dns),
        group("shop", keys, servers)
    ))
    .await;
    let mut expected = [&one, &two];
    expected.sort_by_key(|upstream| upstream.address);
    eventually_has(&rig, &expected).await;
    for _ in 0..40 {
        assert_eq!(rig.get("/").await.status(), 200);
    }
    assert_eq!((one.count(), two.count(), spare.count()), (30, 10, 0));
    for why in ["a server can't have port 0", "there is no such name"] {
        eventually("each is told once", async || {
            rig.proxy.log().matches(why).count() == 1
        })
        .await;
    }

    dns.set_services(service, &[(1, 0, 0, ".")]);
    eventually("the service is called off", async || {
        let status = rig.status().await.to_string();
        status.contains("the service is not there")
    })
    .await;
    assert_eq!(rig.get("/").await.status(), 200, "those known stay");
}

/// What a name brings may not listen yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_a_name_brings_gets_requests_after_its_first_good_check() {
    let [old, new] = on_one_port().await;
    let ready = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let shown = ready.clone();
    new.behave(move |request| match request.target() {
        "/readyz" if !shown.load(std::sync::atomic::Ordering::SeqCst) => {
            Reply::Answer(503, vec![], "not yet".into())
        }
        "/readyz" => Reply::Answer(200, vec![], String::new()),
        _ => Reply::Echo,
    });
    let dns = NameServer::start().await.unwrap();
    dns.set(NAME, 0, &[old.address]);
    let keys = format!(
        "health = {{ path = \"/readyz\", interval = \"50ms\", timeout = \"500ms\", down_after = 9, up_after = 1 }}\n{NO_EJECTION}"
    );
    let rig = Rig::start(&by_name(&dns, &keys, &old)).await;
    rig.wait_for_state(old.address, "up").await;
    let load = Load::start(rig.address, 2, |_| ("get".into(), get("/")));
    dns.set(NAME, 0, &[old.address, new.address]);
    eventually("the new one is asked", async || new.count_of("/readyz") > 2).await;
    rig.wait_for_state(new.address, "unready").await;
    assert_eq!(new.count_of("/"), 0);
    ready.store(true, std::sync::atomic::Ordering::SeqCst);
    eventually("it gets requests", async || new.count_of("/") > 0).await;
    load.stop().await.assert_only(&[200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_by_name_drains_all_that_it_stands_for() {
    let [one, two] = on_one_port().await;
    let dns = NameServer::start().await.unwrap();
    dns.set(NAME, 0, &[one.address, two.address]);
    let rig = Rig::start(&by_name(&dns, "", &one)).await;
    let name = format!("{NAME}:{}", one.address.port());
    let drained = rig.control(&["drain", &one.address.to_string()]).await;
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(rig.state(one.address).await, "drained");
    assert_eq!(rig.state(two.address).await, "up");
    let drained = rig.control(&["drain", &name]).await;
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(rig.state(two.address).await, "drained");
    let back = rig.control(&["undrain", &name]).await;
    assert!(back.status.success(), "{back:?}");
    assert_eq!(rig.state(one.address).await, "up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_file_says_what_names_stand_for() {
    let upstream = Upstream::start().await;
    let dns = NameServer::start().await.unwrap();
    dns.set(NAME, 0, &[upstream.address]);
    let port = upstream.address.port();
    let servers = [
        format!("{{ address = \"{NAME}:{port}\" }}"),
        format!("{{ address = \"none.test:{port}\" }}"),
        format!("{{ address = \"localhost:{port}\" }}"),
    ];
    let file = crate::support::folder().join("store-proxy.toml");
    std::fs::write(
        &file,
        format!("{}{}", resolver(&dns), group("shop", "", servers)),
    )
    .unwrap();
    let mut command = tokio::process::Command::new(crate::support::binary());
    let checked = command.arg("--check").arg("--config").arg(file).output();
    let checked = tokio::time::timeout(Duration::from_secs(20), checked).await;
    let checked = checked.unwrap().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{checked:?}");
    for line in [
        format!("# {NAME}:{port} is {}", upstream.address),
        format!("# none.test:{port} can't be looked up: there is no such name"),
        format!("# localhost:{port} is 127.0.0.1:{port}"),
    ] {
        assert!(
            said.lines().any(|found| found == line),
            "no `{line}` in\n{said}"
        );
    }
}
