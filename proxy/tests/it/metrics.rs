//! `/metrics` and the rest of the admin listener.

use std::io::Write;
use std::process::{Command, Stdio};

use testbed::find_program;

use crate::support::{
    Client, Reply, Rig, Upstream, binary, eventually, get, group, problem, request, server, shop,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_is_counted_and_well_formed() {
    let upstream = Upstream::with(|request| match request.target() {
        "/missing" => Reply::Answer(404, vec![], "no".into()),
        "/broken" => Reply::Close,
        _ => Reply::Echo,
    })
    .await;
    let rig = Rig::start(&shop("ejection = { failures = 0 }", [&upstream])).await;
    for target in ["/", "/", "/", "/missing"] {
        rig.get(target).await;
    }
    problem(&rig.ask(request("POST", "/broken", &[], "x")).await, 502);
    rig.ask("GET / HTTP/1.1\r\n\r\n").await;

    let of = async |name: &str, labels: &[&str]| rig.metric(name, labels).await;
    let by_class =
        async |name: &str, class: &str| of(name, &[&format!("status=\"{class}\"")]).await;
    // A request is counted after its answer has ended.
    eventually("all are counted", async || {
        of("http_request_duration_seconds_count", &[]).await == 5.0
    })
    .await;
    rig.permits_are_free().await;
    for (class, to_clients, of_upstream) in
        [("2xx", 3.0, 3.0), ("4xx", 1.0, 1.0), ("5xx", 1.0, 0.0)]
    {
        assert_eq!(
            by_class("http_requests_total", class).await,
            to_clients,
            "{class}"
        );
        let upstream = by_class("store_proxy_upstream_requests_total", class).await;
        assert_eq!(upstream, of_upstream, "{class}");
    }
    assert_eq!(
        by_class("store_proxy_upstream_requests_total", "error").await,
        1.0
    );
    assert_eq!(
        of("store_proxy_upstream_duration_seconds_count", &[]).await,
        5.0
    );
    assert_eq!(
        of("store_proxy_refused_total", &["reason=\"malformed\""]).await,
        1.0
    );
    assert_eq!(of("store_proxy_upstream_healthy", &[]).await, 1.0);
    check_with_promtool(&rig.scrape().await);
}

fn check_with_promtool(metrics: &str) {
    let promtool = find_program("promtool").expect("`cargo xtask setup` installs promtool");
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = check.stdin.take().unwrap();
    stdin.write_all(metrics.as_bytes()).unwrap();
    drop(stdin);
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{metrics}");
}

/// Series of upstreams that are no longer there would be summed up by dashboards for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_removed_takes_its_series_along() {
    let (one, two) = (Upstream::start().await, Upstream::start().await);
    let rig = Rig::start(&shop("", [&one, &two])).await;
    rig.get("/").await;
    rig.get("/").await;
    let gone = two.address.to_string();
    assert!(rig.scrape().await.contains(&gone));
    rig.reload(&group("shop", "", [server(&one)])).await;
    rig.get("/").await;
    let text = rig.scrape().await;
    assert!(!text.contains(&gone), "{text}");
    assert!(text.contains(&one.address.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_is_not_the_shop_and_the_shop_not_the_admin_listener() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let answer = rig.get("/metrics").await;
    assert_eq!(
        answer.json()["target"],
        "/metrics",
        "passed on like any path"
    );
    let admin = rig.proxy.admin_url("");
    let admin = admin.strip_prefix("http://").unwrap().parse().unwrap();
    let ask = async |bytes: &str| {
        let bytes = bytes.replace("shop.example", "localhost");
        Client::connect(admin).await.ask(bytes).await
    };
    assert_eq!(ask(&get("/healthz")).await.status(), 200);
    assert_eq!(
        ask(&get("/status")).await.json()["groups"][0]["name"],
        "shop"
    );
    let of_the_shop = problem(&ask(&get("/nope")).await, 404);
    assert!(of_the_shop.starts_with("the paths are "), "{of_the_shop}");
    // A link in a browser must not change anything.
    for change in ["/reload", "/drain?upstream=x"] {
        assert_eq!(problem(&ask(&get(change)).await, 405), "use POST");
    }
    let token = std::fs::read_to_string(rig.token()).unwrap();
    let token = format!("Bearer {}", token.trim());
    let headers = [("authorization", &*token)];
    let unknown = ask(&request(
        "POST",
        "/drain?upstream=127.0.0.1:1",
        &headers,
        "",
    ))
    .await;
    assert_eq!(
        problem(&unknown, 404),
        "no upstream is `127.0.0.1:1`; `store-proxy status` lists them"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn version_status_and_metrics_name_the_same_build() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let version = Command::new(binary()).arg("--version").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version = version.trim().strip_prefix("store-proxy ").unwrap();
    let status = rig.status().await;
    let [number, commit, profile] =
        ["version", "commit", "profile"].map(|name| status[name].as_str().unwrap());
    assert_eq!(number, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        version,
        format!("{number} (commit {commit}, profile {profile})")
    );
    let said = String::from_utf8(rig.control(&["status"]).await.stdout).unwrap();
    let first = said.lines().next().unwrap();
    assert_eq!(first, format!("process {}, {version}", status["pid"]));
    let labels = format!("commit=\"{commit}\",profile=\"{profile}\",version=\"{number}\"");
    assert_eq!(rig.metric("store_proxy_build_info", &[&labels]).await, 1.0);
}
