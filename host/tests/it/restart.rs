//! What was accepted is served after a restart too; and the way back from it.

use testbed::{DataStore, HostOptions};

use crate::operator::{
    GuestApp, HELD, bare_store, guest, guest_in_mode, operated, refusal, with_token,
};
use crate::support::{Shop, eventually, wait_for_log};

async fn start() -> (Shop, GuestApp, HostOptions) {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = app.options(operated(&store));
    let shop = Shop::on(store, options.clone()).await;
    (shop, app, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_version_is_served_after_a_restart() {
    let (shop, _app, options) = start().await;
    let swapped = shop.swap_in("second").await;
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "second");
    assert_eq!(shop.answer("/other/x").await, "other");
    let component = shop.component("guest").await;
    let live = &component["generations"][0];
    assert_eq!(live["digest"], swapped["digest"]);
    assert_eq!(live["source"], "upload");
    // And again: starting used nothing up.
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_version_survives_a_crash() {
    let (shop, _app, options) = start().await;
    shop.swap_in("second").await;
    shop.host.kill();
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_version_is_forgotten_at_a_restart() {
    let (shop, _app, options) = start().await;
    let bytes = guest("second").into_bytes();
    let swapped = shop.swap_so("guest", "?ephemeral=true", bytes).await;
    assert_eq!(swapped.expect(200)["persisted"], false);
    assert_eq!(shop.answer("/x").await, "second");
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_version_is_not_served_after_a_restart() {
    let (shop, _app, options) = start().await;
    shop.swap_in("second").await;
    let bad = guest_in_mode("bad", "trap-on-probe");
    refusal(&shop.swap("guest", bad).await, 422, Some("probe"));
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_deployed_after_a_swap_wins_at_a_restart() {
    let (shop, app, options) = start().await;
    shop.swap_in("swapped").await;
    guest("deployed").write(&app.guest).unwrap();
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "deployed");
    wait_for_log(&shop.host, "The file of `guest` has changed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_of_an_accepted_version_is_not_served() {
    let (shop, _app, options) = start().await;
    let swapped = shop.swap_in("second").await;
    let digest = swapped["digest"].as_str().unwrap();
    let kept = shop
        .store
        .folder()
        .join(format!("state/guest/{digest}.wasm"));
    let damaged = guest("altered").into_bytes();
    std::fs::write(&kept, damaged).unwrap();
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_serves_the_version_before() {
    let (shop, _app, _options) = start().await;
    for version in ["second", "third"] {
        shop.swap_in(version).await;
    }
    let back = shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(
        (&back["generation"], &back["replaced"]),
        (&2.into(), &3.into())
    );
    assert_eq!(shop.answer("/x").await, "second");
    assert_eq!(shop.generations("guest", "live").await, [2]);
    shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(shop.answer("/x").await, "original");
    let nothing = shop.operate("/components/guest/rollback").await;
    refusal(&nothing, 409, None);
    // The way forward is by name.
    let third = "/components/guest/rollback?generation=3";
    shop.operate(third).await.expect(200);
    assert_eq!(shop.answer("/x").await, "third");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_is_kept_over_a_restart() {
    let (shop, _app, options) = start().await;
    for version in ["second", "third"] {
        shop.swap_in(version).await;
    }
    shop.operate("/components/guest/rollback").await.expect(200);
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "second");

    let (shop, _app, options) = start().await;
    shop.swap_in("second").await;
    shop.operate("/components/guest/rollback").await.expect(200);
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "original", "the swap came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_over_a_deployed_file_is_kept_over_a_restart() {
    let (shop, app, options) = start().await;
    guest("deployed").write(&app.guest).unwrap();
    shop.operate("/reload").await.expect(200);
    assert_eq!(shop.answer("/x").await, "deployed");
    let back = shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(back["persisted"], true);
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "original");
    assert_eq!(shop.generations("guest", "live").await, [1]);
    // The file that was undone is no newer than the rollback, also for a reload.
    shop.operate("/reload").await.expect(200);
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_an_ephemeral_version_does_not_bring_back_what_it_undid() {
    let (shop, _app, options) = start().await;
    let ephemeral = guest("ephemeral").into_bytes();
    let swapped = shop.swap_so("guest", "?ephemeral=true", ephemeral).await;
    swapped.expect(200);
    shop.swap_in("bad").await;
    let back = shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(back["persisted"], false);
    assert_eq!(shop.answer("/x").await, "ephemeral");
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_served_before_a_restart_can_be_rolled_back_to() {
    let (shop, app, options) = start().await;
    for version in ["second", "third"] {
        shop.swap_in(version).await;
    }
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.generations("guest", "live").await, [3]);
    shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(shop.answer("/x").await, "second");
    shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(shop.answer("/x").await, "original");

    // A file that was deployed while the host was down is new, and can be undone too.
    guest("deployed").write(&app.guest).unwrap();
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "deployed");
    assert_eq!(shop.generations("guest", "live").await, [4]);
    // What served last, not the newer two that were taken back.
    shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_may_write_nowhere_forgets_swaps() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = with_token(crate::support::options()).args(&["--state-folder", "none"]);
    let options = app.options(options);
    let shop = Shop::on(store, options.clone()).await;
    let swapped = shop.swap("guest", guest("second").into_bytes()).await;
    assert_eq!(swapped.expect(200)["persisted"], false);
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_way_back_to_what_is_not_kept() {
    let (shop, _app, _options) = start().await;
    refusal(&shop.operate("/components/guest/rollback").await, 409, None);
    for round in 2..=6 {
        let bytes = guest(&round.to_string()).into_bytes();
        shop.swap("guest", bytes).await.expect(200);
    }
    for number in ["1", "2", "7"] {
        let path = format!("/components/guest/rollback?generation={number}");
        refusal(&shop.operate(&path).await, 409, None);
    }
    assert_eq!(shop.answer("/x").await, "6");
    let path = "/components/guest/rollback?generation=3";
    shop.operate(path).await.expect(200);
    assert_eq!(shop.answer("/x").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_outlives_a_rollback() {
    let (shop, _app, _options) = start().await;
    shop.swap_in("second").await;
    let request = shop.request(reqwest::Method::GET, HELD);
    let held = tokio::spawn(crate::support::send(request));
    eventually("the request is in flight", async || {
        let series = "store_generation_requests_in_flight{component=\"guest\",generation=\"2\"}";
        shop.metric(series).await == 1.0
    })
    .await;
    shop.operate("/components/guest/rollback").await.expect(200);
    assert_eq!(shop.answer("/x").await, "original");
    assert_eq!(held.await.unwrap().text, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_folder_belongs_to_one_host() {
    let (shop, _app, options) = start().await;
    let second: &DataStore = &shop.store;
    let refused = second.host(options).await.unwrap_err();
    assert!(format!("{refused:#}").contains("state"), "{refused:#}");
    assert_eq!(shop.answer("/x").await, "original");
}
