//! Answers kept in memory: which, for how long, and who fetches the next.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::access_log::{LOG, lines};
use crate::support::{
    Message, NO_EJECTION, PATIENCE, Reply, Rig, Upstream, eventually, get, request, shop,
};

/// What the tests ask for.
const REPORT: &str = "/orders/reports/best-sellers";

/// 200 with these headers.
fn answer(headers: &[(&'static str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).into()));
    Reply::Answer(200, headers.collect(), body.into())
}

/// 200 that may be kept for a minute.
fn fresh(body: &str) -> Reply {
    answer(
        &[("cache-control", "max-age=60"), ("etag", "W/\"tag\"")],
        body,
    )
}

async fn cached(upstreams: &[Upstream]) -> Rig {
    let keys = format!("cache = {{}}\n{NO_EJECTION}");
    Rig::start(&shop(&keys, upstreams)).await
}

/// An upstream and a proxy that keeps its answers.
async fn one(reply: Reply) -> (Upstream, Rig) {
    let upstream = Upstream::with(move |_| reply.clone()).await;
    let rig = cached(std::slice::from_ref(&upstream)).await;
    (upstream, rig)
}

impl Rig {
    async fn cache_requests(&self, result: &str) -> f64 {
        let label = format!("result=\"{result}\"");
        let name = "store_proxy_cache_requests_total";
        self.metric(name, &[&label]).await
    }

    /// Waits until so many requests of this result are counted, which happens once an answer has been sent.
    async fn counts(&self, result: &str, requests: f64) {
        let what = format!("{requests} requests with the result {result}");
        eventually(&what, async || {
            self.cache_requests(result).await == requests
        })
        .await;
    }

    async fn purge(&self) {
        let output = self.control(&["purge"]).await;
        assert!(output.status.success(), "{output:?}");
    }
}

#[track_caller]
fn cache_status(answer: &Message) -> &str {
    answer.header("cache-status").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_answer_costs_no_upstream_request() {
    let (upstream, rig) = one(fresh("report")).await;
    let first = rig.get(REPORT).await;
    assert_eq!((first.status(), first.text()), (200, "report".into()));
    assert_eq!(cache_status(&first), "store-proxy; fwd=uri-miss; stored");
    assert_eq!(first.header("age"), None);
    for _ in 0..3 {
        let again = rig.get(REPORT).await;
        assert_eq!((again.status(), again.text()), (200, "report".into()));
        assert!(cache_status(&again).starts_with("store-proxy; hit; ttl="));
        assert!(again.header("age").unwrap().parse::<u64>().unwrap() < 60);
        assert_eq!(again.header("etag"), Some("W/\"tag\""));
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    assert_eq!(upstream.count(), 1);
    rig.counts("miss", 1.0).await;
    rig.counts("hit", 3.0).await;
    assert_eq!(rig.metric("store_proxy_cache_entries", &[]).await, 1.0);
    assert!(rig.metric("store_proxy_cache_bytes", &[]).await > 6.0);
    // Another query is another answer.
    rig.get(&format!("{REPORT}?x")).await;
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_is_kept() {
    let upstream = Upstream::with(|_| fresh("report")).await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    for _ in 0..2 {
        assert_eq!(rig.get(REPORT).await.header("cache-status"), None);
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_from_what_get_would_bring() {
    let (upstream, rig) = one(fresh("report")).await;
    for _ in 0..2 {
        let mut client = rig.client().await;
        client.send(request("HEAD", REPORT, &[], "")).await;
        let head = client.try_answer(crate::support::Kind::HeadResponse).await;
        let head = head.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.header("content-length"), Some("6"));
        // Nothing more came with it.
        assert_eq!(client.ask(get(REPORT)).await.text(), "report");
    }
    let asked = upstream.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method(), "GET");
    // The client's call was no GET, so no host counts one.
    assert_eq!(asked[0].header("store-cache-fill"), Some("?1"));
    rig.wait_for_metric("best_sellers_total", &[], 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_answer_is_told_so() {
    let (upstream, rig) = one(fresh("report")).await;
    // From the upstream's answer first, then from the cache.
    for tag in ["\"x\", W/\"tag\"", "*", "\"tag\""] {
        let mut client = rig.client().await;
        let known = request("GET", REPORT, &[("if-none-match", tag)], "");
        let answer = client.ask(&known).await;
        assert_eq!(answer.status(), 304, "{tag}");
        assert_eq!(answer.header("etag"), Some("W/\"tag\""));
        assert_eq!(answer.header("cache-control"), Some("max-age=60"));
        assert_eq!(client.ask(get(REPORT)).await.text(), "report");
    }
    let other = request("GET", REPORT, &[("if-none-match", "\"other\"")], "");
    assert_eq!(rig.ask(other).await.status(), 200);
    assert_eq!(upstream.count(), 1);
    assert_eq!(upstream.requests()[0].header("if-none-match"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_readers_of_a_cold_entry_cost_one_request() {
    let (held, gate) = fresh("report").held();
    let (upstream, rig) = one(held).await;
    let readers: Vec<_> = (0..500)
        .map(|_| {
            let address = rig.address;
            tokio::spawn(async move {
                let mut client = crate::support::Client::connect(address).await;
                client.ask(get(REPORT)).await.text()
            })
        })
        .collect();
    eventually("one asks the upstream", async || upstream.count() == 1).await;
    eventually("all are connected", async || {
        rig.metric("store_proxy_connections", &[]).await >= 500.0
    })
    .await;
    gate.add_permits(500);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), "report");
    }
    assert_eq!(upstream.count(), 1);
    eventually("all but one are counted", async || {
        rig.cache_requests("hit").await == 499.0
            && rig.metric("best_sellers_total", &[]).await == 499.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_vary_are_kept_apart() {
    let upstream = Upstream::with(|request| {
        let language = request.header("accept-language").unwrap_or("none");
        let vary = [("cache-control", "max-age=60"), ("vary", "Accept-Language")];
        answer(&vary, language)
    })
    .await;
    let rig = cached(std::slice::from_ref(&upstream)).await;
    for _ in 0..3 {
        for language in ["fr", "en"] {
            let asked = request("GET", REPORT, &[("accept-language", language)], "");
            assert_eq!(rig.ask(asked).await.text(), language);
        }
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_one_client_or_not_for_caches_is_not_kept() {
    for header in [
        ("cache-control", "no-store"),
        ("cache-control", "private, max-age=60"),
        ("cache-control", "no-cache"),
        ("content-type", "text/plain"),
    ] {
        let (upstream, rig) = one(answer(&[header], "x")).await;
        for _ in 0..3 {
            assert_eq!(rig.get("/a").await.text(), "x");
        }
        assert_eq!(upstream.count(), 3, "{header:?}");
    }
    let cookie = [("cache-control", "max-age=60"), ("set-cookie", "a=b")];
    let (upstream, rig) = one(answer(&cookie, "x")).await;
    for _ in 0..2 {
        assert_eq!(rig.get("/a").await.text(), "x");
    }
    assert_eq!(upstream.count(), 2);
    let error = Reply::Answer(
        503,
        vec![("cache-control", "max-age=60".into())],
        "x".into(),
    );
    let (upstream, rig) = one(error).await;
    for _ in 0..2 {
        assert_eq!(rig.get("/a").await.status(), 503);
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_ask_for_more_go_past_the_cache() {
    let (upstream, rig) = one(fresh("x")).await;
    rig.get("/a").await;
    for header in [
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("cache-control", "no-cache"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
        ("range", "bytes=0-1"),
    ] {
        let before = upstream.count();
        let answer = rig.ask(request("GET", "/a", &[header], "")).await;
        assert_eq!(cache_status(&answer), "store-proxy; fwd=bypass");
        assert_eq!(upstream.count(), before + 1, "{header:?}");
    }
    let posted = rig.ask(request("POST", "/a", &[], "{}")).await;
    assert_eq!(posted.header("cache-status"), None);
    rig.counts("bypass", 6.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_cacheable_is_kept_from_then_on() {
    let (upstream, rig) = one(answer(&[("cache-control", "no-cache")], "x")).await;
    for _ in 0..3 {
        rig.get("/a").await;
    }
    upstream.behave(|_| fresh("y"));
    for _ in 0..3 {
        assert_eq!(rig.get("/a").await.text(), "y");
    }
    assert_eq!(upstream.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_larger_than_the_limit_are_passed_on_and_not_kept() {
    let large = "x".repeat(3000);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    for reply in [fresh(&large), Reply::Bytes(chunked.into())] {
        let upstream = Upstream::with(move |_| reply.clone()).await;
        let keys = "cache = { max_object_kib = 2 }";
        let rig = Rig::start(&shop(keys, [&upstream])).await;
        for _ in 0..2 {
            assert_eq!(rig.get("/a").await.text(), large);
        }
        assert_eq!(upstream.count(), 2);
        assert_eq!(rig.metric("store_proxy_cache_entries", &[]).await, 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_forgets_everything() {
    let (upstream, rig) = one(fresh("old")).await;
    assert_eq!(rig.get(REPORT).await.text(), "old");
    upstream.behave(|_| fresh("new"));
    assert_eq!(rig.get(REPORT).await.text(), "old");
    rig.purge().await;
    assert_eq!(rig.get(REPORT).await.text(), "new");
    assert_eq!(rig.metric("store_proxy_cache_purges_total", &[]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_asked_for_before_a_purge_is_not_kept_after_it() {
    let (held, gate) = fresh("old").held();
    let (upstream, rig) = one(held).await;
    let mut early = rig.client().await;
    early.send(get(REPORT)).await;
    eventually("it has arrived", async || upstream.count() == 1).await;
    upstream.behave(|_| fresh("new"));
    rig.purge().await;
    // It comes after the purge, and does not wait for the one that came before.
    assert_eq!(rig.get(REPORT).await.text(), "new");
    gate.add_permits(1);
    assert_eq!(early.answer().await.text(), "old");
    assert_eq!(rig.get(REPORT).await.text(), "new");
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_is_given_while_one_request_fetches_the_next() {
    let stale = [("cache-control", "max-age=1, stale-while-revalidate=60")];
    let (upstream, rig) = one(answer(&stale, "old")).await;
    assert_eq!(rig.get(REPORT).await.text(), "old");
    let (new, gate) = fresh("new").held();
    upstream.behave(move |_| new.clone());
    sleep(Duration::from_millis(1_100)).await;
    for _ in 0..20 {
        let answer = rig.get(REPORT).await;
        assert_eq!(answer.text(), "old");
        assert!(cache_status(&answer).starts_with("store-proxy; hit; ttl="));
    }
    eventually("one fetches", async || upstream.count() == 2).await;
    let fetched = &upstream.requests()[1];
    assert_eq!(fetched.header("store-cache-fill"), Some("?1"));
    gate.add_permits(1);
    eventually("the next is there", async || {
        rig.get(REPORT).await.text() == "new"
    })
    .await;
    assert_eq!(upstream.count(), 2);
    rig.counts("background", 1.0).await;
    // Of the clients, only the first needed an upstream.
    let answered = rig.metric("http_requests_total", &["2xx"]).await;
    assert_eq!(rig.metric("best_sellers_total", &[]).await, answered - 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_word_that_it_fills_a_cache_is_not_passed_on() {
    let (upstream, rig) = one(Reply::Echo).await;
    rig.ask(request("GET", "/a", &[("store-cache-fill", "?1")], ""))
        .await;
    assert_eq!(upstream.requests()[0].header("store-cache-fill"), None);
}

/// Hosts count what reaches them but for the proxy's own requests, and the proxy what it answers itself.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_counted_once_wherever_it_is_answered() {
    let words = [("cache-control", "max-age=1, stale-while-revalidate=1")];
    let (upstream, rig) = one(answer(&words, "x")).await;
    let mut client = rig.client().await;
    let (mut calls, until) = (0, Instant::now() + Duration::from_secs(5));
    while Instant::now() < until {
        assert_eq!(client.ask(get(REPORT)).await.status(), 200);
        calls += 1;
        // Now and then longer than the old answer may be given.
        let pause = if calls % 20 == 0 { 2_100 } else { 40 };
        sleep(Duration::from_millis(pause)).await;
    }
    let requests = upstream.requests();
    let by_hosts = requests
        .iter()
        .filter(|r| r.header("store-cache-fill").is_none());
    let by_proxy = rig.metric("best_sellers_total", &[]).await;
    assert_eq!(by_hosts.count() as f64 + by_proxy, f64::from(calls));
    assert_eq!(rig.metric("highest_spenders_total", &[]).await, 0.0);
    assert!(rig.scrape().await.contains("\norders_total 0\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_stands_in_for_an_error_as_long_as_it_may() {
    let words = [("cache-control", "max-age=1, stale-if-error=60")];
    let (upstream, rig) = one(answer(&words, "old")).await;
    assert_eq!(rig.get(REPORT).await.text(), "old");
    sleep(Duration::from_millis(1_100)).await;
    for reply in [
        Reply::Answer(503, Vec::new(), "down".into()),
        Reply::Close,
        Reply::Reset,
    ] {
        upstream.behave(move |_| reply.clone());
        let answer = rig.get(REPORT).await;
        assert_eq!((answer.status(), answer.text()), (200, "old".into()));
    }
    let name = "store_proxy_upstream_requests_total";
    assert_eq!(
        rig.metric(name, &["5xx"]).await,
        1.0,
        "its own answer counts"
    );
    upstream.stop().await;
    assert_eq!(rig.get(REPORT).await.text(), "old");
    rig.purge().await;
    assert_eq!(rig.get(REPORT).await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_says_304_renews_the_answer() {
    let words = [("cache-control", "max-age=1"), ("etag", "\"one\"")];
    let (upstream, rig) = one(answer(&words, "x")).await;
    assert_eq!(rig.get(REPORT).await.text(), "x");
    upstream.behave(|request| match request.header("if-none-match") {
        Some("\"one\"") => Reply::Bytes(
            "HTTP/1.1 304 Not Modified\r\ncache-control: max-age=60\r\netag: \"one\"\r\n\r\n"
                .into(),
        ),
        _ => Reply::Close,
    });
    sleep(Duration::from_millis(1_100)).await;
    let renewed = rig.get(REPORT).await;
    assert_eq!((renewed.status(), renewed.text()), (200, "x".into()));
    assert_eq!(rig.get(REPORT).await.text(), "x");
    assert_eq!(upstream.count(), 2);
    rig.counts("revalidated", 1.0).await;
    rig.counts("hit", 1.0).await;
}

/// What it said to us with the kept answer does not outlive what it says to everybody now.
#[tokio::test(flavor = "multi_thread")]
async fn a_304_that_forbids_keeping_ends_what_was_allowed() {
    let words = [
        ("cache-control", "s-maxage=60"),
        ("cdn-cache-control", "max-age=1"),
        ("etag", "\"one\""),
    ];
    let (upstream, rig) = one(answer(&words, "x")).await;
    assert_eq!(rig.get(REPORT).await.text(), "x");
    upstream.behave(|request| match request.header("if-none-match") {
        Some(_) => Reply::Bytes(
            "HTTP/1.1 304 Not Modified\r\ncache-control: no-cache\r\netag: \"one\"\r\n\r\n".into(),
        ),
        None => answer(&[("cache-control", "no-cache")], "x"),
    });
    sleep(Duration::from_millis(1_100)).await;
    for asked in 2..5 {
        assert_eq!(rig.get(REPORT).await.text(), "x");
        assert_eq!(upstream.count(), asked, "it was kept");
    }
    let name = "store_proxy_upstream_requests_total";
    assert_eq!(rig.metric(name, &["3xx"]).await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_fails_sends_one_waiter_and_not_all() {
    let (down, gate) = Reply::Answer(503, Vec::new(), "down".into()).held();
    let (upstream, rig) = one(down).await;
    let mut first = rig.client().await;
    first.send(get(REPORT)).await;
    eventually("it has arrived", async || upstream.count() == 1).await;
    upstream.behave(|_| fresh("up"));
    let mut waiters = Vec::new();
    for _ in 0..50 {
        let mut client = rig.client().await;
        client.send(get(REPORT)).await;
        waiters.push(client);
    }
    gate.add_permits(1);
    assert_eq!(first.answer().await.status(), 503);
    for mut waiter in waiters {
        assert_eq!(waiter.answer().await.text(), "up");
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_changes_a_group_empties_its_cache() {
    let (upstream, rig) = one(fresh("x")).await;
    let with = |keys: &str| shop(&format!("{keys}\n{NO_EJECTION}"), [&upstream]);
    rig.get("/a").await;
    rig.reload(&with("cache = {}")).await;
    rig.get("/a").await;
    assert_eq!(upstream.count(), 1, "nothing changed");
    rig.reload(&with("cache = { size_mib = 2 }")).await;
    rig.get("/a").await;
    assert_eq!(upstream.count(), 2);
    rig.reload(&with("")).await;
    rig.get("/a").await;
    rig.get("/a").await;
    assert_eq!(upstream.count(), 4);
    assert_eq!(rig.metric("store_proxy_cache_bytes", &[]).await, 0.0);
    rig.reload(&with("cache = {}")).await;
    rig.get("/a").await;
    rig.get("/a").await;
    assert_eq!(upstream.count(), 5);
}

/// The plainest are answered before pingora hears of them; a header that could mean something sends them the whole way.
#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_get_what_others_get_and_are_counted_and_logged_alike() {
    let upstream = Upstream::with(|_| {
        let date = ("date", "Mon, 23 Nov 2026 08:00:00 GMT");
        // Said of its connection to the proxy.
        let hop = ("connection", "close");
        answer(&[date, hop, ("cache-control", "max-age=60")], "report")
    });
    let upstream = upstream.await;
    let keys = format!("cache = {{}}\n{NO_EJECTION}");
    let rig = Rig::start(&format!("{LOG}{}", shop(&keys, [&upstream]))).await;
    let mut client = rig.client().await;
    client.ask(get(REPORT)).await;
    let agent = ("user-agent", "one");
    let plain = request("GET", REPORT, &[agent], "");
    let other = request("GET", REPORT, &[agent, ("x-other", "1")], "");
    let mut answers = Vec::new();
    for request in [&plain, &other, &plain, &other] {
        answers.push(client.ask(request).await);
    }
    let seen = |answer: &Message| {
        // Pingora dates answers anew; the others have the date that they were kept with.
        let changing = ["x-request-id", "age", "cache-status", "date"];
        assert!(changing.iter().all(|name| answer.header(name).is_some()));
        let mut headers: Vec<_> = answer.headers.clone();
        for (name, _) in &mut headers {
            name.make_ascii_lowercase();
        }
        assert_ne!(answer.header("connection"), Some("close"));
        // That the connection stays open is what HTTP/1.1 means anyway.
        headers.retain(|(name, _)| name != "connection" && !changing.contains(&name.as_str()));
        headers.sort();
        (answer.status(), headers, answer.text())
    };
    let first = seen(&answers[0]);
    for answer in &answers {
        assert_eq!(seen(answer), first);
        assert!(cache_status(answer).starts_with("store-proxy; hit; ttl="));
    }
    assert_eq!(upstream.count(), 1);
    // Both are done after the answer, counting first.
    eventually("all are logged", async || lines(&rig.folder).len() == 5).await;
    rig.counts("hit", 4.0).await;
    assert_eq!(rig.metric("best_sellers_total", &[]).await, 4.0);
    let answered = rig.metric("http_requests_total", &["2xx"]);
    assert_eq!(answered.await, 5.0);

    let logged = lines(&rig.folder);
    for (line, answer) in logged[1..].iter().zip(&answers) {
        assert_eq!(line["request_id"], answer.header("x-request-id").unwrap());
        for key in line.as_object().unwrap().keys() {
            if !["time", "request_id", "duration_ms"].contains(&key.as_str()) {
                assert_eq!(line[key], logged[2][key], "{key}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_sent_ahead_are_answered_in_turn_from_cache_and_upstream() {
    let (upstream, rig) = one(fresh("x")).await;
    rig.get("/kept").await;
    upstream.behave(|request| answer(&[], request.target()));
    let mut client = rig.client().await;
    let ahead: String = ["/kept", "/new", "/kept", "/kept", "/other"]
        .map(get)
        .concat();
    client.send(ahead).await;
    for expected in ["x", "/new", "x", "x", "/other"] {
        assert_eq!(client.answer().await.text(), expected);
    }
}

/// The text of a report over HTTP/2.
async fn over_http2(sender: &mut h2::client::SendRequest<bytes::Bytes>) -> String {
    let uri = format!("http://shop.example{REPORT}");
    let asked = http::Request::get(uri).body(()).unwrap();
    let (answer, _) = sender.send_request(asked, true).unwrap();
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    let body = answer.into_body().data().await.unwrap().unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_is_given_over_http2_too() {
    let stale = [("cache-control", "max-age=1, stale-while-revalidate=60")];
    let upstream = Upstream::with(move |_| answer(&stale, "old")).await;
    let config = shop(&format!("cache = {{}}\n{NO_EJECTION}"), [&upstream]);
    let rig = Rig::with("", "h2c = true", &config).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    assert_eq!(over_http2(&mut sender).await, "old");
    let (new, gate) = fresh("new").held();
    upstream.behave(move |_| new.clone());
    sleep(Duration::from_millis(1_100)).await;
    for _ in 0..5 {
        assert_eq!(over_http2(&mut sender).await, "old");
    }
    eventually("one fetches", async || upstream.count() == 2).await;
    let fetched = &upstream.requests()[1];
    assert_eq!(fetched.header("store-cache-fill"), Some("?1"));
    assert_eq!(fetched.header("host"), Some("shop.example"));
    gate.add_permits(1);
    eventually("the next is there", async || {
        over_http2(&mut sender).await == "new"
    })
    .await;
    rig.counts("background", 1.0).await;
    connection.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_answer_stands_in_for_an_error_over_http2_too() {
    let words = [("cache-control", "max-age=1, stale-if-error=60")];
    let upstream = Upstream::with(move |_| answer(&words, "old")).await;
    let config = shop(&format!("cache = {{}}\n{NO_EJECTION}"), [&upstream]);
    let rig = Rig::with("", "h2c = true", &config).await;
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    assert_eq!(over_http2(&mut sender).await, "old");
    sleep(Duration::from_millis(1_100)).await;
    for reply in [
        Reply::Answer(503, Vec::new(), "down".into()),
        Reply::Close,
        Reply::Reset,
    ] {
        upstream.behave(move |_| reply.clone());
        assert_eq!(over_http2(&mut sender).await, "old");
    }
    upstream.stop().await;
    assert_eq!(over_http2(&mut sender).await, "old");
    connection.abort();
}

/// Nobody knows what the other name stands for, so the answer is for one request alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_varies_by_what_cannot_be_read_is_not_kept() {
    let headers = [
        ("cache-control", "max-age=60"),
        ("vary", "accept, x-l\u{e4}nge"),
    ];
    let (upstream, rig) = one(answer(&headers, "x")).await;
    for count in 1..=2 {
        assert_eq!(rig.get(REPORT).await.text(), "x");
        assert_eq!(upstream.count(), count);
    }
}
