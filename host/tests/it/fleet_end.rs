//! The end of a roll-out over several hosts that no command leads any more, or not on all of them.

use std::process::Stdio;

use reqwest::Client;
use serde_json::Value;

use crate::fleet::Fleet;
use crate::operator::{TOKEN, command_line, guest, guest_in_mode, refusal, token_file};
use crate::operators::stderr;
use crate::support::{Answer, eventually, host_binary, send};

/// Time enough for what comes before its end on a busy machine. A host asks the others half a lease later.
const LEASE: &str = "8s";

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_out_whose_command_died_is_withdrawn_everywhere() {
    let fleet = Fleet::start(&[]).await;
    let words = fleet.words(&guest("second").into_bytes(), "50%,80%", "1h", LEASE);
    let mut command = tokio::process::Command::new(host_binary())
        .args(&words)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("it is tried on both", async || {
        fleet.status().await.matches("on trial").count() == 2
    })
    .await;
    // Nobody but the command promotes.
    let token = token_file(&fleet.store);
    let admin = &fleet.options[0].admin_listen;
    let promote = [
        "promote",
        "guest",
        "--admin",
        admin,
        "--admin-token-file",
        &token,
    ];
    let refused = command_line(&promote).await;
    assert!(
        stderr(&refused).contains("on all of them or none"),
        "{refused:?}"
    );
    command.kill().await.unwrap();
    eventually("it is withdrawn from both", async || {
        let status = fleet.status().await;
        status
            .matches("last change: generation 2 withdrawn: the command that led")
            .count()
            == 2
    })
    .await;
    assert_eq!(fleet.answers().await, ["original", "original"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_missed_the_end_finds_it_at_the_others() {
    let mut fleet = Fleet::start(&["--canary-min-requests", "0"]).await;
    let bytes = guest("second").into_bytes();
    // As the command would, until it dies between two hosts.
    let [first, second] = fleet.options.clone().map(|options| options.admin_listen);
    assert_eq!(start(&first, &second, &bytes).await, 200);
    assert_eq!(start(&second, &first, &bytes).await, 200);
    for (query, status, reason) in [
        ("rollout=r1&phase=step-7", 400, "has no step-7"),
        (
            "rollout=other&phase=step-0",
            409,
            "has no such roll-out here",
        ),
    ] {
        let path = format!("/components/guest/step?{query}&lease={LEASE}");
        let refused = refusal(&answer(&first, &path, &[]).await, status, None);
        assert!(refused.contains(reason), "{refused}");
    }
    let step = format!("/components/guest/step?rollout=r1&phase=step-0&lease={LEASE}");
    assert_eq!(post(&first, &step, &[]).await, 200);
    assert_eq!(
        post(&first, "/components/guest/promote?rollout=r1", &[]).await,
        200
    );
    // The host that was not told dies as well, and comes back.
    fleet.hosts[1].take().unwrap().kill();
    fleet.begin(1).await;
    eventually("both have promoted", async || {
        fleet.answers().await == ["second", "second"]
    })
    .await;
    // Half of the requests had the new version before, too.
    eventually(
        "the host that was not told has promoted by itself",
        async || {
            let log = fleet.hosts[1].as_ref().unwrap().log();
            let mut lines = log.lines();
            let audit = lines.find(|line| line.contains("promoted generation 2"));
            audit.is_some_and(|audit| {
                audit.contains("peer=fleet") || audit.contains("peer=\"fleet\"")
            })
        },
    )
    .await;
    eventually("the first knows that", async || {
        fleet.hosts[0]
            .as_ref()
            .unwrap()
            .log()
            .contains("settled generation 2")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_promoted_goes_back_if_another_did_not() {
    let fleet = Fleet::start(&["--canary-min-requests", "0"]).await;
    let bytes = guest("second").into_bytes();
    let [first, second] = fleet.options.clone().map(|options| options.admin_listen);
    assert_eq!(start(&first, &second, &bytes).await, 200);
    assert_eq!(start(&second, &first, &bytes).await, 200);
    assert_eq!(
        post(&first, "/components/guest/promote?rollout=r1", &[]).await,
        200
    );
    assert_eq!(post(&second, "/components/guest/abort", &[]).await, 200);
    eventually("both are as before", async || {
        fleet.answers().await == ["original", "original"]
    })
    .await;
    eventually("its status says why", async || {
        let status = fleet.status().await;
        status.contains("another host has withdrawn it")
    })
    .await;
}

/// A fleet on which a version is tried, and promoted on the first host.
async fn promoted_on_the_first(flags: &[&str]) -> (Fleet, [String; 2]) {
    let fleet = Fleet::start(flags).await;
    let bytes = guest("second").into_bytes();
    let [first, second] = fleet.options.clone().map(|options| options.admin_listen);
    assert_eq!(start(&first, &second, &bytes).await, 200);
    assert_eq!(start(&second, &first, &bytes).await, 200);
    let promote = "/components/guest/promote?rollout=r1";
    assert_eq!(post(&first, promote, &[]).await, 200);
    assert_eq!(phase(&first).await, "promoted");
    (fleet, [first, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_that_a_hand_undoes_is_undone_everywhere() {
    let (fleet, [first, _]) = promoted_on_the_first(&[]).await;
    assert_eq!(post(&first, "/components/guest/rollback", &[]).await, 200);
    assert_eq!(phase(&first).await, "withdrawn");
    eventually("both are as before", async || {
        fleet.answers().await == ["original", "original"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_version_is_tried_before_all_are_known_to_have_promoted_the_last() {
    let (_fleet, [first, second]) = promoted_on_the_first(&[]).await;
    let third = guest("third").into_bytes();
    let canary = "/components/guest/swap?canary=50&for=1h";
    let refused = refusal(&answer(&first, canary, &third).await, 409, None);
    let reason = "that others of its roll-out may not have";
    assert!(refused.contains(reason), "{refused}");
    // What the first has promoted can still be found there.
    assert_eq!(phase(&first).await, "promoted");
    eventually("the second follows", async || {
        phase(&second).await == "promoted"
    })
    .await;
    eventually("the first knows that", async || {
        post(&first, canary, &third).await == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_reload_brings_outlasts_a_roll_out() {
    let (fleet, [first, second]) = promoted_on_the_first(&[]).await;
    let file = fleet.store.folder().join("guest.wasm");
    guest("deployed").write(&file).unwrap();
    assert_eq!(post(&first, "/reload", &[]).await, 200);
    assert_eq!(phase(&first).await, "withdrawn");
    eventually("the second has withdrawn", async || {
        phase(&second).await == "withdrawn"
    })
    .await;
    assert_eq!(fleet.answers().await, ["deployed", "original"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_has_forgotten_a_roll_out_turns_no_other_back() {
    let (mut fleet, [first, second]) = promoted_on_the_first(&[]).await;
    fleet.hosts[1].take().unwrap().kill();
    std::fs::remove_dir_all(fleet.store.folder().join("state-2")).unwrap();
    fleet.begin(1).await;
    assert!(phase(&second).await.is_null());
    eventually("the first is done", async || {
        let log = fleet.hosts[0].as_ref().unwrap().log();
        log.contains("settled generation 2") || log.contains("rolled-back")
    })
    .await;
    assert_eq!(phase(&first).await, "promoted");
    assert_eq!(fleet.answers().await, ["second", "original"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_clearly_fails_does_not_wait_for_its_command() {
    let fleet = Fleet::start(&[]).await;
    let bytes = guest_in_mode("second", "fail-unless-probe");
    let [first, second] = fleet.options.clone().map(|options| options.admin_listen);
    assert_eq!(start_for(&first, &second, &bytes, "1h").await, 200);
    let load = async {
        eventually("it is withdrawn", async || {
            phase(&first).await == "withdrawn"
        })
        .await;
    };
    tokio::select! {
        () = load => {}
        () = fleet.load() => unreachable!(),
    }
    // The change is noted once the withdrawn version is left.
    eventually("the reason is told", async || {
        fleet.status().await.contains("requests failed")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_can_not_go_back_is_named() {
    let fleet = Fleet::start(&["--keep-generations", "0", "--canary-min-requests", "0"]).await;
    // The second can't write down that it promotes.
    std::fs::create_dir(fleet.store.folder().join("state-2/guest.json")).unwrap();
    let words = fleet.words(&guest("second").into_bytes(), "50%", "1s", LEASE);
    let output = fleet.led(&words).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    for part in [
        "`persist`",
        "withdrawn on all hosts, but unix:",
        "has no version from before its roll-out to roll back to",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    assert_eq!(fleet.answers().await, ["second", "original"]);
    let log = fleet.hosts[0].as_ref().unwrap().log();
    assert_eq!(log.matches("stays here").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_that_a_command_takes_is_in_the_audit_log() {
    let fleet = Fleet::start(&["--log-format", "json", "--log", "error"]).await;
    let bytes = guest("second").into_bytes();
    let [first, second] = fleet.options.clone().map(|options| options.admin_listen);
    assert_eq!(start_for(&first, &second, &bytes, "1h").await, 200);
    for (query, status) in [
        ("rollout=r1&phase=step-0&lease=1h", 200),
        ("rollout=r1&phase=step-1&lease=1h", 200),
        ("rollout=r1&phase=step-1&lease=1h", 200),
        ("rollout=r1&phase=step-7&lease=1h", 400),
        ("rollout=r1&phase=step-1&lease=1ms", 400),
        ("rollout=r2&phase=step-1&lease=1h", 409),
    ] {
        let path = format!("/components/guest/step?{query}");
        assert_eq!(post(&first, &path, &[]).await, status, "{query}");
    }
    let steps = || {
        let log = fleet.hosts[0].as_ref().unwrap().log();
        let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
        let steps = lines.filter(|line: &Value| line["action"] == "step");
        let told = steps.map(|line| {
            ["result", "cause"].map(|key| line[key].as_str().unwrap_or("-").to_owned())
        });
        told.collect::<Vec<_>>()
    };
    eventually("the lines are written", async || steps().len() >= 4).await;
    assert_eq!(
        steps(),
        [
            ["stepped", "-"],
            ["refused", "malformed"],
            ["refused", "malformed"],
            ["refused", "no_canary"]
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_comes_late_puts_no_host_back() {
    let fleet = Fleet::start(&[]).await;
    let bytes = guest("second").into_bytes();
    let [first, second] = fleet.options.clone().map(|options| options.admin_listen);
    assert_eq!(start_for(&first, &second, &bytes, "1h").await, 200);
    for (step, status) in [("step-1", 200), ("step-0", 409), ("step-1", 200)] {
        let path = format!("/components/guest/step?rollout=r1&phase={step}&lease=1h");
        let answer = answer(&first, &path, &[]).await;
        assert_eq!(answer.status, status, "{step}: {answer:?}");
        if status == 409 {
            assert_eq!(
                refusal(&answer, 409, None),
                "the roll-out of `guest` is in step-1 here, and does not go back to step-0"
            );
        }
        assert_eq!(phase(&first).await, "step-1", "{step}");
    }
}

/// Begins a roll-out on one host, as a command does that leads it over two.
async fn start(admin: &str, peer: &str, bytes: &[u8]) -> u16 {
    start_for(admin, peer, bytes, LEASE).await
}

async fn start_for(admin: &str, peer: &str, bytes: &[u8], lease: &str) -> u16 {
    let query = format!("steps=50,60&step_for=1h&rollout=r1&peers={peer}&lease={lease}");
    post(admin, &format!("/components/guest/swap?{query}"), bytes).await
}

/// Where a host says that its last roll-out over several hosts stands.
async fn phase(admin: &str) -> Value {
    let status = at(admin).get("http://localhost/status").send().await;
    let status: Value = status.unwrap().json().await.unwrap();
    let components = status["components"].as_array().unwrap();
    let guest = components.iter().find(|one| one["component"] == "guest");
    guest.unwrap()["rollout"]["phase"].clone()
}

/// A client of the admin listener on a Unix socket.
fn at(admin: &str) -> Client {
    let socket = admin.strip_prefix("unix:").unwrap();
    Client::builder().unix_socket(socket).build().unwrap()
}

/// Posts to the admin listener on a Unix socket, and gives the status.
async fn post(admin: &str, path: &str, body: &[u8]) -> u16 {
    answer(admin, path, body).await.status.as_u16()
}

/// As [`post`], and gives the answer.
async fn answer(admin: &str, path: &str, body: &[u8]) -> Answer {
    let request = at(admin).post(format!("http://localhost{path}"));
    send(request.body(body.to_vec()).bearer_auth(TOKEN)).await
}
