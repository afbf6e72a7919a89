//! Who may ask the admin listener, and who may change the proxy.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use crate::start::{PORT_TAKEN, free_address};
use crate::support::client::NoAnswer;
use crate::support::{
    Client, Kind, Message, Rig, Upstream, eventually, eventually_some, problem, shop,
};

pub(crate) async fn ask(
    rig: &Rig,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Message {
    let admin = rig.proxy.admin_url("");
    let admin = admin.strip_prefix("http://").unwrap().parse().unwrap();
    let head: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let bytes = format!("{method} {target} HTTP/1.1\r\n{head}content-length: 0\r\n\r\n");
    Client::connect(admin).await.ask(bytes).await
}

/// A page of another site can give its name this machine's address.
#[tokio::test(flavor = "multi_thread")]
async fn only_known_names_are_answered() {
    let upstream = Upstream::start().await;
    let names = "admin_names = [\"proxy.internal\"]";
    let rig = Rig::with(names, "", &shop("", [&upstream])).await;
    for target in ["/metrics", "/status", "/healthz", "/nowhere"] {
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil"] {
            problem(&ask(&rig, "GET", target, &[("host", host)]).await, 421);
        }
    }
    for host in [
        "localhost",
        "LOCALHOST:8081",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]:8081",
        "192.0.2.7:8081",
        "Proxy.internal:80",
    ] {
        let answer = ask(&rig, "GET", "/status", &[("host", host)]).await;
        assert_eq!(answer.status(), 200, "{host}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_need_the_token() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("cache = {}", [&upstream])).await;
    let mode = fs::metadata(rig.token()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else can read it");
    let token = fs::read_to_string(rig.token()).unwrap();
    let right = format!("Bearer {}", token.trim());
    let drain = format!("/drain?upstream={}", upstream.address);
    for target in ["/reload", "/cache/purge", &drain] {
        let refused = ask(&rig, "POST", target, &[("host", "localhost")]).await;
        assert_eq!(
            problem(&refused, 401),
            "send the token in `server.admin_token_file` as `Authorization: Bearer TOKEN`"
        );
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        for wrong in [
            "Bearer 0123456789abcdef",
            "Basic YTpi",
            &right[..right.len() - 1],
        ] {
            let headers = [("host", "localhost"), ("authorization", wrong)];
            let refused = ask(&rig, "POST", target, &headers).await;
            assert_eq!(problem(&refused, 401), "the admin token is wrong");
        }
        let of_page = [
            ("host", "localhost"),
            ("authorization", &*right),
            ("origin", "http://evil.example"),
        ];
        assert_eq!(
            problem(&ask(&rig, "POST", target, &of_page).await, 403),
            "web pages of other origins may not make changes"
        );
        let of_another = [("host", "evil.example"), ("authorization", &*right)];
        let refused = problem(&ask(&rig, "POST", target, &of_another).await, 421);
        assert!(refused.contains("not known by that name"), "{refused}");
    }
    assert_eq!(rig.state(upstream.address).await, "up");
    let headers = [("host", "localhost"), ("authorization", &*right)];
    for target in ["/reload", "/cache/purge", &drain] {
        assert_eq!(
            ask(&rig, "POST", target, &headers).await.status(),
            200,
            "{target}"
        );
    }
    assert_eq!(rig.state(upstream.address).await, "drained");
}

/// As those of clients: whether the head can't be read, or the listener answers it so.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_has_an_id_a_count_and_a_line() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let admin = rig.proxy.admin_url("");
    let admin: SocketAddr = admin.strip_prefix("http://").unwrap().parse().unwrap();
    let head = |line: &str, host: &str| {
        format!("{line} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n")
    };
    let counted = async || {
        let reason = "reason=\"admin_request\"";
        rig.metric("store_proxy_refused_total", &[reason]).await
    };
    for (bytes, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (head("GET /status", "evil.example"), 421),
        (head("GET /nowhere", "localhost"), 404),
        (head("DELETE /status", "localhost"), 405),
        (head("POST /reload", "localhost"), 401),
    ] {
        let before = counted().await;
        let answer = Client::connect(admin).await.ask(&bytes).await;
        problem(&answer, status);
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert_eq!(counted().await, before + 1.0, "{bytes}");
        eventually("it is logged", async || rig.proxy.log().contains(&id)).await;
    }
}

/// They take file descriptors that clients' connections need.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_256_connections_are_kept() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let admin = rig.proxy.admin_url("");
    let admin: SocketAddr = admin.strip_prefix("http://").unwrap().parse().unwrap();
    let look = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let mut held = Vec::new();
    loop {
        let mut client = Client::connect(admin).await;
        client.send(look("/healthz")).await;
        match client.try_answer(Kind::Response).await {
            Ok(_) => held.push(client),
            Err(NoAnswer::Closed) => break,
            Err(other) => panic!("{other}"),
        }
        assert!(held.len() <= 256, "one more is answered");
    }
    // What has asked before may hold some.
    assert!(held.len() > 200, "only {} are answered", held.len());
    let text = held[0].ask(look("/metrics")).await.text();
    let refused = "store_proxy_refused_total{reason=\"admin_connections\"} 1";
    assert!(text.lines().any(|line| line == refused), "{text}");
    eventually("it is logged", async || {
        rig.proxy.log().contains("Closing admin connections")
    })
    .await;
}

