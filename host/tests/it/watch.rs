//! `--watch`: a component is swapped when its file changes, and the app reloaded when its manifest or a file of variables
//! does.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::operator::{
    GuestApp, bare_store, guest, guest_in_mode, guest_shop, missing_import, operated,
};
use crate::support::{Shop, eventually, wait_for_log};

async fn watching_shop() -> (Shop, GuestApp) {
    guest_shop(&["--watch"]).await
}

async fn served(shop: &Shop, version: &str) {
    eventually(&format!("`{version}` is served"), async || {
        shop.answer("/x").await == version
    })
    .await;
}

async fn greets(shop: &Shop, greeting: &str) {
    eventually(&format!("it says {greeting}"), async || {
        shop.answer("/greeting").await == greeting
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_is_swapped_in() {
    let (shop, app) = watching_shop().await;
    guest("second").write(&app.guest).unwrap();
    served(&shop, "second").await;
    // Written in place, as `cp` does.
    std::fs::write(&app.guest, guest("third").bytes()).unwrap();
    served(&shop, "third").await;
    assert_eq!(shop.generations("guest", "live").await, [3]);
    assert_eq!(
        shop.generations("other", "live").await,
        [1],
        "another was swapped too"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_leaves_the_old_version_until_a_good_one_comes() {
    let (shop, app) = watching_shop().await;
    for (number, bad) in [
        b"half a file".to_vec(),
        missing_import(),
        guest_in_mode("bad", "trap-on-probe"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&app.guest, bad).unwrap();
        let failed = async || {
            let mut attempts = 0.0;
            for step in ["compile", "link", "probe"] {
                attempts += shop.attempts("guest", step).await;
            }
            attempts
        };
        eventually("the file was tried", async || {
            failed().await >= (number + 1) as f64
        })
        .await;
        assert_eq!(shop.answer("/x").await, "original");
    }
    std::fs::remove_file(&app.guest).unwrap();
    guest("good").write(&app.guest).unwrap();
    served(&shop, "good").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_slowly_is_swapped_in_whole() {
    /// Shorter than the time between two looks, after which a file at rest counts as whole.
    const REST: Duration = Duration::from_millis(200);

    let (shop, app) = watching_shop().await;
    let mut round = 0;
    eventually("it is written without a rest", async || {
        round += 1;
        let version = format!("version-{round}");
        let before = shop.attempts("guest", "compile").await;
        let rest = write_slowly(&app.guest, &guest(&version).into_bytes()).await;
        served(&shop, &version).await;
        let tried = shop.attempts("guest", "compile").await - before;
        // On a busy machine the writer may rest.
        assert!(tried == 0.0 || rest >= REST, "half of it was tried");
        rest < REST
    })
    .await;
}

/// Writes a file over more time than one look takes, so that each of the looks at it finds another file. Returns the
/// longest time in which it stayed the same.
async fn write_slowly(path: &Path, bytes: &[u8]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut last = Instant::now();
    let mut file = std::fs::File::create(path).unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(15)) {
        let now = Instant::now();
        file.write_all(piece).unwrap();
        longest = longest.max(last.elapsed());
        last = now;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_changes_is_reloaded() {
    let (shop, app) = watching_shop().await;
    app.edit(
        r#"greeting = { default = "hello" }"#,
        r#"greeting = { default = "good day" }"#,
    );
    shop.wait_for_answer("/greeting", "good day").await;
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_waits_for_a_file_is_reloaded_when_it_comes() {
    let (shop, app) = watching_shop().await;
    let bytes = guest("second").into_bytes();
    std::fs::write(&app.guest, &bytes[..bytes.len() / 2]).unwrap();
    app.edit(
        r#"greeting = { default = "hello" }"#,
        r#"greeting = { default = "good day" }"#,
    );
    wait_for_log(&shop.host, "reload refused").await;
    assert_eq!(shop.answer("/greeting").await, "hello");
    std::fs::write(&app.guest, &bytes).unwrap();
    served(&shop, "second").await;
    shop.wait_for_answer("/greeting", "good day").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_the_app_does_not_have_yet_is_waited_for() {
    let (shop, app) = watching_shop().await;
    let newer = shop.store.folder().join("newer.wasm");
    app.edit("other.wasm", "newer.wasm");
    wait_for_log(&shop.host, "reload refused").await;
    guest("newer").write(&newer).unwrap();
    shop.wait_for_answer("/other/x", "newer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_one_component_does_not_keep_others_waiting() {
    let (shop, app) = watching_shop().await;
    let canary = "?canary=10&for=10m";
    let tried = guest("tried").into_bytes();
    shop.swap_so("guest", canary, tried).await.expect(200);
    guest("deployed").write(&app.guest).unwrap();
    let other = shop.store.folder().join("other.wasm");
    guest("newer").write(&other).unwrap();
    shop.wait_for_answer("/other/x", "newer").await;
    assert_eq!(shop.generations("guest", "canary").await, [2]);
    // Its own turn comes at the end of its trial.
    shop.operate("/components/guest/abort").await.expect(200);
    served(&shop, "deployed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_that_come_change_and_go_are_noticed() {
    let (shop, app) = watching_shop().await;
    let variables = app.manifest.with_file_name(".env");
    greets(&shop, "hello").await;
    std::fs::write(&variables, "SPIN_VARIABLE_GREETING=salut").unwrap();
    greets(&shop, "salut").await;
    let beside = app.manifest.with_file_name("new.env");
    std::fs::write(&beside, "SPIN_VARIABLE_GREETING=servus").unwrap();
    std::fs::rename(&beside, &variables).unwrap();
    greets(&shop, "servus").await;
    std::fs::remove_file(&variables).unwrap();
    greets(&shop, "hello").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_holds_a_variable_is_read_again_when_it_changes() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let secret = store.folder().join("greeting");
    std::fs::write(&secret, "salut\n").unwrap();
    let options = app
        .options(operated(&store))
        .arg("--watch")
        .arg("--variable-file")
        .arg(format!("greeting={}", secret.display()));
    let shop = Shop::on(store, options).await;
    greets(&shop, "salut").await;
    // As Kubernetes does it, and editors.
    let beside = secret.with_extension("new");
    std::fs::write(&beside, "servus\n").unwrap();
    std::fs::rename(&beside, &secret).unwrap();
    greets(&shop, "servus").await;
    std::fs::remove_file(&secret).unwrap();
    wait_for_log(&shop.host, "reload refused").await;
    assert_eq!(shop.answer("/greeting").await, "servus");
    std::fs::write(&secret, "good day\n").unwrap();
    greets(&shop, "good day").await;
}
