//! A component is replaced while it serves, and no request is the worse for it.

use reqwest::Method;
use testbed::Guest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::operator::{
    HELD, TOKEN, content_digest, digest, guest, guest_in_mode, guest_shop, missing_import, refusal,
};
use crate::support::{Shop, eventually, order_body, send, try_send};

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_serves_the_new_version_and_says_what_was_done() {
    let (shop, _app) = guest_shop(&[]).await;
    assert_eq!(shop.answer("/x").await, "original");
    let bytes = guest("second").into_bytes();
    let swapped = shop.swap("guest", bytes.clone()).await.expect(200);

    assert_eq!(shop.answer("/x").await, "second");
    assert_eq!(swapped["component"], "guest");
    assert_eq!(swapped["digest"], digest(&bytes));
    assert_eq!(
        (&swapped["generation"], &swapped["replaced"]),
        (&2.into(), &1.into())
    );
    assert_eq!(swapped["canary"], serde_json::Value::Null);
    assert_eq!(swapped["probe"]["path"], "/probe");
    assert_eq!(swapped["probe"]["status"], 200);
    for time in [
        &swapped["compile_ms"],
        &swapped["switch_us"],
        &swapped["probe"]["elapsed_ms"],
    ] {
        assert!(time.as_f64().unwrap() >= 0.0, "{swapped}");
    }
    assert_eq!(shop.attempts("guest", "swapped").await, 1.0);
    assert_eq!(
        shop.answer("/other/x").await,
        "other",
        "another component changed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_ends_on_the_version_it_started_on() {
    let (shop, _app) = guest_shop(&[]).await;
    let held = tokio::spawn(send(shop.request(Method::GET, HELD)));
    eventually("the request is in flight", async || {
        shop.component("guest").await["generations"][0]["in_flight"] == 1
    })
    .await;
    shop.swap_in("second").await;
    assert_eq!(shop.answer("/x").await, "second");
    assert_eq!(shop.generations("guest", "draining").await, [1]);
    assert_eq!(shop.freed("guest").await, 0.0, "freed under a request");

    assert_eq!(held.await.unwrap().text, "original");
    shop.wait_freed("guest", 1).await;
    assert_eq!(shop.generations("guest", "draining").await, [0_u64; 0]);
    assert_eq!(shop.generations("guest", "kept").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_on_while_their_component_is_swapped() {
    let shop = Shop::operated().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 1000).await);
    let component = Guest::built("orders").unwrap();
    // One swap beside every ten orders, and the next ten only when it is done.
    for round in 0..5 {
        let version = component.clone().labelled(&round.to_string()).into_bytes();
        let orders = async {
            for _ in 0..10 {
                shop.order(user, product, 1).await.expect(201);
            }
        };
        let (swapped, ()) = tokio::join!(shop.swap("orders", version), orders);
        swapped.expect(200);
    }
    shop.wait_freed("orders", 5).await;
    assert_eq!(shop.stock(product).await, 950);
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_keeps_the_database_connections() {
    let shop = Shop::operated().await;
    let user = shop.user(1).await;
    let opened = "store_mysql_connections_opened_total{component=\"orders\"}";
    let before = shop.metric(opened).await;
    assert!(before > 0.0);
    let version = Guest::built("orders").unwrap().labelled("again");
    shop.swap("orders", version.into_bytes()).await.expect(200);
    for _ in 0..5 {
        shop.get(&format!("/users/{user}")).await.expect(200);
    }
    assert_eq!(shop.metric(opened).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refresh_follows_a_swap() {
    let shop = Shop::operated().await;
    let version = Guest::built("reports").unwrap().labelled("again");
    shop.swap("reports", version.into_bytes()).await.expect(200);
    // Freed although the refresh called it: the next one is the new version's.
    shop.wait_freed("reports", 1).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 3).await.expect(201);
    eventually("the report is refreshed", async || {
        let report = shop.get("/orders/reports/best-sellers").await.expect(200);
        report == serde_json::json!([{"product_id": product, "quantity_sold": 3}])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_is_refused_at_its_step_and_changes_nothing() {
    let (shop, _app) = guest_shop(&["--component-limit-mib", "1"]).await;
    let core_module = wat::parse_str("(module)").unwrap();
    let no_handler = wat::parse_str("(component)").unwrap();
    let truncated = {
        let bytes = guest("cut").into_bytes();
        bytes[..bytes.len() / 2].to_vec()
    };
    for (bytes, status, step, reason) in [
        (
            b"no component at all".to_vec(),
            422,
            "compile",
            "not a WebAssembly component",
        ),
        (Vec::new(), 422, "compile", "not a WebAssembly component"),
        (core_module, 422, "compile", "core module"),
        (truncated, 422, "compile", "does not compile"),
        (missing_import(), 422, "link", "no-such-thing"),
        (no_handler, 422, "link", "wasi:http/handler"),
        (
            guest_in_mode("bad", "trap-on-probe"),
            422,
            "probe",
            "GET /probe",
        ),
        (
            guest_in_mode("bad", "loop-on-probe"),
            422,
            "probe",
            "GET /probe",
        ),
        (
            vec![0; 1024 * 1024 + 1],
            413,
            "receive",
            "--component-limit-mib",
        ),
    ] {
        let answer = shop.swap("guest", bytes).await;
        let said = refusal(&answer, status, Some(step));
        assert!(said.contains(reason), "no `{reason}` in: {said}");
        assert_eq!(shop.answer("/x").await, "original");
    }
    let component = shop.component("guest").await;
    assert_eq!(
        component["generations"].as_array().unwrap().len(),
        1,
        "{component}"
    );
    assert_eq!(component["generations"][0]["generation"], 1);
    for (step, times) in [
        ("compile", 4.0),
        ("link", 2.0),
        ("probe", 2.0),
        ("receive", 1.0),
    ] {
        assert_eq!(shop.attempts("guest", step).await, times, "{step}");
    }
    assert_eq!(shop.attempts("guest", "swapped").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unexpected_answer_to_the_probe_is_refused() {
    let (shop, app) = guest_shop(&[]).await;
    let expected = r#"probe = { path = "/probe", status = 200, contains = "second" }"#;
    app.edit(r#"probe = { path = "/probe", status = 200 }"#, expected);
    let said = refusal(&shop.operate("/reload").await, 422, None);
    assert!(said.contains("`second`"), "{said}");
    shop.swap_in("second").await;
    shop.operate("/reload").await.expect(200);
    let answer = shop.swap("guest", guest("third").into_bytes()).await;
    let said = refusal(&answer, 422, Some("probe"));
    assert!(said.contains("`second`"), "{said}");
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_that_does_not_match_is_refused() {
    let (shop, _app) = guest_shop(&[]).await;
    let bytes = guest("second").into_bytes();
    let upload = |digest: String| {
        let request = shop.admin(Method::POST, "/components/guest/swap");
        send(request.header("content-digest", digest).body(bytes.clone()))
    };
    let other = upload(content_digest(b"something else")).await;
    refusal(&other, 422, Some("digest"));
    let malformed = upload("sha-256=:no base64:".to_owned()).await;
    refusal(&malformed, 422, Some("digest"));
    assert_eq!(shop.answer("/x").await, "original");
    upload(content_digest(&bytes)).await.expect(200);
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_changes_nothing() {
    let (shop, _app) = guest_shop(&[]).await;
    // By hand: a client library that fails may never have sent anything.
    let address = shop.host.admin_url("").replace("http://", "");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /components/guest/swap HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 100000\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let half = &guest("second").into_bytes()[..1000];
    connection.write_all(half).await.unwrap();
    drop(connection);
    eventually("the host has noticed", async || {
        shop.attempts("guest", "receive").await == 1.0
    })
    .await;
    assert_eq!(shop.answer("/x").await, "original");
    // Nothing is held by the broken one.
    shop.swap_in("second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_component_or_action_is_404() {
    let (shop, _app) = guest_shop(&[]).await;
    for answer in [
        shop.swap("nobody", Vec::new()).await,
        shop.operate("/components/nobody/rollback").await,
    ] {
        assert_eq!(
            refusal(&answer, 404, None),
            "this app has no component `nobody`"
        );
    }
    let unknown = shop.operate("/components/guest/explode").await;
    let said = refusal(&unknown, 404, None);
    assert!(said.starts_with("the paths are /console, "), "{said}");
    let get = send(shop.admin(Method::GET, "/components/guest/swap")).await;
    assert_eq!(refusal(&get, 405, None), "this path answers POST only");
    assert_eq!(get.headers["allow"], "POST");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_never_returns_does_not_hold_its_generation() {
    let (shop, _app) = guest_shop(&["--swap-drain-timeout", "300ms"]).await;
    let waiting = tokio::spawn(try_send(shop.request(Method::GET, "/sleep?600000")));
    let looping = tokio::spawn(try_send(shop.request(Method::GET, "/loop")));
    eventually("both are in flight", async || {
        shop.component("guest").await["generations"][0]["in_flight"] == 2
    })
    .await;
    shop.swap_in("second").await;
    shop.wait_freed("guest", 1).await;
    for cut in [waiting, looping] {
        let answer = cut.await.unwrap().unwrap();
        assert!(answer.status.is_server_error(), "{answer:?}");
    }
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_generation_but_those_kept_is_freed() {
    let (shop, _app) = guest_shop(&["--keep-generations", "2"]).await;
    for round in 2..=8 {
        let version = round.to_string();
        shop.swap_in(&version).await;
        assert_eq!(shop.answer("/x").await, version);
    }
    // Those kept hold compiled code, but no instances: they are freed in this sense too.
    shop.wait_freed("guest", 7).await;
    assert_eq!(shop.generations("guest", "live").await, [8]);
    let mut kept = shop.generations("guest", "kept").await;
    kept.sort_unstable();
    assert_eq!(kept, [6, 7]);
    for (state, count) in [
        ("live", 1.0),
        ("kept", 2.0),
        ("draining", 0.0),
        ("canary", 0.0),
    ] {
        let labels = format!("{{component=\"guest\",state=\"{state}\"}}");
        let series = format!("store_component_generations{labels}");
        assert_eq!(shop.metric(&series).await, count, "{series}");
    }
    eventually("only the live one has instances", async || {
        shop.metric("store_instances{component=\"guest\"}").await <= 1.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_digest_that_serves_is_in_the_metrics_and_no_other() {
    let (shop, _app) = guest_shop(&[]).await;
    let second = guest("second").into_bytes();
    shop.swap("guest", second.clone()).await.expect(200);
    let text = shop.scrape().await;
    let infos: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("store_component_info{component=\"guest\""))
        .collect();
    assert_eq!(infos.len(), 1, "{infos:?}");
    assert!(infos[0].contains(&digest(&second)), "{infos:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_swaps_at_once_end_one_after_the_other() {
    let shop = Shop::operated().await;
    let version = |label: &str| Guest::built("orders").unwrap().labelled(label).into_bytes();
    let (first, second) = tokio::join!(
        shop.swap("orders", version("first")),
        shop.swap("orders", version("second"))
    );
    // One of them wins; the other may have come after its end, or is told to come back.
    let outcomes = [first, second];
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.iter().partition(|one| one.status == 200);
    assert!(!won.is_empty(), "{lost:?}");
    for answer in lost {
        let reason = refusal(answer, 409, None);
        assert!(reason.contains("is under way"), "{reason}");
    }
    assert_eq!(shop.generations("orders", "live").await.len(), 1);
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    let request = shop.request(Method::POST, "/orders");
    send(request.json(&order_body(user, product, 1)))
        .await
        .expect(201);
}
