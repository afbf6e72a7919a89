//! Malformed and smuggled requests, as raw bytes: at most the intended request reaches the upstream, and never two.
//!
//! The upstream reads as strictly as the RFC is written, so a request that could be understood in two ways fails the
//! test even if the proxy and this upstream agree on one of them. After each case a probe goes through the same proxy:
//! a connection to the upstream that was left with something on it would spoil it.

mod chunks;
mod framing;
mod head;
mod http2;

use std::time::Duration;

use tokio::time::sleep;

use crate::support::wire::ReadResult;
use crate::support::{
    Client, Kind, NO_EJECTION, Reply, Rig, Upstream, answered_by, eventually, get, problem,
    request, shop, wire,
};

/// What a smuggler wants the upstream to see.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// The target of what the upstream may see.
const INTENDED: &str = "/in";

/// Small ones, so that the cases beyond them are short.
const LIMITS: &str = "[limits]\nheader_timeout = \"2s\"\nbody_timeout = \"2s\"\nheader_bytes = 8192\nheader_count = 40\nbody_bytes = 65536\n";

/// One connection's bytes, and what must come of them.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    expect: Expect,
    /// The client says that it will send nothing more.
    finished: bool,
}

#[derive(Clone, Copy)]
enum Expect {
    /// One of these statuses; the connection ends, and nothing whole reaches the upstream.
    Refused(&'static [u16]),
    /// Exactly one well-formed request with the intended target.
    One,
    /// Either of the two above.
    OneOr(&'static [u16]),
    /// One as above, and what follows it is refused.
    OneThen(&'static [u16]),
    /// Nothing whole reaches the upstream, whatever the client is told.
    Nothing,
}

use Expect::{Nothing, One, OneOr, OneThen, Refused};

fn case(name: &'static str, expect: Expect, bytes: impl Into<Vec<u8>>) -> Case {
    Case {
        name,
        bytes: bytes.into(),
        expect,
        finished: false,
    }
}

/// Cases of which the same must come. Beside its name, each has the text from which `bytes` makes the rest.
fn each(
    expect: Expect,
    bytes: impl Fn(&str) -> String,
    cases: &[(&'static str, &str)],
) -> Vec<Case> {
    let cases = cases.iter();
    let cases = cases.map(|&(name, text)| case(name, expect, bytes(text)));
    cases.collect()
}

/// The client half-closes after it.
fn finished(mut case: Case) -> Case {
    case.finished = true;
    case
}

/// A POST with these header lines, each with its line end, and whatever follows the head.
fn post(headers: &str, rest: &str) -> String {
    format!("POST {INTENDED} HTTP/1.1\r\nHost: shop.example\r\n{headers}\r\n{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_heads_are_refused_or_made_one_request() {
    run(head::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_framing_is_refused_or_made_one_request() {
    run(framing::cases()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_chunks_are_refused_or_made_one_request() {
    run(chunks::cases()).await;
}

/// The judge must be able to say two.
#[tokio::test(flavor = "multi_thread")]
async fn two_honest_requests_in_one_packet_are_two() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    client.send(get("/one") + &get("/two")).await;
    for target in ["/one", "/two"] {
        assert_eq!(client.answer().await.json()["target"], target);
    }
    assert_eq!(upstream.count(), 2);
}

/// The second comes in pieces, the first of them while its predecessor is under way.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_follows_in_later_packets_waits_its_turn() {
    for first in [get("/one"), request("POST", "/one", &[], "hello")] {
        let (upstream, gate) = Upstream::holding("/one").await;
        let rig = Rig::start(&shop("", [&upstream])).await;
        let mut client = rig.client().await;
        client.send(first).await;
        eventually("it is under way", async || upstream.count() == 1).await;
        let second = request("POST", "/two", &[], "hello");
        let (begin, rest) = second.split_at(second.len() - 2);
        client.send(begin).await;
        sleep(Duration::from_millis(100)).await;
        gate.add_permits(1);
        assert_eq!(client.answer().await.json()["target"], "/one");
        client.send(rest).await;
        let answer = client.answer().await.json();
        assert_eq!(
            (&answer["target"], &answer["body"]),
            (&"/two".into(), &"hello".into())
        );
        assert_eq!(upstream.count(), 2);
    }
}

/// Old clients send one (RFC 9112, section 2.2).
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_line_between_requests_is_passed_over() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let post = request("POST", "/one", &[], "hello") + "\r\n";
    let mut together = rig.client().await;
    together.send(post.clone() + &get("/two")).await;
    let mut apart = rig.client().await;
    apart.send(post).await;
    for client in [&mut together, &mut apart] {
        assert_eq!(client.answer().await.json()["body"], "hello");
    }
    apart.send(get("/two")).await;
    for mut client in [together, apart] {
        assert_eq!(client.answer().await.json()["target"], "/two");
    }
    assert_eq!(upstream.count(), 4);
}

async fn run(cases: Vec<Case>) {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&format!("{LIMITS}{}", shop(NO_EJECTION, [&upstream]))).await;
    let mut failures = Vec::new();
    for case in cases {
        if let Err(failure) = judge(&case, &rig, &upstream).await {
            failures.push(format!("{}: {failure}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(upstream.count_of("/smuggled"), 0);
}

async fn judge(case: &Case, rig: &Rig, upstream: &Upstream) -> Result<(), String> {
    let (before, wrong_before) = (upstream.count(), upstream.wrong().len());
    let mut client = rig.client().await;
    client.send(&case.bytes).await;
    if case.finished {
        client.finish().await;
    }
    let said = told(case, &mut client).await;
    probe(rig, upstream).await?;
    let wrong = upstream.wrong().split_off(wrong_before);
    if !wrong.is_empty() {
        return Err(format!("the upstream could not read {wrong:?}"));
    }
    let requests = upstream.requests().split_off(before);
    let targets: Vec<&str> = requests.iter().map(|r| r.target()).collect();
    let forwarded = said.as_ref().is_ok_and(|status| *status == 200);
    let expected: &[&str] = if forwarded {
        &[INTENDED, "/probe"]
    } else {
        &["/probe"]
    };
    if targets != expected {
        return Err(format!(
            "the client was told {said:?}, and upstream saw {targets:?}"
        ));
    }
    said.map(drop)
}

/// The status of the first answer, if it and what follows are as expected; 0 if nothing was said.
async fn told(case: &Case, client: &mut Client) -> Result<u16, String> {
    if let Nothing = case.expect {
        let all = client.rest().await.ok_or("the connection stayed open")?;
        return match wire::read(&all, Kind::Response, true) {
            ReadResult::Message(answer, _) if answer.status() < 400 => {
                Err(format!("answered with {}", answer.status()))
            }
            _ => Ok(0),
        };
    }
    let answer = client.try_answer(Kind::Response).await;
    let answer = answer.map_err(|none| format!("no answer: {none}"))?;
    let status = answer.status();
    match case.expect {
        One if status == 200 => Ok(200),
        OneThen(statuses) if status == 200 => {
            let next = client.try_answer(Kind::Response).await;
            let next = next.map_err(|none| format!("no second answer: {none}"))?;
            refused(&next, statuses, client).await.map(|_| 200)
        }
        OneOr(_) if status == 200 => Ok(200),
        Refused(statuses) | OneOr(statuses) => refused(&answer, statuses, client).await,
        One | OneThen(_) | Nothing => Err(format!("answered with {status}: {}", answer.text())),
    }
}

async fn refused(
    answer: &wire::Message,
    statuses: &[u16],
    client: &mut Client,
) -> Result<u16, String> {
    let status = answer.status();
    if !statuses.contains(&status) {
        return Err(format!("answered with {status}: {}", answer.text()));
    }
    problem(answer, status);
    match client.rest().await {
        None => Err("the connection stayed open".into()),
        Some(rest) if rest.is_empty() => Ok(status),
        Some(rest) => Err(format!("more came: {}", rest.escape_ascii())),
    }
}

async fn probe(rig: &Rig, upstream: &Upstream) -> Result<(), String> {
    let before = upstream.count();
    let probe = request("POST", "/probe", &[("idempotency-key", "probe")], "probe");
    let answer = rig.ask(probe).await;
    if answer.status() != 200 || answer.json()["body"] != "probe" {
        return Err(format!("the next request was answered {answer:?}"));
    }
    assert!(upstream.count() > before, "the upstream counts");
    assert_eq!(answered_by(&answer), upstream.address);
    Ok(())
}

/// What an upstream answers can be malformed too; it must not reach a client as two answers.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_answers_of_an_upstream_are_502_or_one_answer() {
    let cases: [(&str, &str); 8] = [
        ("not HTTP", "hello\r\n\r\n"),
        ("no status", "HTTP/1.1\r\n\r\n"),
        (
            "a status of letters",
            "HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "two lengths",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nhiyou",
        ),
        (
            "a length of letters",
            "HTTP/1.1 200 OK\r\ncontent-length: ab\r\n\r\nhi",
        ),
        (
            "a bad chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
        ),
        ("a cut head", "HTTP/1.1 200 OK\r\ncontent-len"),
        (
            "a second answer",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
        ),
    ];
    for (name, bytes) in cases {
        let upstream =
            Upstream::with(move |_| Reply::BytesThenClose(bytes.as_bytes().to_vec())).await;
        let rig = Rig::start(&shop(NO_EJECTION, [&upstream])).await;
        let mut client = rig.client().await;
        client.send(get("/first")).await;
        let first = client.try_answer(Kind::Response).await;
        if let Ok(first) = &first {
            let told = (first.status(), first.text());
            assert!(
                told.0 == 502 || told == (200, "hi".into()),
                "{name}: {told:?}"
            );
        }
        upstream.behave(|_| Reply::Echo);
        let second = rig.get("/second").await;
        assert_eq!(second.json()["target"], "/second", "{name}");
    }
}
