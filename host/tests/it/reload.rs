//! `spin.toml` is read again: all of it counts at once, or none of it.

use serde_json::json;

use crate::operator::{HELD, guest, guest_shop, operated, refusal};
use crate::support::{Shop, empty_store, eventually, send};

const HELLO: &str = r#"greeting = { default = "hello" }"#;

#[tokio::test(flavor = "multi_thread")]
async fn variables_routes_and_limits_change_together() {
    let (shop, app) = guest_shop(&[]).await;
    assert_eq!(shop.answer("/greeting").await, "hello");
    assert_eq!(shop.answer("/new/x").await, "original");
    app.edit(HELLO, r#"greeting = { default = "good day" }"#);
    app.edit(
        "route = \"/other/...\"\ncomponent = \"other\"",
        "route = \"/new/...\"\ncomponent = \"other\"",
    );
    app.edit("limits = {  }", "limits = { body_limit_bytes = 3 }");
    assert_eq!(
        shop.answer("/greeting").await,
        "hello",
        "it changed by itself"
    );

    let reloaded = shop.operate("/reload").await.expect(200);
    assert_eq!(reloaded["components"], json!(["guest", "other"]));
    assert_eq!(reloaded["routes"], 2);
    assert_eq!(shop.answer("/greeting").await, "good day");
    assert_eq!(shop.answer("/new/x").await, "other");
    assert_eq!(shop.answer("/other/x").await, "original");
    let request = shop.request(reqwest::Method::POST, "/x").body("four");
    assert_eq!(
        send(request).await.problem(413),
        "the request body is larger than 3 bytes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_with_a_mistake_changes_nothing() {
    let (shop, app) = guest_shop(&[]).await;
    let text = std::fs::read_to_string(&app.manifest).unwrap();
    for (from, to, reason) in [
        ("[application]", "[application", "TOML"),
        ("component = \"other\"", "component = \"nobody\"", "nobody"),
        ("{{ greeting }}", "{{ gretting }}", "gretting"),
        (
            "limits = {  }",
            "limits = { memory_limit_mib = 0 }",
            "0 is not",
        ),
        ("path = \"/probe\"", "path = \"probe\"", "probe"),
        (
            "limits = {  }",
            "variable_values = { greeting = [\"hello\"] }",
            "`bye` is not allowed",
        ),
        ("other.wasm", "missing.wasm", "missing.wasm"),
    ] {
        // The part before the mistake is good, and must not count either.
        std::fs::write(&app.manifest, text.replace("\"hello\"", "\"bye\"")).unwrap();
        app.edit(from, to);
        let said = refusal_of_reload(&shop).await;
        assert!(said.contains(reason), "no `{reason}` in: {said}");
        assert_eq!(shop.answer("/greeting").await, "hello");
        assert_eq!(shop.answer("/other/x").await, "other");
        assert_eq!(shop.answer("/x").await, "original");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_fails_keeps_all_others_as_they_are() {
    let (shop, app) = guest_shop(&[]).await;
    app.edit(HELLO, r#"greeting = { default = "good day" }"#);
    let other = shop.store.folder().join("other.wasm");
    guest("other")
        .mode("trap-on-probe")
        .unwrap()
        .write(&other)
        .unwrap();
    // `other` has no probe of its own, so it is asked for its first route, and traps.
    refusal_of_reload(&shop).await;
    assert_eq!(shop.answer("/greeting").await, "hello");
    assert_eq!(shop.answer("/other/x").await, "other");

    guest("newer").write(&other).unwrap();
    shop.operate("/reload").await.expect(200);
    assert_eq!(shop.answer("/greeting").await, "good day");
    assert_eq!(shop.answer("/other/x").await, "newer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_was_swapped_in() {
    let (shop, app) = guest_shop(&[]).await;
    shop.swap_in("second").await;
    app.edit(HELLO, r#"greeting = { default = "good day" }"#);
    shop.operate("/reload").await.expect(200);
    assert_eq!(shop.answer("/x").await, "second");
    assert_eq!(shop.answer("/greeting").await, "good day");
    // A file that was deployed since is newer than the swap.
    guest("deployed").write(&app.guest).unwrap();
    shop.operate("/reload").await.expect(200);
    assert_eq!(shop.answer("/x").await, "deployed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_was_swapped_in_over_a_file_that_nobody_loaded() {
    let (shop, app) = guest_shop(&[]).await;
    guest("deployed").write(&app.guest).unwrap();
    shop.swap_in("second").await;
    app.edit(HELLO, r#"greeting = { default = "good day" }"#);
    shop.operate("/reload").await.expect(200);
    assert_eq!(shop.answer("/greeting").await, "good day");
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_can_not_be_noted_is_undone_whole() {
    let (shop, app) = guest_shop(&[]).await;
    let folder = shop.store.folder();
    shop.swap_in("second").await;
    let record = || std::fs::read_to_string(folder.join("state/guest.json")).unwrap();
    let before = record();
    guest("deployed").write(&app.guest).unwrap();
    guest("newer").write(&folder.join("other.wasm")).unwrap();
    // The record of `other` is written after that of `guest`, and can't be.
    std::fs::create_dir(folder.join("state/other.partial")).unwrap();
    refusal(&shop.operate("/reload").await, 422, Some("persist"));
    assert_eq!(record(), before);
    assert_eq!(shop.answer("/x").await, "second");
    assert_eq!(shop.answer("/other/x").await, "other");
    // The new one of `other` never served, and is gone; `guest` has lost its first one too.
    shop.wait_freed("other", 1).await;
    shop.wait_freed("guest", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_version_that_fails_with_other_settings_is_not_rolled_back_to() {
    let (shop, app) = guest_shop(&[]).await;
    shop.swap_in("second").await;
    app.edit(
        r#"probe = { path = "/probe", status = 200 }"#,
        r#"probe = { path = "/probe", status = 200, contains = "second" }"#,
    );
    shop.operate("/reload").await.expect(200);
    let back = shop.operate("/components/guest/rollback").await;
    refusal(&back, 422, Some("probe"));
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_may_come_and_go() {
    let (shop, app) = guest_shop(&[]).await;
    let text = std::fs::read_to_string(&app.manifest).unwrap();
    let without = text.replace(
        "route = \"/other/...\"\ncomponent = \"other\"",
        "route = \"/other/...\"\ncomponent = \"guest\"",
    );
    let end = without.find("[component.other]").unwrap();
    std::fs::write(&app.manifest, &without[..end]).unwrap();
    let reloaded = shop.operate("/reload").await.expect(200);
    assert_eq!(reloaded["components"], json!(["guest"]));
    assert_eq!(shop.answer("/other/x").await, "original");
    refusal(
        &shop.swap("other", guest("x").into_bytes()).await,
        404,
        None,
    );
    shop.wait_freed("other", 1).await;
    let info = "store_component_info{component=\"other\"";
    assert!(!shop.scrape().await.contains(info), "it is said to serve");

    std::fs::write(&app.manifest, text).unwrap();
    shop.operate("/reload").await.expect(200);
    assert_eq!(shop.answer("/other/x").await, "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_outlives_a_reload() {
    let (shop, app) = guest_shop(&[]).await;
    let request = shop.request(reqwest::Method::GET, HELD);
    let held = tokio::spawn(send(request));
    shop.wait_in_flight("guest", 1).await;
    app.edit(HELLO, r#"greeting = { default = "good day" }"#);
    shop.operate("/reload").await.expect(200);
    assert_eq!(shop.answer("/greeting").await, "good day");
    assert_eq!(held.await.unwrap().text, "original");
    shop.wait_freed("guest", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_goes_on_over_a_reload() {
    let shop = Shop::operated().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 100).await);
    let orders = async {
        for _ in 0..20 {
            shop.order(user, product, 1).await.expect(201);
        }
    };
    let reloads = async {
        for _ in 0..3 {
            shop.operate("/reload").await.expect(200);
        }
    };
    tokio::join!(orders, reloads);
    assert_eq!(shop.stock(product).await, 80);
    // The refresh of the reports is started anew, and only once.
    eventually("the report is refreshed", async || {
        let report = shop.get("/orders/reports/best-sellers").await.expect(200);
        report == json!([{"product_id": product, "quantity_sold": 20}])
    })
    .await;
    shop.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shorter_interval_counts_at_once() {
    let store = empty_store().await;
    let mut options = operated(&store);
    let text = std::fs::read_to_string(&options.app).unwrap();
    let folder = options.app.parent().unwrap().display().to_string();
    let text = text.replace("\nsource = \"", &format!("\nsource = \"{folder}/"));
    let interval = "report_refresh_seconds = \"{{ report_refresh_seconds }}\"";
    assert!(text.contains(interval));
    options.app = store.folder().join("spin.toml");
    let write = |seconds: &str| {
        let own = format!("report_refresh_seconds = \"{seconds}\"");
        std::fs::write(&options.app, text.replace(interval, &own)).unwrap();
    };
    write("3600");
    let shop = Shop::on(store, options.clone()).await;
    eventually("the first refresh is done", async || {
        shop.metric("store_refreshes_total{outcome=\"rebuilt\"}")
            .await
            == 1.0
    })
    .await;
    write("1");
    shop.operate("/reload").await.expect(200);
    eventually("refreshes follow each other", async || {
        shop.metric("store_refreshes_total{outcome=\"unchanged\"}")
            .await
            >= 2.0
    })
    .await;
}

/// Asks for a reload that must fail, and gives the reason.
async fn refusal_of_reload(shop: &Shop) -> String {
    let answer = shop.operate("/reload").await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["error"], body["detail"]);
    body["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_told_scheme_and_authority() {
    let (shop, _app) = guest_shop(&[]).await;
    assert_eq!(shop.answer("/target?a").await, shop.host.url("/target?a"));
    let client = reqwest::Client::builder().http2_prior_knowledge();
    let request = client.build().unwrap().get(shop.host.url("/target"));
    assert_eq!(send(request).await.text, shop.host.url("/target"));
}
