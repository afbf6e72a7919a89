//! `store-host swap` and the other commands, as an operator types them.

use std::process::Output;

use reqwest::Method;
use testbed::{DataStore, Host, HostOptions};

use crate::operator::{
    GuestApp, bare_store, command_line, digest, guest, guest_in_mode, guest_shop, operated,
    token_file, with_token,
};
use crate::support::{Shop, options, send};

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a version into the folder of the shop's store.
pub(crate) fn file(shop: &Shop, name: &str, bytes: &[u8]) -> String {
    let path = shop.store.folder().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_prints_digest_times_and_the_probe_s_answer() {
    let (shop, _app) = guest_shop(&[]).await;
    let bytes = guest("second").into_bytes();
    let path = file(&shop, "second.wasm", &bytes);
    let output = shop.typed(&["swap", "guest", &path]).await;
    assert!(output.status.success(), "{output:?}");
    let said = stdout(&output);
    for part in [
        &shop.host.admin_url(""),
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
    let output = shop.typed(&["swap", "guest", &path]).await;
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
    let bytes = guest("second").into_bytes();
    let path = file(&shop, "second.wasm", &bytes);
    let canary = ["--canary", "12.5%", "--for", "90s", "--no-wait"];
    let swap = [&["swap", "guest", &path], &canary[..]].concat();
    let swapped = shop.typed(&swap).await;
    let said = stdout(&swapped);
    assert!(
        said.contains("12.5 % of the requests for 1m 30s"),
        "{swapped:?}"
    );

    let status = shop.typed(&["status"]).await;
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

    assert!(shop.typed(&["promote", "guest"]).await.status.success());
    assert_eq!(shop.answer("/x").await, "second");
    let output = shop.typed(&["rollback", "guest"]).await;
    assert!(
        stdout(&output).contains("generation 1 replaces 2"),
        "{output:?}"
    );
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_what_serves_now() {
    let (shop, app) = guest_shop(&[]).await;
    let output = shop.typed(&["reload"]).await;
    assert!(
        stdout(&output).contains("2 routes to guest, other"),
        "{output:?}"
    );
    app.edit("[application]", "[application");
    let output = shop.typed(&["reload"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("TOML"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_mistyped_exits_with_2_and_asks_nobody() {
    let (shop, _app) = guest_shop(&[]).await;
    let (admin, token) = (shop.host.admin_url(""), token_file(&shop.store));
    let swap = ["swap", "guest", &token, "--admin", &admin];
    let swaps = [
        &["--canary", "100%"][..],
        &["--steps", "5%,1%"],
        &["--steps", "1%,101%"],
        &["--steps", "0%,5%"],
        &["--steps", ""],
        &["--steps", "5%", "--step-for", "0s"],
        &["--steps", "5%", "--step-for", "1000y"],
        &["--steps", "5%", "--canary", "5%"],
        &["--steps", "5%", "--sticky", "ip"],
        &["--steps", "5%", "--when", "yes"],
        &["--mirror", "0"],
        &["--fleet"],
        &["--no-wait"],
    ];
    let swaps = swaps.map(|options| [&swap[..], options].concat());
    let no_token = ["--admin-token-file", "/no/such/token"];
    let others = [
        vec!["swap", "guest", "/no/such/file.wasm", "--admin", &admin],
        vec!["status", "--admin", "https://127.0.0.1:1"],
        vec!["rollback", "--admin", &admin],
        [&["status", "--admin", &admin][..], &no_token].concat(),
    ];
    for args in swaps.into_iter().chain(others) {
        let output = command_line(&args).await;
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
    let first = app.options(operated(&store));
    let state = store.folder().join("state-2").display().to_string();
    let second = with_token(options()).arg("--state-folder").arg(state);
    let second = app.options(second);
    let other = store.host(second.clone()).await.unwrap();
    let shop = Shop::on(store, first).await;
    shop.swap_in("second").await;
    drop(other);
    let other = shop.store.host(second).await.unwrap();
    let answer = shop.client.get(other.url("/x")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "original");
}

/// Two hosts of their own, and the flags that name both.
async fn fleet(store: &DataStore, flags: &[&str]) -> ([Host; 2], Vec<String>) {
    let app = GuestApp::new(store);
    let start = async || {
        let options = app.options(with_token(options())).args(flags);
        store.host(options).await.unwrap()
    };
    let hosts = [start().await, start().await];
    let mut args = vec!["--admin-token-file".to_owned(), token_file(store)];
    for host in &hosts {
        args.extend(["--admin".to_owned(), host.admin_url("")]);
    }
    (hosts, args)
}

async fn try_on_fleet(store: &DataStore, whom: &[String]) -> Output {
    let version = store.folder().join("second.wasm");
    guest("second").write(&version).unwrap();
    let version = version.display().to_string();
    let swap = ["swap", "guest", &version, "--canary", "50%", "--for", "1s"];
    let whom = whom.iter().map(String::as_str);
    command_line(&swap.into_iter().chain(whom).collect::<Vec<_>>()).await
}

async fn versions(hosts: &[Host; 2]) -> Vec<String> {
    let client = reqwest::Client::new();
    let mut versions = Vec::new();
    for host in hosts {
        let answer = client.get(host.url("/x")).send().await.unwrap();
        versions.push(answer.text().await.unwrap());
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_withdrawn_does_not_reach_the_next_host() {
    let store = bare_store().await;
    // Nobody asks it anything, which is too little to be promoted.
    let (hosts, whom) = fleet(&store, &[]).await;
    let output = try_on_fleet(&store, &whom).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    let [first, second] = hosts.each_ref().map(|host| host.admin_url(""));
    for part in [
        format!("{first}: generation 2 was not promoted"),
        "too few".to_owned(),
        format!("not tried: {second}"),
    ] {
        assert!(said.contains(&part), "no `{part}` in: {said}");
    }
    assert_eq!(versions(&hosts).await, ["original", "original"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_promoted_goes_on_to_the_next_host() {
    let store = bare_store().await;
    let (hosts, whom) = fleet(&store, &["--canary-min-requests", "0"]).await;
    let output = try_on_fleet(&store, &whom).await;
    assert!(output.status.success(), "{output:?}");
    let said = stdout(&output);
    assert_eq!(said.matches("promoted   generation 2").count(), 2, "{said}");
    assert_eq!(versions(&hosts).await, ["second", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_fleet_goes_past_a_dead_host() {
    let (shop, _app) = guest_shop(&[]).await;
    let dead = "http://127.0.0.1:1";
    let output = shop.typed(&["status", "--admin", dead]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    assert!(said.contains(&format!("{dead}: can't connect")), "{said}");
    assert!(stdout(&output).contains("guest"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn version_status_and_metrics_name_the_same_build() {
    let (shop, _app) = guest_shop(&[]).await;
    let version = stdout(&command_line(&["--version"]).await);
    let version = version.trim().strip_prefix("store-host ").unwrap();
    let status = send(shop.admin(Method::GET, "/status")).await.expect(200);
    let [number, commit, profile] =
        ["version", "commit", "profile"].map(|name| status[name].as_str().unwrap());
    assert_eq!(number, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        version,
        format!("{number} (commit {commit}, profile {profile})")
    );
    let said = stdout(&shop.typed(&["status"]).await);
    let first = said.lines().next().unwrap();
    assert_eq!(first, format!("{}: {version}", shop.host.admin_url("")));
    let labels = format!("commit=\"{commit}\",profile=\"{profile}\",version=\"{number}\"");
    let series = format!("store_build_info{{{labels}}}");
    assert_eq!(shop.metric(&series).await, 1.0, "{series}");
}
