//! The console of a proxy: its page, its data, and who may see and change what.

use std::fs;

use serde_json::Value;

use crate::admin::ask;
use crate::support::{Client, Rig, Upstream, eventually, get, problem, shop};

const HOST: (&str, &str) = ("host", "localhost");

const WRONG: &str = "the admin token is wrong";

async fn read(rig: &Rig, path: &str) -> Value {
    let answer = ask(rig, "GET", path, &[HOST]).await;
    assert_eq!(answer.status(), 200, "{path}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    answer.json()
}

fn token(rig: &Rig) -> String {
    let token = fs::read_to_string(rig.token()).unwrap();
    format!("Bearer {}", token.trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_its_policy() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let page = ask(&rig, "GET", "/console", &[HOST]).await;
    assert_eq!(page.status(), 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
    let tag = page.header("etag").unwrap().to_owned();
    let again = ask(&rig, "GET", "/console", &[HOST, ("if-none-match", &tag)]).await;
    assert_eq!((again.status(), again.body.len()), (304, 0));
    let elsewhere = ask(&rig, "GET", "/console", &[("host", "evil.example")]).await;
    assert_eq!(
        problem(&elsewhere, 421),
        "this listener is not known by that name; `server.admin_names` sets its names"
    );
    let posted = ask(&rig, "POST", "/console", &[HOST]).await;
    assert_eq!(problem(&posted, 405), "use GET, HEAD");
    let none = problem(&ask(&rig, "GET", "/console/none.js", &[HOST]).await, 404);
    assert!(none.starts_with("the paths are /console, "), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_has_groups_and_upstreams() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let line = format!("shop {}", upstream.address);
    eventually("requests show in the history", async || {
        for _ in 0..20 {
            rig.ask(get("/")).await;
        }
        let history = read(&rig, "/history").await;
        let has = |id: &str, name: &str| {
            let panels = history["panels"].as_array().unwrap().iter();
            let lines = panels.filter(|panel| panel["id"] == id);
            let mut lines = lines.flat_map(|panel| panel["lines"].as_array().unwrap());
            lines.any(|line| {
                let values = line["values"].as_array().unwrap();
                line["name"] == name && values.iter().any(|value| value.as_f64() > Some(0.0))
            })
        };
        has("requests", "shop") && has("upstream_requests", &line) && has("p99", "shop")
    })
    .await;
    assert_eq!(rig.status_of(upstream.address).await["ejections"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_page_may_drain_with_the_token_and_the_log_says_who_did() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let rig = Rig::start(&shop("", [&one, &two])).await;
    let (right, own) = (token(&rig), ("origin", "http://localhost"));
    let drain = format!("/drain?upstream={}", one.address);
    let wrong = ("authorization", "Bearer 0123456789abcdef");
    for target in [&*drain, "/token"] {
        let refused = ask(&rig, "POST", target, &[HOST, own, wrong]).await;
        assert_eq!(problem(&refused, 401), WRONG, "{target}");
    }
    let with_token = [HOST, own, ("authorization", &*right)];
    assert_eq!(ask(&rig, "POST", "/token", &with_token).await.status(), 200);
    assert_eq!(ask(&rig, "POST", &drain, &with_token).await.status(), 200);
    assert_eq!(rig.state(one.address).await, "drained");
    let events = read(&rig, "/events").await;
    let audit = events["audit"].as_array().unwrap();
    assert_eq!(audit[0]["fields"]["action"], "drain", "{events}");
    assert!(
        audit[0]["fields"]["peer"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    assert!(
        audit
            .iter()
            .any(|line| line["fields"]["result"] == "refused"),
        "{events}"
    );
    assert!(!events.to_string().contains("0123456789abcdef"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_members_are_reached_through_it() {
    let upstream = Upstream::start().await;
    let other = Rig::start(&shop("", [&upstream])).await;
    let peers = format!(
        "[console]\npeers = {{ other = \"{0}\", \"fd00::1\" = \"{0}\" }}\n",
        other.proxy.admin_url("")
    );
    let rig = Rig::start(&format!("{peers}{}", shop("", [&upstream]))).await;
    eventually("it is up", async || {
        read(&rig, "/fleet").await["members"][1]["state"] == "up"
    })
    .await;
    let status = read(&rig, "/fleet/other/status").await;
    // A name may look like an address.
    let processes = ["/fleet", "/fleet/other/fleet", "/fleet/fd00::1/fleet"];
    let mut found = Vec::new();
    for path in processes {
        found.push(read(&rig, path).await["self"]["process"].clone());
    }
    assert!(found[0] != found[1] && found[1] == found[2], "{found:?}");
    assert_eq!(status["groups"][0]["name"], "shop");
    let drain = format!("/fleet/other/drain?upstream={}", upstream.address);
    assert_eq!(
        problem(&ask(&rig, "POST", &drain, &[HOST]).await, 401),
        "send the member's admin token as `Authorization: Bearer TOKEN`"
    );
    // The other one's token counts, and not this one's.
    let own = token(&rig);
    let refused = ask(&rig, "POST", &drain, &[HOST, ("authorization", &*own)]).await;
    assert_eq!(problem(&refused, 401), WRONG);
    let of_other = token(&other);
    let drained = ask(&rig, "POST", &drain, &[HOST, ("authorization", &*of_other)]).await;
    assert_eq!(drained.status(), 200);
    assert_eq!(other.state(upstream.address).await, "drained");
    let of_page = [
        HOST,
        ("authorization", &*of_other),
        ("origin", "http://evil.example"),
    ];
    assert_eq!(
        problem(&ask(&rig, "POST", &drain, &of_page).await, 403),
        "web pages of other origins may not make changes"
    );
    for (path, reason) in [
        (
            "/fleet/other/console",
            "this path of another member can't be reached through the console",
        ),
        ("/fleet/none/status", "no member of the fleet is `none`"),
    ] {
        let unknown = ask(&rig, "GET", path, &[HOST]).await;
        assert_eq!(problem(&unknown, 404), reason, "{path}");
    }
    let audit = read(&rig, "/events").await["audit"].clone();
    let results: Vec<_> = audit.as_array().unwrap().iter().collect();
    let results: Vec<_> = results
        .iter()
        .map(|line| &line["fields"]["result"])
        .collect();
    assert_eq!(results, ["passed on", "passed on", "refused"], "{audit}");
    drop(other);
    eventually("it is gone", async || {
        read(&rig, "/fleet").await["members"][0]["state"] == "gone"
    })
    .await;
    let gone = ask(&rig, "GET", "/fleet/other/status", &[HOST]).await;
    let reason = problem(&gone, 502);
    assert!(reason.starts_with("other at http://"), "{reason}");
}

/// Whoever may change nothing makes nobody wait for a component.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_received_only_if_its_member_would_take_it() {
    let upstream = Upstream::start().await;
    let other = Rig::start(&shop("", [&upstream])).await;
    let peers = format!(
        "[console]\npeers = {{ other = \"{}\" }}\n",
        other.proxy.admin_url("")
    );
    let rig = Rig::start(&format!("{peers}{}", shop("", [&upstream]))).await;
    let of_other = token(&other);
    let nobody = "no member of the fleet is `nobody`";
    for (name, authorization, status, reason) in [
        ("nobody", "Bearer 0123456789abcdef", 404, nobody),
        ("nobody", &*of_other, 404, nobody),
        ("other", "Bearer 0123456789abcdef", 401, WRONG),
    ] {
        let admin = rig.proxy.admin_url("");
        let admin = admin.strip_prefix("http://").unwrap().parse().unwrap();
        // The body that is announced never comes.
        let head = format!(
            "POST /fleet/{name}/components/a/swap HTTP/1.1\r\nhost: localhost\r\nauthorization: {authorization}\r\ncontent-length: 9999\r\n\r\n"
        );
        let refused = Client::connect(admin).await.ask(head).await;
        assert_eq!(problem(&refused, status), reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_is_logged_as_such() {
    let upstream = Upstream::start().await;
    let gate = upstream.hold();
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut held = rig.client().await;
    held.send(get("/held")).await;
    eventually("it has a request", async || upstream.count() == 1).await;
    let right = token(&rig);
    let drain = format!("/drain?upstream={}&timeout=100ms", upstream.address);
    let answer = ask(&rig, "POST", &drain, &[HOST, ("authorization", &*right)]).await;
    let reason = problem(&answer, 504);
    assert!(reason.contains("still has some in flight"), "{reason}");
    let events = read(&rig, "/events").await;
    let fields = &events["audit"][0]["fields"];
    assert_eq!(fields["action"], "drain", "{events}");
    assert_eq!(fields["result"], "not idle", "{events}");
    gate.add_permits(1);
}
