//! A new version is rolled out in steps.

use reqwest::Method;
use serde_json::Value;
use testbed::HostOptions;

use crate::canary::{
    COMPARING_TIMES, SLOW, ask, ask_until_decided, ask_until_too_slow, assert_all_answer, is_over,
};
use crate::operator::{GuestApp, bare_store, guest, guest_shop, operated, refusal};
use crate::operators::{file, stderr, stdout};
use crate::support::{Shop, eventually, send};

/// So that only errors tell versions apart, however busy the machine is.
const PATIENT: [&str; 4] = ["--canary-p99-slack", "10s", "--canary-min-requests", "1"];

/// Steps that no test waits for the end of.
const LONG: &str = "?steps=20,60&step_for=1h";

/// Keeps the host busy until the trial of `guest` is over, and then gives what became of it.
async fn last(shop: &Shop) -> Value {
    ask_until_decided(shop).await;
    shop.component("guest").await["last"].clone()
}

/// Answers to `count` requests of a client that says who it is.
async fn ask_as(shop: &Shop, client: &str, count: usize) -> Vec<String> {
    let mut answers = Vec::new();
    for _ in 0..count {
        let request = shop.request(Method::GET, "/x").header("x-client", client);
        answers.push(send(request).await.text);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_version_goes_from_step_to_step_and_is_promoted() {
    let (shop, _app) = guest_shop(&PATIENT).await;
    let query = "?steps=20%25,50%25,80%25&step_for=2s";
    let swapped = shop.try_out("second", query).await;
    assert_eq!(swapped["canary"]["share"], 0.2);
    assert_eq!(
        swapped["canary"]["steps"],
        serde_json::json!([0.2, 0.5, 0.8])
    );
    let mut steps = Vec::new();
    eventually("the roll-out is over", async || {
        ask(&shop, 100).await;
        let component = shop.component("guest").await;
        let canary = &component["canary"];
        if !canary.is_null() {
            steps.push((
                canary["step"].as_u64().unwrap(),
                canary["share"].as_f64().unwrap(),
            ));
            for name in ["began", "since", "until", "verdict", "why"] {
                assert!(canary[name].is_string(), "no {name} in {canary}");
            }
            assert_eq!(
                canary["passed"].as_array().unwrap().len() as u64,
                canary["step"].as_u64().unwrap()
            );
        }
        is_over(&shop, &component).await
    })
    .await;
    assert!(steps.is_sorted_by(|one, next| one <= next), "{steps:?}");
    steps.dedup();
    assert_eq!(steps.last(), Some(&(2, 0.8)), "{steps:?}");
    assert_eq!(shop.component("guest").await["last"]["result"], "promoted");
    assert_all_answer(&shop, "second").await;
    let phases =
        |result| format!("store_rollout_phases_total{{component=\"guest\",result=\"{result}\"}}");
    eventually("the last step is counted", async || {
        shop.metric(&phases("passed")).await == 3.0
    })
    .await;
    assert_eq!(shop.metric(&phases("failed")).await, 0.0);
    assert_eq!(
        shop.metric("store_canary_share_ratio{component=\"guest\"}")
            .await,
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_version_is_withdrawn_at_its_first_step() {
    let (shop, _app) = guest_shop(&PATIENT).await;
    shop.try_mode("fail-unless-probe", LONG).await;
    let last = last(&shop).await;
    assert_eq!(last["result"], "withdrawn", "{last}");
    let reason = last["reason"].as_str().unwrap();
    assert!(
        reason.contains("requests failed") && reason.contains("step 1 of 2, 20 %"),
        "{reason}"
    );
    assert_eq!(shop.generations("guest", "live").await, [1]);
    let failed = "store_rollout_phases_total{component=\"guest\",result=\"failed\"}";
    eventually("the step is counted", async || {
        shop.metric(failed).await == 1.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_version_is_withdrawn_at_its_first_step() {
    let (shop, _app) = guest_shop(&COMPARING_TIMES).await;
    let query = "?steps=50,90&step_for=1h";
    shop.try_mode(SLOW, query).await;
    ask_until_too_slow(&shop).await;
    let last = &shop.component("guest").await["last"];
    assert_eq!(last["result"], "withdrawn", "{last}");
    assert!(last["reason"].as_str().unwrap().contains("p99"), "{last}");
    assert_eq!(shop.generations("guest", "live").await, [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_nobody_asked_anything_is_failed() {
    let (shop, _app) = guest_shop(&[]).await;
    let query = "?steps=20,60&step_for=100ms";
    shop.try_out("second", query).await;
    eventually("it is withdrawn", async || {
        let component = shop.component("guest").await;
        component["last"]["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("too few"))
    })
    .await;
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_its_version_and_nobody_goes_back() {
    let (shop, _app) =
        guest_shop(&["--canary-min-requests", "0", "--canary-p99-slack", "10s"]).await;
    // The step ends when the test leads on, as a command would, and no sooner.
    let query = "?steps=20,60&step_for=1h&sticky=header:x-client&rollout=r1&peers=&lease=1h";
    shop.try_out("second", query).await;
    let clients: Vec<String> = (0..60).map(|number| format!("client-{number}")).collect();
    let versions = async || {
        let mut versions = Vec::new();
        for client in &clients {
            let answers = ask_as(&shop, client, 2).await;
            assert_eq!(answers[0], answers[1], "{client} changed its version");
            versions.push(answers[0] == "second");
        }
        versions
    };
    let first = versions().await;
    assert!(first.contains(&true) && first.contains(&false), "{first:?}");
    let next = "/components/guest/step?rollout=r1&phase=step-1&lease=1h";
    shop.operate(next).await.expect(200);
    assert_eq!(shop.component("guest").await["canary"]["step"], 1);
    let second: Vec<bool> = {
        let mut all = Vec::new();
        for client in &clients {
            all.push(ask_as(&shop, client, 1).await[0] == "second");
        }
        all
    };
    for (client, (before, after)) in clients.iter().zip(first.iter().zip(&second)) {
        assert!(*after || !*before, "{client} went back");
    }
    let count = |versions: &[bool]| versions.iter().filter(|new| **new).count();
    assert!(count(&second) > count(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_keeps_a_client_to_its_version() {
    let (shop, _app) = guest_shop(&[]).await;
    let query = "?canary=50&for=1h&sticky=cookie:session";
    shop.try_out("second", query).await;
    let mut seen = std::collections::BTreeSet::new();
    for client in 0..20 {
        let cookie = format!("a=1; session=client-{client}; b={client}");
        let mut answers = Vec::new();
        for _ in 0..3 {
            let request = shop.request(Method::GET, "/x").header("cookie", &cookie);
            answers.push(send(request).await.text);
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "client {client} changed its version");
        seen.extend(answers);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tester_gets_the_new_version_and_counts_for_nothing() {
    let (shop, _app) = guest_shop(&[]).await;
    let query = "?steps=0.001&step_for=1h&when=x-tester:yes";
    shop.try_mode("fail-unless-probe", query).await;
    for _ in 0..20 {
        let request = shop.request(Method::GET, "/x").header("x-tester", "yes");
        let answer = send(request).await;
        // What fails is what a tester is to see.
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (500, "second")
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let canary = &shop.component("guest").await["canary"];
    assert_eq!(
        (&canary["requests"], &canary["errors"]),
        (&0.into(), &0.into()),
        "{canary}"
    );
    assert_eq!(canary["when"], "x-tester");
    let request = shop.request(Method::GET, "/x").header("x-tester", "no");
    assert_eq!(send(request).await.text, "original");
}

async fn kept(least_requests: &str) -> (Shop, HostOptions) {
    let store = bare_store().await;
    let app = GuestApp::new(&store);
    let options = app.options(operated(&store)).args(&[
        "--canary-p99-slack",
        "10s",
        "--canary-min-requests",
        least_requests,
    ]);
    (Shop::on(store, options.clone()).await, options)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_goes_on_with_the_step_that_it_broke_off() {
    // A host that starts slowly gets no request in a step.
    let (shop, options) = kept("0").await;
    shop.try_out("second", "?steps=20,70&step_for=6s").await;
    eventually("the second step", async || {
        shop.component("guest").await["canary"]["step"] == 1
    })
    .await;
    let shop = shop.restarted(&options).await;
    let last = last(&shop).await;
    assert_eq!(
        (&last["result"], &last["generation"]),
        (&"promoted".into(), &2.into()),
        "{last}"
    );
    // The first step was not taken again.
    let passed = "store_rollout_phases_total{component=\"guest\",result=\"passed\"}";
    eventually("the second step is counted", async || {
        shop.metric(passed).await > 0.0
    })
    .await;
    assert_eq!(shop.metric(passed).await, 1.0);
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "second");
    // How it ended is known for good.
    assert_eq!(shop.component("guest").await["last"]["result"], "promoted");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_withdrawn_stays_so_after_a_restart() {
    let (shop, options) = kept("1").await;
    shop.try_out("second", LONG).await;
    shop.operate("/components/guest/abort").await.expect(200);
    let shop = shop.restarted(&options).await;
    assert!(shop.generations("guest", "canary").await.is_empty());
    assert_eq!(shop.component("guest").await["last"]["result"], "aborted");
    assert_eq!(shop.answer("/x").await, "original");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promoted_before_the_last_swap_is_no_news_after_a_restart() {
    let (shop, options) = kept("1").await;
    shop.try_out("second", LONG).await;
    shop.operate("/components/guest/promote").await.expect(200);
    // A hand is no judge.
    let phases = "store_rollout_phases_total{component=\"guest\",result=\"passed\"}";
    assert_eq!(shop.metric(phases).await, 0.0);
    shop.swap_in("third").await;
    let shop = shop.restarted(&options).await;
    assert_eq!(shop.answer("/x").await, "third");
    let guest = shop.component("guest").await;
    assert!(guest["last"].is_null(), "{guest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_in_which_the_host_ends_again_and_again_is_withdrawn() {
    let (mut shop, options) = kept("1").await;
    shop.try_out("second", LONG).await;
    for _ in 0..4 {
        assert_eq!(shop.generations("guest", "canary").await, [2]);
        shop.host.kill();
        shop = Shop::on(shop.store, options.clone()).await;
    }
    assert!(shop.generations("guest", "canary").await.is_empty());
    let last = &shop.component("guest").await["last"];
    assert!(
        last["reason"]
            .as_str()
            .unwrap()
            .contains("restarted 4 times"),
        "{last}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_roll_out_ends_with_its_host() {
    let (shop, options) = kept("1").await;
    let query = format!("{LONG}&ephemeral=true");
    shop.try_out("second", &query).await;
    let shop = shop.restarted(&options).await;
    assert!(shop.generations("guest", "canary").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_roll_out_is_refused() {
    let (shop, _app) = guest_shop(&[]).await;
    for (query, part) in [
        ("?steps=", "names no share"),
        ("?steps=5,1", "ascending"),
        ("?steps=0,5", "above 0"),
        ("?steps=5,101", "below 100"),
        ("?steps=5&step_for=0s", "longer than zero"),
        ("?steps=5&step_for=100y", "a week at most"),
        ("?steps=5&canary=5", "`canary`"),
        ("?steps=5&sticky=ip:1", "header:NAME or cookie:NAME"),
        ("?steps=5&when=x-tester", "NAME:VALUE"),
        ("?mirror=0", "`mirror`"),
        ("?mirror=101", "up to 100"),
        ("?step_for=5s", "needs `steps`"),
    ] {
        let answer = shop
            .swap_so("guest", query, guest("second").into_bytes())
            .await;
        let detail = refusal(&answer, 400, None);
        assert!(detail.contains(part), "{query}: {detail}");
    }
    assert_eq!(shop.generations("guest", "live").await, [1]);
    refusal(
        &shop
            .operate("/components/guest/step?rollout=a&phase=step-0&lease=1s")
            .await,
        409,
        None,
    );
    refusal(&shop.operate("/components/guest/step").await, 400, None);
    refusal(
        &shop.operate("/components/guest/settle?rollout=a").await,
        409,
        None,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_each_step_with_its_counts() {
    let (shop, _app) = guest_shop(&PATIENT).await;
    let path = file(&shop, "second.wasm", guest("second").bytes());
    let swap = [
        "swap",
        "guest",
        &path,
        "--steps",
        "30%,60%",
        "--step-for",
        "1s",
    ];
    let load = async {
        loop {
            ask(&shop, 50).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let output = tokio::select! {
        output = shop.typed(&swap) => output,
        () = load => unreachable!(),
    };
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    for part in [
        "30 %, 60 % of the requests, 1s each",
        "step 30 %  passed: ",
        "step 60 %  passed: ",
        "promoted   generation 2",
    ] {
        assert!(said.contains(part), "no `{part}` in:\n{said}");
    }
    let status = stdout(&shop.typed(&["status"]).await);
    assert!(
        status.contains("last change: generation 2 promoted"),
        "{status}"
    );
}
