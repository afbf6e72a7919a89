//! HTTP/2 as raw frames: the cases that the proxy is judged by as well.

use std::time::{Duration, Instant};

use testbed::http2::{Case, Expect, Outcome, cases, judge};
use tokio::net::TcpStream;

use crate::support::Shop;

/// No component has the cases' path, so a request that is served is answered with 404 by one.
const SERVED: u16 = 404;

/// How long after a client has heard of a refusal it may be counted and logged: what the host gives up is counted when
/// the connection has ended.
const LATER: Duration = Duration::from_secs(5);

/// The code of a reset that says that the request broke the protocol (RFC 9113, section 7).
const PROTOCOL_ERROR: u32 = 1;

/// What the log says of a request or a connection that is counted as refused.
const LINES: [&str; 3] = [
    "Refused a request",
    "Reset a request",
    "Closed a connection",
];

/// How often the host has counted a refusal, and how often it has logged one.
async fn refusals(shop: &Shop) -> (f64, usize) {
    let text = shop.scrape().await;
    let series = text
        .lines()
        .filter(|line| line.starts_with("store_refusals_total{"));
    let counted = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let log = shop.host.log();
    let logged = log
        .lines()
        .filter(|line| LINES.iter().any(|said| line.contains(said)));
    (counted.sum(), logged.count())
}

/// What is wrong with the way a refusal was told to the client, counted and logged. Only a connection that is given up,
/// or a stream that breaks no rule of messages, ends without an answer.
async fn told_wrongly(
    shop: &Shop,
    case: &Case,
    outcome: &Outcome,
    before: (f64, usize),
) -> Option<String> {
    if !matches!(
        case.expect,
        Expect::Refused | Expect::Problem(_) | Expect::Ended
    ) {
        return None;
    }
    let is_told = match outcome {
        Outcome::Answered(status, _) => status.is_some(),
        Outcome::Reset(code) => *code != PROTOCOL_ERROR,
        Outcome::Ended(_) => true,
        Outcome::Nothing => false,
    };
    if !is_told {
        return Some(format!("{}: no problem but {outcome:?}", case.name));
    }
    let since = Instant::now();
    let mut now = refusals(shop).await;
    while (now.0 <= before.0 || now.1 <= before.1) && since.elapsed() < LATER {
        tokio::time::sleep(Duration::from_millis(10)).await;
        now = refusals(shop).await;
    }
    let is_noted = now.0 > before.0 && now.1 > before.1;
    (!is_noted).then(|| {
        format!(
            "{}: {outcome:?}, counted and logged {before:?}, then {now:?}",
            case.name
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_http2_is_served_or_refused_and_leaves_nothing_behind() {
    let shop = Shop::open().await;
    let address = shop.host.url("").replace("http://", "");
    let connect = async || TcpStream::connect(&address).await.unwrap();
    let cases = cases();
    let plain = cases.first().unwrap();
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        if number % 40 == 39 {
            // The host writes at most a hundred such lines in a second, and would leave out those of later cases.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let before = refusals(&shop).await;
        let (outcome, judged) = judge(case, connect().await, SERVED).await;
        failures.extend(judged.err());
        failures.extend(told_wrongly(&shop, case, &outcome, before).await);
        let (_, after) = judge(plain, connect().await, SERVED).await;
        failures.extend(
            after
                .err()
                .map(|wrong| format!("after {}: {wrong}", case.name)),
        );
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let resets = "store_refusals_total{reason=\"http2_reset\"}";
    assert!(shop.metric(resets).await > 0.0, "the library resets some");
    let large = "store_refusals_total{reason=\"head_too_large\"}";
    assert_eq!(shop.metric(large).await, 2.0);
}
