//! Who may change what serves, what they may change it to, and the record of every attempt.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minisign::KeyPair;
use reqwest::Method;
use serde_json::Value;
use testbed::{DataStore, Guest, Host, HostOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::operator::{
    GuestApp, TOKEN, bare_store, command_line, digest, guest, guest_in_mode, guest_shop, operated,
    refusal, token_file, with_token,
};
use crate::support::{Answer, PATIENCE, Shop, eventually, options, send, wait_for_log};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_needs_the_token_and_a_look_does_not() {
    let (shop, _app) = guest_shop(&[]).await;
    let bare = |method: Method, path: &str| shop.client.request(method, shop.host.admin_url(path));
    for path in [
        "/components/guest/swap",
        "/components/guest/rollback",
        "/components/guest/promote",
        "/components/guest/abort",
        "/reload",
    ] {
        let body = guest("stolen").into_bytes();
        let without = send(bare(Method::POST, path).body(body.clone())).await;
        assert!(
            without.headers.contains_key("www-authenticate"),
            "{without:?}"
        );
        refusal(&without, 401, None);
        for wrong in ["a-token-that-only-these-tests-know.", "a-token", "", "é"] {
            let request = bare(Method::POST, path).body(body.clone());
            let header = format!("Bearer {wrong}").into_bytes();
            refusal(
                &send(request.header("authorization", header)).await,
                401,
                None,
            );
        }
        let basic = bare(Method::POST, path).basic_auth(TOKEN, Some(TOKEN));
        refusal(&send(basic).await, 401, None);
    }
    assert_eq!(shop.answer("/x").await, "original");
    for path in ["/status", "/metrics", "/healthz"] {
        assert_eq!(send(bare(Method::GET, path)).await.status, 200, "{path}");
    }
    assert!(!shop.host.log().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nobody_changes_anything() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = app.options(options());
    let shop = Shop::on(store, options).await;
    let said = refusal(
        &shop.swap("guest", guest("x").into_bytes()).await,
        401,
        None,
    );
    assert!(said.contains("--admin-token-file"), "{said}");
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_in_a_file() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = app.options(options().arg("--admin-token-file").arg(token_file(&store)));
    let shop = Shop::on(store, options).await;
    shop.swap_in("second").await;
    assert_eq!(shop.answer("/x").await, "second");
}

async fn end_of(store: &DataStore, options: HostOptions) -> (Option<i32>, String) {
    let placed = store.placed(options);
    let addresses = store.addresses();
    let (status, said) = Host::run_to_end(&placed, addresses, PATIENCE)
        .await
        .unwrap();
    (status.code(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_listener_beyond_loopback_needs_a_token() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let mut public = app.options(options());
    public.admin_listen = "0.0.0.0:0".to_owned();
    let (code, said) = end_of(&store, public.clone()).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("--admin-listen") && said.contains("token"),
        "{said}"
    );

    let shop = Shop::on(store, with_token(public)).await;
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_token_is_none() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = app.options(options().env("STORE_HOST_ADMIN_TOKEN", ""));
    let shop = Shop::on(store, options).await;
    refusal(&shop.operate("/reload").await, 401, None);
}

/// What a host has logged from its start to its end, with a token's file of this mode.
async fn log_with_token_mode(mode: u32) -> String {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let token = token_file(&store);
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).unwrap();
    let options = app.options(options().arg("--admin-token-file").arg(token));
    let shop = Shop::on(store, options).await;
    shop.host.sigterm().unwrap();
    shop.host.wait_exit(PATIENCE).await.unwrap();
    shop.host.log()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_everybody_can_read_is_a_warning() {
    let open = log_with_token_mode(0o644).await;
    assert!(open.contains("open to all users"), "{open}");
    let shared = log_with_token_mode(0o640).await;
    assert!(!shared.contains("open to all users"), "{shared}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_can_be_guessed_is_refused() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = app.options(options().env("STORE_HOST_ADMIN_TOKEN", "secret"));
    let (code, said) = end_of(&store, options).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_is_for_its_owner_alone() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    // A socket's path has 107 bytes at most, and a folder of tests may be deep.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let admin = format!("unix:{}", socket.display());
    let mut options = app.options(operated(&store));
    options.admin_listen = admin.clone();
    let shop = Shop::on(store, options).await;
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");

    let token = token_file(&shop.store);
    let file = shop.store.folder().join("second.wasm");
    guest("second").write(&file).unwrap();
    let file = file.display().to_string();
    let swap = ["swap", "guest", &file, "--admin", &admin];
    let without = command_line(&swap).await;
    assert_eq!(without.status.code(), Some(1), "a socket is no token");
    let with = [&swap[..], &["--admin-token-file", &token]].concat();
    let swapped = command_line(&with).await;
    assert!(swapped.status.success(), "{swapped:?}");
    assert_eq!(shop.answer("/x").await, "second");

    shop.host.sigterm().unwrap();
    shop.host.wait_exit(PATIENCE).await.unwrap();
    assert!(!socket.exists(), "the socket was left behind");
}

/// Signs as `minisign -S` does.
fn sign(keys: &KeyPair, bytes: &[u8]) -> String {
    minisign::sign(Some(&keys.pk), &keys.sk, bytes, None, None)
        .unwrap()
        .to_string()
}

fn sign_file(keys: &KeyPair, path: &Path) {
    let signature = sign(keys, &std::fs::read(path).unwrap());
    std::fs::write(path.with_extension("wasm.minisig"), signature).unwrap();
}

/// A host that takes only what `keys` has signed.
async fn strict_shop(keys: &KeyPair, flags: &[&str]) -> (Shop, GuestApp, HostOptions) {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    sign_file(keys, &app.guest);
    sign_file(keys, &store.folder().join("other.wasm"));
    let key = store.folder().join("key.pub");
    std::fs::write(&key, keys.pk.to_box().unwrap().to_string()).unwrap();
    let options = operated(&store)
        .arg("--require-signature")
        .arg(key.display().to_string());
    let options = app.options(options.args(flags));
    let shop = Shop::on(store, options.clone()).await;
    (shop, app, options)
}

async fn swap_signed(shop: &Shop, bytes: Vec<u8>, signature: &str) -> Answer {
    let request = shop.admin(Method::POST, "/components/guest/swap");
    let header = BASE64_STANDARD.encode(signature);
    send(request.header("store-signature", header).body(bytes)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_signed_version_is_accepted_when_signatures_are_required() {
    let keys = KeyPair::generate_unencrypted_keypair().unwrap();
    let strangers = KeyPair::generate_unencrypted_keypair().unwrap();
    let (shop, _app, _options) = strict_shop(&keys, &[]).await;
    let bytes = guest("second").into_bytes();

    let missing = shop.swap("guest", bytes.clone()).await;
    refusal(&missing, 422, Some("signature"));
    let stranger = swap_signed(&shop, bytes.clone(), &sign(&strangers, &bytes)).await;
    refusal(&stranger, 422, Some("signature"));
    let of_another_file = sign(&keys, guest("third").bytes());
    let other = swap_signed(&shop, bytes.clone(), &of_another_file).await;
    refusal(&other, 422, Some("signature"));
    let nonsense = swap_signed(&shop, bytes.clone(), "no signature").await;
    refusal(&nonsense, 422, Some("signature"));
    assert_eq!(shop.answer("/x").await, "original");
    assert_eq!(shop.attempts("guest", "signature").await, 4.0);

    let signature = sign(&keys, &bytes);
    swap_signed(&shop, bytes, &signature).await.expect(200);
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_and_accepted_is_served_after_a_restart() {
    let keys = KeyPair::generate_unencrypted_keypair().unwrap();
    let (shop, _app, options) = strict_shop(&keys, &[]).await;
    let bytes = guest("second").into_bytes();
    let signature = sign(&keys, &bytes);
    swap_signed(&shop, bytes, &signature).await.expect(200);
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_with_an_unsigned_file_does_not_start_when_signatures_are_required() {
    let keys = KeyPair::generate_unencrypted_keypair().unwrap();
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    sign_file(&keys, &app.guest);
    let options = operated(&store).args(&["--require-signature", &keys.pk.to_base64()]);
    let options = app.options(options);
    let (code, said) = end_of(&store, options).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("other.wasm") && said.contains("signature"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_comes_after_its_file_is_noticed() {
    let keys = KeyPair::generate_unencrypted_keypair().unwrap();
    let (shop, app, _options) = strict_shop(&keys, &["--watch"]).await;
    guest("second").write(&app.guest).unwrap();
    eventually("the old signature is found wrong", async || {
        shop.attempts("guest", "signature").await >= 1.0
    })
    .await;
    sign_file(&keys, &app.guest);
    shop.wait_for_answer("/x", "second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_sends_the_signature_beside_the_file() {
    let keys = KeyPair::generate_unencrypted_keypair().unwrap();
    let (shop, _app, _options) = strict_shop(&keys, &[]).await;
    let file = shop.store.folder().join("second.wasm");
    guest("second").write(&file).unwrap();
    let path = file.display().to_string();
    let swap = ["swap", "guest", &path];
    let unsigned = shop.typed(&swap).await;
    let said = String::from_utf8_lossy(&unsigned.stderr);
    assert!(said.contains("step `signature`"), "{said}");
    sign_file(&keys, &file);
    let signed = shop.typed(&swap).await;
    assert!(signed.status.success(), "{signed:?}");
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_is_one_line_of_the_audit_log() {
    // Whatever else is logged.
    let (shop, _app) = guest_shop(&["--log-format", "json", "--log", "error"]).await;
    let second = guest("second").into_bytes();
    let bad = guest_in_mode("bad", "trap-on-probe");
    let path = "/components/guest/swap";
    let unasked = shop
        .client
        .post(shop.host.admin_url(path))
        .body(second.clone());
    refusal(&send(unasked).await, 401, None);
    refusal(&shop.swap("guest", bad.clone()).await, 422, Some("probe"));
    let mistyped = shop.swap_so("guest", "?canary=0", Vec::new()).await;
    refusal(&mistyped, 400, None);
    shop.swap("guest", second.clone()).await.expect(200);
    shop.operate("/components/guest/rollback").await.expect(200);
    refusal(&shop.operate("/components/guest/abort").await, 409, None);
    shop.operate("/reload").await.expect(200);

    eventually("the lines are written", async || audit(&shop).len() >= 7).await;
    let lines = audit(&shop);
    let told: Vec<[&str; 3]> = lines
        .iter()
        .map(|line| ["action", "result", "step"].map(|key| line[key].as_str().unwrap_or("-")))
        .collect();
    assert_eq!(
        told,
        [
            ["swap", "unauthorized", "-"],
            ["swap", "refused", "probe"],
            ["swap", "refused", "-"],
            ["swap", "swapped", "-"],
            ["rollback", "rolled-back", "-"],
            ["abort", "refused", "-"],
            ["reload", "reloaded", "-"],
        ]
    );
    for line in &lines {
        assert!(
            line["peer"].as_str().unwrap().starts_with("127.0.0.1:"),
            "{line}"
        );
    }
    assert_eq!(lines[1]["digest"], digest(&bad));
    assert_eq!(lines[2]["cause"], "malformed");
    assert_eq!(shop.attempts("guest", "malformed").await, 1.0);
    assert_eq!(lines[3]["digest"], digest(&second));
    for line in &lines[..6] {
        assert_eq!(line["component"], "guest", "{line}");
    }
}

fn audit(shop: &Shop) -> Vec<Value> {
    let log = shop.host.log();
    log.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("every line is JSON"))
        .filter(|line| line["target"] == "audit")
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_not_asked_for_where_none_is_required() {
    let (shop, _app) = guest_shop(&[]).await;
    let bytes = Guest::test().unwrap().labelled("unsigned").into_bytes();
    shop.swap("guest", bytes).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_elsewhere_see_and_change_nothing() {
    let (shop, _app) = guest_shop(&["--admin-names", "host-a"]).await;
    for path in ["/metrics", "/status", "/healthz"] {
        let request = shop.admin(Method::GET, path);
        let answer = send(request.header("host", "evil.example:5100")).await;
        refusal(&answer, 421, None);
        for host in ["localhost:5100", "127.0.0.1", "host-a:5100"] {
            let answer = send(shop.admin(Method::GET, path).header("host", host)).await;
            assert_eq!(answer.status, 200, "{host}: {answer:?}");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        }
    }
    let reload = shop.admin(Method::POST, "/reload");
    let answer = send(reload.header("origin", "http://evil.example")).await;
    refusal(&answer, 403, None);
    shop.operate("/reload").await.expect(200);
}

/// Whether a look on this connection is answered, and not met by its end.
async fn is_answered(stream: &mut TcpStream) -> bool {
    // It may be closed already.
    _ = stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let read = timeout(PATIENCE, stream.read(&mut [0; 256])).await;
    read.expect("an answer or an end")
        .is_ok_and(|read| read > 0)
}

/// They take file descriptors that clients' connections need.
#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_keeps_256_connections_at_most() {
    let (shop, _app) = guest_shop(&[]).await;
    let url = shop.host.admin_url("");
    let address = url.trim_start_matches("http://");
    let mut held = Vec::new();
    loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if !is_answered(&mut stream).await {
            break;
        }
        held.push(stream);
        assert!(held.len() <= 256, "one more is answered");
    }
    // What has asked before may hold some.
    assert!(held.len() > 200, "only {} are answered", held.len());
    let mut kept = held.swap_remove(0);
    kept.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut said = String::new();
    timeout(PATIENCE, kept.read_to_string(&mut said))
        .await
        .expect("an answer")
        .unwrap();
    let refused = "store_refusals_total{reason=\"admin_connections\"} 1";
    assert!(said.lines().any(|line| line == refused), "{said}");
    wait_for_log(&shop.host, "Closed an admin connection").await;
}
