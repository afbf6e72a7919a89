//! The same over HTTP/2, whose messages become HTTP/1.1 on their way to the upstream: what may stand in a frame may not
//! stand in a line. The cases are the testbed's, which the host is judged by as well.

use testbed::http2::{Case, Expect, INTENDED, Outcome, cases, judge};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{LIMITS, probe};
use crate::support::{NO_EJECTION, Rig, Upstream, shop};
use crate::tls::{Certificate, limited};

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_http2_without_tls_reaches_the_upstream_as_one_or_not_at_all() {
    let upstream = Upstream::start().await;
    let config = format!("{LIMITS}{}", shop(NO_EJECTION, [&upstream]));
    let rig = Rig::with("", "h2c = true", &config).await;
    run(&upstream, async || {
        TcpStream::connect(rig.address).await.unwrap()
    })
    .await;
    probe(&rig, &upstream).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_http2_over_tls_reaches_the_upstream_as_one_or_not_at_all() {
    let (upstream, certificate) = (Upstream::start().await, Certificate::new());
    let limits = LIMITS.strip_prefix("[limits]\n").unwrap();
    let (rig, _) = limited(limits, &certificate, &upstream).await;
    run(&upstream, async || {
        certificate.connect(&rig, "h2").await.unwrap()
    })
    .await;
}

/// After each case a good request goes through: a connection to the upstream that was left with something on it would
/// spoil it.
async fn run<C: AsyncRead + AsyncWrite + Unpin>(upstream: &Upstream, connect: impl AsyncFn() -> C) {
    let cases = cases();
    let plain = cases.first().unwrap();
    let mut failures = Vec::new();
    for case in &cases {
        let before = (upstream.count(), upstream.wrong().len());
        let (outcome, judged) = judge(case, connect().await, 200).await;
        failures.extend(judged.err());
        failures.extend(passed_on_wrongly(case, &outcome, upstream, before));
        let (_, after) = judge(plain, connect().await, 200).await;
        failures.extend(
            after
                .err()
                .map(|wrong| format!("after {}: {wrong}", case.name)),
        );
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// What is wrong with the requests that reached the upstream.
fn passed_on_wrongly(
    case: &Case,
    outcome: &Outcome,
    upstream: &Upstream,
    (before, wrong_before): (usize, usize),
) -> Option<String> {
    let requests = upstream.requests().split_off(before);
    let targets: Vec<&str> = requests.iter().map(|r| r.target()).collect();
    // `h2` cuts off a fragment, so the upstream never sees one.
    let path =
        |target: &&str| !target.contains('#') && target.split(['?', '"']).next() == Some(INTENDED);
    let expected = match case.expect {
        Expect::Served => !targets.is_empty() && targets.iter().all(path),
        Expect::Refused | Expect::Problem(_) => targets.is_empty(),
        Expect::Either | Expect::Ended => targets.iter().all(path),
    };
    let wrong = upstream.wrong().split_off(wrong_before);
    (!expected || !wrong.is_empty()).then(|| {
        let name = case.name;
        format!("{name}: upstream saw {targets:?} and could not read {wrong:?}, client {outcome:?}")
    })
}
