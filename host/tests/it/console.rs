//! The console of a host: its page, its data, and who may see and change what.

use reqwest::{Method, StatusCode};
use serde_json::Value;
use testbed::HostOptions;

use crate::operator::{TOKEN, guest, guest_shop, operated, refusal, with_token};
use crate::support::{Shop, empty_store, eventually, options, order_body, send};

pub(crate) async fn read(shop: &Shop, path: &str) -> Value {
    let answer = send(shop.client.get(shop.host.admin_url(path))).await;
    assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
    answer.expect(200)
}

/// The values of a line of a panel, by default that of all together.
fn line<'a>(history: &'a Value, panel: &str, name: &str) -> &'a Vec<Value> {
    let find = |list: &'a Value, key: &str, wanted: &str| {
        let found = list.as_array().unwrap().iter();
        let mut found = found.filter(|one| one[key] == wanted);
        found
            .next()
            .unwrap_or_else(|| panic!("no {wanted} in {list}"))
    };
    let panel = find(&history["panels"], "id", panel);
    find(&panel["lines"], "name", name)["values"]
        .as_array()
        .unwrap()
}

pub(crate) fn member(name: &str, url: &str) -> HostOptions {
    with_token(options()).arg(format!("--console-peer={name}={url}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_whole_small_and_runs_only_its_own_scripts() {
    let shop = Shop::with(with_token(options())).await;
    let get = async |path: &str| send(shop.client.get(shop.host.admin_url(path))).await;
    let page = get("/console").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    let mut bytes = page.text.len();
    let mut names: Vec<String> = page
        .text
        .split('"')
        .filter(|text| text.starts_with("/console/"))
        .map(str::to_owned)
        .collect();
    let mut at = 0;
    while at < names.len() {
        let file = get(&names[at]).await;
        assert_eq!(file.status, StatusCode::OK, "{}", names[at]);
        assert_eq!(file.headers["cache-control"], "no-cache");
        bytes += file.text.len();
        for text in file.text.split('"').filter(|text| text.starts_with("./")) {
            let name = text.replacen('.', "/console", 1);
            if !names.contains(&name) && name.ends_with(".js") {
                names.push(name);
            }
        }
        at += 1;
    }
    assert!(names.len() > 10, "{names:?}");
    assert!(bytes <= 200 * 1024, "{bytes} bytes");
    let again = shop.client.get(shop.host.admin_url("/console"));
    let again = again.header("if-none-match", &page.headers["etag"]);
    assert_eq!(send(again).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_listener_s_names_are_answered() {
    let shop = Shop::open().await;
    for path in [
        "/console",
        "/console/app.js",
        "/history",
        "/events",
        "/fleet",
    ] {
        let request = shop.client.get(shop.host.admin_url(path));
        let answer = send(request.header("host", "evil.example")).await;
        assert_eq!(
            refusal(&answer, 421, None),
            "Host must be an address, `localhost` or a name given with --admin-names",
            "{path}"
        );
        let posted = send(shop.client.post(shop.host.admin_url(path))).await;
        assert_eq!(
            refusal(&posted, 405, None),
            "this path answers GET, HEAD only",
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_is_what_the_metrics_count() {
    let shop = Shop::with(with_token(options())).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    for _ in 0..10 {
        let order = order_body(user, product, 1);
        shop.post("/orders", &order).await.expect(201);
    }
    let counted = async || {
        let text = shop.scrape().await;
        let lines = text.lines().filter(|line| {
            line.starts_with("http_request_duration_seconds_count")
                && line.contains("method=\"POST\"")
                && line.contains("component=\"orders\"")
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>()
    };
    // Rates over each step, times the step, add up to what was counted.
    eventually("the history has them", async || {
        let history = read(&shop, "/history").await;
        let panels = history["panels"].as_array().unwrap();
        let requests = panels.iter().find(|panel| panel["id"] == "requests");
        let lines = requests.unwrap()["lines"].as_array().unwrap();
        let posts = lines.iter().filter(|line| {
            let name = line["name"].as_str().unwrap();
            name.starts_with("POST /orders") || name.starts_with("POST /users")
        });
        let step = history["step_s"].as_f64().unwrap();
        let rates = posts.flat_map(|line| line["values"].as_array().unwrap());
        let sum: f64 = rates.filter_map(Value::as_f64).sum::<f64>() * step;
        let counted = counted().await;
        sum > 0.0 && (sum - counted).abs() < counted * 0.5
    })
    .await;
    let history = read(&shop, "/history").await;
    assert!(line(&history, "p99", "").iter().any(Value::is_number));
    assert!(
        line(&history, "report_age", "")
            .iter()
            .any(Value::is_number)
    );
    assert!(
        line(&history, "pool_size", "orders")
            .iter()
            .any(|size| *size == 16.0)
    );
    let position = history["position"].as_str().unwrap();
    let more = read(&shop, &format!("/history?after={position}")).await;
    assert_eq!(more["continues"], true);
    assert!(more["ages_s"].as_array().unwrap().len() < 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_judged_before_it_is_used() {
    let shop = Shop::with(with_token(options())).await;
    let ask = async |token: &str, origin: Option<&str>| {
        let mut request = shop
            .client
            .post(shop.host.admin_url("/token"))
            .bearer_auth(token);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        send(request).await.status.as_u16()
    };
    let own = shop.host.admin_url("");
    assert_eq!(ask(TOKEN, None).await, 200);
    assert_eq!(ask(TOKEN, Some(&own)).await, 200);
    assert_eq!(ask(TOKEN, Some("http://evil.example")).await, 403);
    assert_eq!(
        ask("another-token-of-the-same-length", Some(&own)).await,
        401
    );
    let events = read(&shop, "/events").await;
    assert_eq!(
        events["audit"][0]["fields"]["result"], "unauthorized",
        "{events}"
    );
    assert!(!events.to_string().contains("another-token"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_is_seen_and_changed_through_this_one_with_its_own_token() {
    let (shop, _app) = guest_shop(&[]).await;
    let store = empty_store().await;
    let front = Shop::on(store, member("other", &shop.host.admin_url(""))).await;
    eventually("it is up", async || {
        read(&front, "/fleet").await["members"][0]["state"] == "up"
    })
    .await;
    let status = read(&front, "/fleet/other/status").await;
    assert_eq!(status["components"][0]["component"], "guest");
    let other = read(&front, "/fleet/other/fleet").await["self"].clone();
    assert_eq!(other["program"], "store-host");
    assert_eq!(
        other["process"],
        read(&shop, "/fleet").await["self"]["process"]
    );
    assert_ne!(
        other["process"],
        read(&front, "/fleet").await["self"]["process"]
    );
    let swap = |token: Option<&str>, bytes: Vec<u8>| {
        let url = front.host.admin_url("/fleet/other/components/guest/swap");
        let request = front.client.post(url).body(bytes);
        send(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    };
    let version = guest("second").into_bytes();
    assert_eq!(
        refusal(&swap(None, version.clone()).await, 401, None),
        "send the member's admin token as `Authorization: Bearer TOKEN`"
    );
    let wrong = swap(Some("a-token-that-is-quite-wrong"), version.clone()).await;
    assert_eq!(refusal(&wrong, 401, None), "the admin token is wrong");
    let no_component = swap(Some(TOKEN), b"\0asm, or not".to_vec()).await;
    assert_eq!(no_component.status.as_u16(), 422);
    assert_eq!(no_component.json()["step"], "compile");
    assert_eq!(shop.answer("/x").await, "original");
    let swapped = swap(Some(TOKEN), version).await.expect(200);
    assert_eq!(swapped["generation"], 2);
    assert_eq!(shop.answer("/x").await, "second");
    let events = read(&front, "/events").await;
    assert_eq!(events["audit"][0]["fields"]["member"], "other", "{events}");
    let not_passed_on = "this path of another member can't be reached through the console";
    let (read_only, post_only) = (
        "this path answers GET, HEAD only",
        "this path answers POST only",
    );
    let nobody = "no member of the fleet is `nobody`";
    for (method, path, status, reason) in [
        (Method::GET, "/fleet/other/console", 404, not_passed_on),
        (
            Method::GET,
            "/fleet/other/fleet/x/status",
            404,
            not_passed_on,
        ),
        (Method::GET, "/fleet/nobody/status", 404, nobody),
        (Method::POST, "/fleet/other/status", 405, read_only),
        (Method::GET, "/fleet/other/reload", 405, post_only),
    ] {
        let request = front.client.request(method, front.host.admin_url(path));
        let answer = send(request.bearer_auth(TOKEN)).await;
        assert_eq!(refusal(&answer, status, None), reason, "{path}");
    }
    let elsewhere = front
        .client
        .post(front.host.admin_url("/fleet/other/reload"));
    let elsewhere = elsewhere
        .bearer_auth(TOKEN)
        .header("origin", "http://evil.example");
    assert_eq!(
        refusal(&send(elsewhere).await, 403, None),
        "web pages of other origins may not make changes"
    );

    // One that is gone is shown as such, with the reason.
    shop.host.kill();
    eventually("it is gone", async || {
        let fleet = read(&front, "/fleet").await;
        fleet["members"][0]["state"] == "gone" && fleet["members"][0]["reason"].is_string()
    })
    .await;
    let gone = send(
        front
            .client
            .get(front.host.admin_url("/fleet/other/status")),
    )
    .await;
    assert_eq!(gone.status.as_u16(), 502);
    assert!(
        gone.json()["detail"]
            .as_str()
            .unwrap()
            .starts_with("other at http://")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_says_what_would_become_of_it() {
    let (shop, _app) = guest_shop(&[]).await;
    shop.try_out("second", "?canary=50&for=1h").await;
    let trial = shop.component("guest").await["canary"].clone();
    assert_eq!(trial["verdict"], "too few", "{trial}");
    for _ in 0..100 {
        shop.answer("/x").await;
    }
    eventually("it would be promoted", async || {
        shop.component("guest").await["canary"]["verdict"] == "good"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_or_an_address_that_is_none_ends_the_start_with_code_2() {
    let store = empty_store().await;
    for wrong in [
        "host-1",
        "a/b=http://127.0.0.1:1",
        "a=https://127.0.0.1:1",
        "a=unix:/x",
    ] {
        let options = operated(&store).arg(format!("--console-peer={wrong}"));
        crate::support::refuses(&store, options, 2, &["--console-peer"]).await;
    }
}
