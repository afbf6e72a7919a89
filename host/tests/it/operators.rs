//! `store-host swap` and the other commands, as an operator types them.

use std::process::Output;

use testbed::HostOptions;

use crate::operator::{
    GuestApp, bare_store, command_line, digest, guest, guest_in_mode, guest_shop, operated,
    token_file, with_token,
};
use crate::support::{Shop, options};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a version into the folder of the shop's store.
fn file(shop: &Shop, name: &str, bytes: &[u8]) -> String {
    let path = shop.store.folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_prints_digest_times_and_the_probe_s_answer() {
    let (shop, _app) = guest_shop(&[]).await;
    let bytes = guest("second").into_bytes();
    let path = file(&shop, "second.wasm", &bytes);
    let (admin, token) = (shop.host.admin_url(""), token_file(&shop.store));
    let output = command_line(&[
        "swap",
        "guest",
        &path,
        "--admin",
        &admin,
        "--admin-token-file",
        &token,
    ])
    .await;
    assert!(output.status.success(), "{output:?}");
    let said = stdout(&output);
    for part in [
        &admin,
        &digest(&bytes),
        "compiled",
        "probe      /probe answered 200",
        "generation 2 replaces 1",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    assert_eq!(stderr(&output), "");
    assert_eq!(shop.answer("/x").await, "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_swap_exits_with_1_and_names_its_step() {
    let (shop, _app) = guest_shop(&[]).await;
    let path = file(&shop, "bad.wasm", &guest_in_mode("bad", "trap-on-probe"));
    let (admin, token) = (shop.host.admin_url(""), token_file(&shop.store));
    let output = command_line(&[
        "swap",
        "guest",
        &path,
        "--admin",
        &admin,
        "--admin-token-file",
        &token,
    ])
    .await;
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("step `probe`") && said.contains("/probe"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_swapped_one_by_one_and_left_alone_after_the_first_failure() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    // The second host knows no component of this name, as one would that runs another app.
    let text = std::fs::read_to_string(&app.manifest).unwrap();
    let other_app = store.folder().join("other-app.toml");
    std::fs::write(
        &other_app,
        text.replace("guest\"", "visitor\"")
            .replace("component.guest", "component.visitor"),
    )
    .unwrap();
    let start = async |manifest: &std::path::Path| {
        let options = HostOptions {
            app: manifest.to_owned(),
            ..with_token(options())
        };
        store.host(options).await.unwrap()
    };
    let hosts = [
        start(&app.manifest).await,
        start(&app.manifest).await,
        start(&other_app).await,
        start(&app.manifest).await,
    ];
    let token = token_file(&store);
    let version = store.folder().join("second.wasm");
    guest("second").write(&version).unwrap();
    let version = version.display().to_string();
    let admins: Vec<String> = hosts.iter().map(|host| host.admin_url("")).collect();
    let mut args = vec!["swap", "guest", &version, "--admin-token-file", &token];
    for admin in &admins {
        args.extend(["--admin", admin]);
    }
    let output = command_line(&args).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    assert!(
        said.contains(&format!("{} refused (404)", admins[2])),
        "{said}"
    );
    assert!(
        said.contains(&format!("not tried: {}", admins[3])),
        "{said}"
    );
    let client = reqwest::Client::new();
    for (host, version) in hosts
        .iter()
        .zip(["second", "second", "original", "original"])
    {
        let answer = client.get(host.url("/x")).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), version);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_shows_generations_and_shares() {
    let (shop, _app) = guest_shop(&[]).await;
    let (admin, token) = (shop.host.admin_url(""), token_file(&shop.store));
    let bytes = guest("second").into_bytes();
    let path = file(&shop, "second.wasm", &bytes);
    let swapped = command_line(&[
        "swap",
        "guest",
        &path,
        "--canary",
        "12.5%",
        "--for",
        "90s",
        "--admin",
        &admin,
        "--admin-token-file",
        &token,
    ])
    .await;
    let said = stdout(&swapped);
    assert!(
        said.contains("12.5 % of the requests for 1m 30s"),
        "{swapped:?}"
    );

    let status = command_line(&["status", "--admin", &admin]).await;
    let said = stdout(&status);
    let rows: Vec<Vec<&str>> = said
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|row: &Vec<&str>| row.first() == Some(&"guest"))
        .collect();
    assert_eq!(rows.len(), 2, "{said}");
    let of = |number: &str| rows.iter().find(|row| row[1] == number).unwrap();
    assert_eq!(of("1")[2..5], ["live", "87.5", "%"], "{said}");
    assert_eq!(of("2")[2..5], ["canary", "12.5", "%"], "{said}");
    assert!(said.contains(&digest(&bytes)[..12]), "{said}");

    let promote = [
        "promote",
        "guest",
        "--admin",
        &admin,
        "--admin-token-file",
        &token,
    ];
    assert!(command_line(&promote).await.status.success());
    assert_eq!(shop.answer("/x").await, "second");
    let back = [
        "rollback",
        "guest",
        "--admin",
        &admin,
        "--admin-token-file",
        &token,
    ];
    let output = command_line(&back).await;
    assert!(
        stdout(&output).contains("generation 1 replaces 2"),
        "{output:?}"
    );
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_what_serves_now() {
    let (shop, app) = guest_shop(&[]).await;
    let (admin, token) = (shop.host.admin_url(""), token_file(&shop.store));
    let reload = ["reload", "--admin", &admin, "--admin-token-file", &token];
    let output = command_line(&reload).await;
    assert!(
        stdout(&output).contains("2 routes to guest, other"),
        "{output:?}"
    );
    app.edit("[application]", "[application");
    let output = command_line(&reload).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("TOML"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mistyped_exits_with_2_and_asks_nobody() {
    let (shop, _app) = guest_shop(&[]).await;
    let (admin, token) = (shop.host.admin_url(""), token_file(&shop.store));
    for args in [
        &["swap", "guest", "/no/such/file.wasm", "--admin", &admin][..],
        &[
            "swap", "guest", &token, "--canary", "100%", "--admin", &admin,
        ],
        &["status", "--admin", "https://127.0.0.1:1"],
        &["rollback", "--admin", &admin],
        &[
            "status",
            "--admin",
            &admin,
            "--admin-token-file",
            "/no/such/token",
        ],
    ] {
        let output = command_line(args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert_eq!(stderr(&output).lines().count(), 1, "{output:?}");
    }
    let gone = command_line(&["status", "--admin", "http://127.0.0.1:1"]).await;
    assert_eq!(gone.status.code(), Some(1));
    assert!(
        stderr(&gone).contains("http://127.0.0.1:1: can't connect"),
        "{gone:?}"
    );
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_keep_what_they_accepted_apart() {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let first = HostOptions {
        app: app.manifest.clone(),
        ..operated(&store)
    };
    let second = HostOptions {
        app: app.manifest.clone(),
        ..with_token(options())
    }
    .arg("--state-folder")
    .arg(store.folder().join("state-2").display().to_string());
    let other = store.host(second.clone()).await.unwrap();
    let shop = Shop::on(store, first).await;
    shop.swap("guest", guest("second").into_bytes())
        .await
        .expect(200);
    drop(other);
    let other = shop.store.host(second).await.unwrap();
    let answer = shop.client.get(other.url("/x")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "original");
}