/// The commands find it by the settings, or are told.
#[tokio::test(flavor = "multi_thread")]
async fn commands_present_the_token() {
    let upstream = Upstream::start().await;
    let file = "admin_token_file = \"secrets/token\"";
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "a token of a test\n").unwrap();
    let server = file.replace("secrets/token", token.to_str().unwrap());
    let rig = Rig::with(&server, "", &shop("", [&upstream])).await;
    let admin = rig.proxy.admin_url("");
    let purge = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(crate::support::binary());
        command
            .current_dir(folder.path())
            .args(["purge", "--admin", &admin])
            .args(args);
        command.output().await.unwrap()
    };
    let settings = rig.file();
    assert!(
        purge(&["--config", settings.to_str().unwrap()])
            .await
            .status
            .success()
    );
    assert!(
        purge(&["--admin-token-file", "token"])
            .await
            .status
            .success()
    );
    let without = purge(&[]).await;
    assert_eq!(without.status.code(), Some(1), "{without:?}");
    let said = String::from_utf8_lossy(&without.stderr);
    assert!(said.contains("admin_token_file"), "{said}");
    let missing = purge(&["--admin-token-file", "none"]).await;
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    let said = String::from_utf8_lossy(&missing.stderr);
    assert!(
        said.contains("none") && said.trim_end().lines().count() == 1,
        "{said}"
    );
}

/// Clients of the shop are no operators.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_too_short_is_refused_at_the_start() {
    let file = crate::support::folder().join("store-proxy.toml");
    let token = file.with_file_name("token");
    fs::write(&token, "short").unwrap();
    let (status, said) = eventually_some("no port is taken", async || {
        let (listen, admin) = (free_address(), free_address());
        let text = format!(
            "[server]\nadmin = \"{admin}\"\nadmin_token_file = \"token\"\n[[listen]]\naddress = \"{listen}\"\n{}",
            crate::support::group("shop", "", ["{ address = \"127.0.0.1:5000\" }".to_owned()])
        );
        fs::write(&file, text).unwrap();
        let options = testbed::ProxyOptions::new(crate::support::binary(), &file);
        let ended = testbed::Proxy::run_to_end(&options, crate::support::PATIENCE);
        let (status, said) = ended.await.unwrap();
        (status.code() != Some(PORT_TAKEN)).then_some((status, said))
    })
    .await;
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(
        said.contains("admin_token_file") && said.contains("token"),
        "{said}"
    );
}
