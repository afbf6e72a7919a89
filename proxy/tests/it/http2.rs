//! HTTP/2 requests become HTTP/1.1 on their way to upstreams, and are refused in the same words.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;
use testbed::Signal;
use testbed::http2::{
    END_HEADERS, END_STREAM, PREFACE, block, fields, frame, kind, request_for, settings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::access_log::{LOG, lines};
use crate::support::{
    BROKE_OFF, NO_EJECTION, PATIENCE, Reply, Rig, Upstream, eventually, group, request, server_at,
    shop,
};

/// One connection.
struct Http2 {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    async fn connect(rig: &Rig) -> Self {
        let stream = TcpStream::connect(rig.address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        Self {
            sender,
            connection: tokio::spawn(connection),
        }
    }

    /// Sends a request with these parts of a body, the last of which ends it.
    async fn ask(&mut self, request: Request<()>, parts: &[&str]) -> Result<Answer, h2::Error> {
        self.sender = self.sender.clone().ready().await?;
        let (answer, mut body) = self.sender.send_request(request, parts.is_empty())?;
        for (number, part) in parts.iter().enumerate() {
            let is_last = number + 1 == parts.len();
            body.send_data(Bytes::copy_from_slice(part.as_bytes()), is_last)?;
        }
        let answer = timeout(PATIENCE, answer).await.expect("an answer")?;
        Answer::read(answer).await
    }

    /// Sends a GET of this path, which must be answered with 200.
    async fn is_served(&mut self, path: &str) {
        let answer = self.ask(get(path), &[]).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    async fn read(answer: Response<RecvStream>) -> Result<Self, h2::Error> {
        let (head, mut stream) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(part) = timeout(PATIENCE, stream.data()).await.expect("the body") {
            let part = part?;
            stream.flow_control().release_capacity(part.len())?;
            body.extend(part);
        }
        Ok(Self {
            status: head.status,
            headers: head.headers,
            body: body.into(),
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn post(target: &str) -> Request<()> {
    let uri = format!("http://shop.example{target}");
    Request::post(uri).body(()).unwrap()
}

fn get(target: &str) -> Request<()> {
    let uri = format!("http://shop.example{target}");
    Request::get(uri).body(()).unwrap()
}

async fn h2c(config: &str) -> Rig {
    Rig::with("", "h2c = true", config).await
}

/// `curl -T -` ends a body so. Two last chunks would spoil the connection for the next request, somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_an_empty_frame_ends_has_one_last_chunk() {
    let upstream = Upstream::start().await;
    let keys = "reuse = \"all\"";
    let rig = h2c(&shop(keys, [&upstream])).await;
    let mut client = Http2::connect(&rig).await;
    for parts in [
        &["hello", ""][..],
        &["", "hello"],
        &["hel", "", "", "lo", ""],
        &[""],
        &["", ""],
    ] {
        let answer = client.ask(post("/in"), parts).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["body"], parts.concat());
        let other = rig.ask(request("POST", "/other", &[], "body")).await;
        assert_eq!(other.json()["body"], "body", "after {parts:?}");
    }
    assert_eq!(upstream.wrong(), Vec::<String>::new());
    assert_eq!(upstream.count(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_with_trailers_arrives_without_them() {
    let upstream = Upstream::start().await;
    let rig = h2c(&shop("reuse = \"all\"", [&upstream])).await;
    let mut client = Http2::connect(&rig).await;
    for parts in [&["hello"][..], &["hello", ""], &[]] {
        let sender = client.sender.clone().ready().await.unwrap();
        client.sender = sender;
        let (answer, mut body) = client.sender.send_request(post("/in"), false).unwrap();
        for part in parts {
            body.send_data(Bytes::copy_from_slice(part.as_bytes()), false)
                .unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        let answer = Answer::read(timeout(PATIENCE, answer).await.unwrap().unwrap())
            .await
            .unwrap();
        assert_eq!(answer.json()["body"], parts.concat());
    }
    assert_eq!(upstream.wrong(), Vec::<String>::new());
    assert!(
        upstream
            .requests()
            .iter()
            .all(|r| r.header("x-sum").is_none())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_answers_without_a_body_end_with_their_head() {
    let upstream = Upstream::with(|request| match request.target() {
        "/304" => Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n\r\n"[..].into()),
        "/204" => Reply::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n"[..].into()),
        _ => Reply::Answer(
            200,
            vec![
                ("cache-control", "max-age=60".into()),
                ("etag", "\"x\"".into()),
            ],
            "kept".into(),
        ),
    })
    .await;
    let rig = h2c(&shop("cache = {}", [&upstream])).await;
    let mut client = Http2::connect(&rig).await;
    let mut head = get("/head");
    *head.method_mut() = Method::HEAD;
    let mut unchanged = get("/unchanged");
    unchanged
        .headers_mut()
        .insert("if-none-match", "\"x\"".parse().unwrap());
    for (request, status) in [
        (head, 200),
        (unchanged, 304),
        (get("/304"), 304),
        (get("/204"), 204),
    ] {
        let target = request.uri().path().to_owned();
        let answer = client.ask(request, &[]).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (status, 0),
            "{target}"
        );
    }
    let whole = client.ask(get("/head"), &[]).await.unwrap();
    assert_eq!(whole.body, "kept");
}

/// Each is refused on its own stream, with a problem, a metric and a line in the log.
#[tokio::test(flavor = "multi_thread")]
async fn what_http_1_refuses_http_2_refuses_too() {
    let upstream = Upstream::start().await;
    let limits = "[limits]\nheader_count = 20\nheader_bytes = 2000\nbody_bytes = 100\n";
    let rig = h2c(&format!("{LOG}{limits}{}", shop("", [&upstream]))).await;
    let mut client = Http2::connect(&rig).await;
    let with = |mut request: Request<()>, fields: &[(&'static str, &str)]| {
        for (name, value) in fields {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    };
    let of = |method: &str, uri: &str| Request::builder().method(method).uri(uri).body(()).unwrap();
    let many: Vec<_> = (0..21).map(|_| ("x-a", "b")).collect();
    let cases: Vec<(Request<()>, u16, &str)> = vec![
        (with(get("/"), &[("expect", "x")]), 417, "malformed"),
        (
            with(get("/"), &[("host", "other.example")]),
            400,
            "malformed",
        ),
        (
            with(
                get("/"),
                &[("host", "shop.example"), ("host", "shop.example")],
            ),
            400,
            "malformed",
        ),
        (
            with(of("GET", "/"), &[("host", "a\", for=6.6.6.6;host=\"b")]),
            400,
            "malformed",
        ),
        (of("GET", "http://user@shop.example/"), 400, "malformed"),
        (of("GET", "/"), 400, "malformed"),
        (
            with(of("GET", "*"), &[("host", "shop.example")]),
            400,
            "malformed",
        ),
        (of("TRACE", "http://shop.example/"), 501, "malformed"),
        (of("CONNECT", "shop.example:80"), 501, "malformed"),
        (with(get("/"), &many), 431, "headers_too_large"),
        (
            with(get("/"), &[("x-a", &"b".repeat(3000))]),
            431,
            "headers_too_large",
        ),
        (
            with(post("/"), &[("content-length", "101")]),
            413,
            "body_too_large",
        ),
    ];
    let count = cases.len();
    for (request, status, reason) in cases {
        let what = format!("{request:?}");
        let labels = [format!("reason=\"{reason}\"")];
        let before = rig.metric("store_proxy_refused_total", &[&labels[0]]).await;
        let body = "x".repeat(101);
        let parts = [body.as_str()];
        let parts = if status == 413 { &parts[..] } else { &[] };
        let answer = client.ask(request, parts).await;
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status.as_u16(), status, "{what}");
        assert_eq!(
            answer.headers["content-type"], "application/problem+json",
            "{what}"
        );
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{what}"
        );
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert_eq!(answer.json()["instance"], format!("urn:request:{id}"));
        let after = rig.metric("store_proxy_refused_total", &[&labels[0]]).await;
        assert_eq!(after, before + 1.0, "{what}");
    }
    // The connection and its other streams go on.
    client.is_served("/good").await;
    assert_eq!(upstream.count(), 1);
    eventually("all are logged", async || {
        lines(&rig.folder).len() == count + 1
    })
    .await;
    // Lines come in the order in which requests end, which for those of different streams may be any.
    let refused = lines(&rig.folder).into_iter();
    let refused: Vec<_> = refused.filter(|line| line["path"] != "/good").collect();
    assert_eq!(refused.len(), count);
    for line in &refused {
        assert!(line["refused"].is_string(), "{line}");
        assert_eq!(line["http_version"], "2", "{line}");
        assert!(line["status"].as_u64() >= Some(400), "{line}");
    }
}

/// What the library refuses by itself is counted and logged all the same, and answered where only a stream is reset (RFC
/// 9113, section 8.1.1).
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_protocol_is_answered_counted_and_logged() {
    let upstream = Upstream::start().await;
    let rig = h2c(&format!("{LOG}{}", shop("", [&upstream]))).await;
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "a")];
    let with = |more: &[(&'static str, &'static str)]| [&usual[..], more].concat();
    let cases = [
        ("no fields", vec![("x", "y")], true),
        ("no path", usual.to_vec(), true),
        (
            "a quote in the query",
            with(&[(":path", "/?a=\"b\"")]),
            true,
        ),
        ("a bracket in the path", with(&[(":path", "/<b>")]), true),
        (
            "a field of HTTP/1.1",
            with(&[(":path", "/"), ("connection", "close")]),
            true,
        ),
        (
            "a line feed in a value",
            with(&[(":path", "/"), ("x", "a\nb")]),
            false,
        ),
        (
            "a name in capitals",
            with(&[(":path", "/"), ("X", "y")]),
            false,
        ),
    ];
    for (number, (name, of_case, is_stream)) in cases.into_iter().enumerate() {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        let block = block(&fields(&of_case));
        let head = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block);
        let bytes = [PREFACE, &settings(&[]), &head].concat();
        stream.write_all(&bytes).await.unwrap();
        let mut received = Vec::new();
        let reset = [0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        let is_reset = |received: &[u8]| received.windows(reset.len()).any(|w| w == reset);
        while !is_reset(&received) {
            let read = timeout(PATIENCE, stream.read_buf(&mut received)).await;
            if read.expect("a reset or an end").unwrap() == 0 {
                break;
            }
        }
        let said = String::from_utf8_lossy(&received);
        if is_stream {
            assert!(is_reset(&received), "{name}: {said}");
            assert!(said.contains("application/problem+json"), "{name}: {said}");
            assert!(said.contains("\"status\":400"), "{name}: {said}");
        }
        let seen = number + 1;
        eventually("it is counted and logged", async || {
            let counted = rig
                .metric("store_proxy_refused_total", &["reason=\"http2\""])
                .await;
            let logged = lines(&rig.folder);
            let logged = logged.iter().filter(|line| line["refused"] == "http2");
            counted == seen as f64 && logged.count() == seen
        })
        .await;
    }
    assert_eq!(upstream.count(), 0);
}

/// The answer is one to a real client, too, and its other streams go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_the_answer_to_what_breaks_the_protocol() {
    let upstream = Upstream::start().await;
    let rig = h2c(&shop("", [&upstream])).await;
    let mut client = Http2::connect(&rig).await;
    for _ in 0..50 {
        let mut bad = get("/");
        // The body that it announces does not follow.
        bad.headers_mut()
            .insert("content-length", "5".parse().unwrap());
        match client.ask(bad, &[]).await {
            Ok(answer) => assert_eq!(answer.status, StatusCode::BAD_REQUEST),
            // The reset may be faster read than the answer before it.
            Err(error) => assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR)),
        }
        client.is_served("/good").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_408_for_its_stream_alone() {
    let upstream = Upstream::start().await;
    let limits = "[limits]\nbody_timeout = \"300ms\"\n";
    let rig = h2c(&format!("{limits}{}", shop(NO_EJECTION, [&upstream]))).await;
    let mut client = Http2::connect(&rig).await;
    let sender = client.sender.clone().ready().await.unwrap();
    client.sender = sender;
    let (answer, body) = client.sender.send_request(post("/never"), false).unwrap();
    client.is_served("/other").await;
    let answer = timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    // Only what comes at once: as the request never ends, its stream may be reset after the answer.
    let said = timeout(PATIENCE, answer.into_body().data()).await.unwrap();
    let said: Value = serde_json::from_slice(&said.unwrap().unwrap()).unwrap();
    assert_eq!(said["detail"], "the request took too long to arrive");
    client.is_served("/other").await;
    rig.permits_are_free().await;
    drop(body);
}

/// What an upstream does wrong is not taken for its client's doing.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_breaks_off_is_another_ones_turn_or_502() {
    let (broken, good) = (Upstream::closing().await, Upstream::start().await);
    let rig = h2c(&shop(NO_EJECTION, [&broken, &good])).await;
    let mut client = Http2::connect(&rig).await;
    for _ in 0..6 {
        client.is_served("/in").await;
    }
    assert!(broken.count() > 0);
    good.behave(|_| Reply::Close);
    let answer = client.ask(post("/in"), &["body"]).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.json()["detail"], BROKE_OFF);
    let errors = rig
        .metric("store_proxy_upstream_requests_total", &["error"])
        .await;
    assert!(errors > 0.0, "it counts as the upstream's");
}

/// The upstream's own `Date` shows that they went past pingora, which writes another.
#[tokio::test(flavor = "multi_thread")]
async fn plain_streams_get_answers_of_http_1_as_frames() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nDate: today\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nX-Folded: a\r\n b\r\n";
    let upstream = Upstream::with(|request| {
        let rest = match request.target() {
            "/chunks" => "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Late: 1\r\n\r\n",
            "/until-close" => {
                return Reply::BytesThenClose(format!("{HEAD}\r\nabcde").into());
            }
            _ => "Content-Length: 5\r\n\r\nabcde",
        };
        Reply::Bytes(format!("{HEAD}{rest}").into())
    })
    .await;
    let rig = h2c(&shop("", [&upstream])).await;
    let mut client = Http2::connect(&rig).await;
    for target in ["/chunks", "/until-close", "/length"] {
        let answer = client.ask(get(target), &[]).await.unwrap();
        assert_eq!(
            (&answer.headers["date"], &*answer.body),
            (&"today".parse().unwrap(), &b"abcde"[..])
        );
        assert_eq!(answer.headers["x-folded"], "a   b");
        assert!(answer.headers.contains_key("x-request-id"));
        for gone in ["connection", "transfer-encoding", "x-hop"] {
            assert!(!answer.headers.contains_key(gone), "{gone}");
        }
    }
    let mut order = post("/order");
    order
        .headers_mut()
        .insert("content-length", "9".parse().unwrap());
    let answer = client.ask(order, &["four", "", "+five"]).await.unwrap();
    assert_eq!(answer.headers["date"], "today");
    let arrived = upstream.requests().pop().unwrap();
    assert_eq!(
        (&*arrived.text(), arrived.header("content-length")),
        ("four+five", Some("9"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_short_ends_its_stream_alone() {
    let upstream = Upstream::with(|request| match request.target() {
        "/half" => {
            Reply::BytesThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec())
        }
        _ => Reply::Echo,
    })
    .await;
    let rig = h2c(&shop(NO_EJECTION, [&upstream])).await;
    let mut client = Http2::connect(&rig).await;
    let error = client.ask(get("/half"), &[]).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    client.is_served("/whole").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_and_lengths_become_those_of_http_1() {
    let upstream = Upstream::start().await;
    let rig = h2c(&shop("", [&upstream])).await;
    let mut client = Http2::connect(&rig).await;
    let mut request = post("/in");
    for (name, value) in [
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("content-length", "05"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let answer = client.ask(request, &["hello"]).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let got = &upstream.requests()[0];
    assert_eq!(got.header("cookie"), Some("a=b; c=d"));
    assert_eq!(got.header("content-length"), Some("5"));
    assert_eq!(got.header("host"), Some("shop.example"));
    assert_eq!(got.header("x-forwarded-host"), Some("shop.example"));
}

/// Idle ones are told and closed; a request under way ends as it would have.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_stops_says_so_to_http2_clients() {
    let (upstream, gate) = Upstream::holding("/held").await;
    let rig = h2c(&shop("", [&upstream])).await;
    let mut idle = Http2::connect(&rig).await;
    idle.is_served("/").await;
    // It answers no ping, as clients that sleep.
    let mut silent = TcpStream::connect(rig.address).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    silent.write_all(preface).await.unwrap();
    let mut busy = Http2::connect(&rig).await;
    let busy = tokio::spawn(async move { busy.ask(get("/held"), &[]).await });
    eventually("it is under way", async || upstream.count_of("/held") == 1).await;
    rig.wait_for_metric("store_proxy_connections", &[], 3.0)
        .await;
    rig.signal(Signal::SIGTERM);
    let ended = timeout(PATIENCE, idle.connection)
        .await
        .expect("it is closed")
        .unwrap();
    assert!(ended.is_ok_and(|()| true), "closed in order");
    let mut said = Vec::new();
    let closed = timeout(PATIENCE, silent.read_to_end(&mut said)).await;
    assert!(closed.is_ok(), "the silent one is closed");
    assert!(
        said.windows(9)
            .any(|frame| frame[..4] == [0, 0, 8, kind::GOAWAY]),
        "{said:?}"
    );
    gate.add_permits(1);
    let answer = busy.await.unwrap().unwrap();
    assert_eq!(answer.json()["target"], "/held");
    let status = rig.proxy.process().wait_exit(PATIENCE).await.unwrap();
    assert!(status.success(), "{status:?}");
}

/// Giving up is no mistake of the client's.
#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_leaves_a_stream_holds_nothing() {
    let upstream = Upstream::with(|_| Reply::Silence).await;
    let rig = h2c(&shop("", [&upstream])).await;
    let mut client = Http2::connect(&rig).await;
    let (answer, mut stream) = client.sender.send_request(get("/"), true).unwrap();
    eventually("it is under way", async || upstream.count() == 1).await;
    stream.send_reset(Reason::CANCEL);
    drop(answer);
    rig.permits_are_free().await;
    assert_eq!(rig.metric("store_proxy_refused_total", &[]).await, 0.0);
}

/// Waits until a connection over the client's share is logged.
async fn share_is_logged(rig: &Rig) {
    eventually("it is logged", async || {
        lines(&rig.folder)
            .iter()
            .any(|line| line["refused"] == "client_connections")
    })
    .await;
}

/// In its own protocol, on the first streams that it opens.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_the_share_is_told_so_in_http2() {
    let upstream = Upstream::start().await;
    let limits = "[limits]\nconnections_per_client = 1\n";
    let rig = h2c(&format!("{LOG}{limits}{}", shop("", [&upstream]))).await;
    let mut first = Http2::connect(&rig).await;
    first.is_served("/").await;
    let mut second = Http2::connect(&rig).await;
    let refused = second.ask(get("/"), &[]).await.unwrap();
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert!(refused.headers.contains_key("retry-after"));
    let ended = timeout(PATIENCE, second.connection).await;
    assert!(ended.is_ok(), "its connection ends");
    first.is_served("/").await;
    let reason = &["reason=\"client_connections\""];
    assert_eq!(rig.metric("store_proxy_refused_total", reason).await, 1.0);
    share_is_logged(&rig).await;
}

/// It has nothing that could be answered, so that nothing would show it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_the_share_that_asks_for_nothing_is_counted() {
    let upstream = Upstream::start().await;
    let limits = "[limits]\nconnections_per_client = 1\n";
    let rig = h2c(&format!("{LOG}{limits}{}", shop("", [&upstream]))).await;
    let mut first = Http2::connect(&rig).await;
    first.is_served("/").await;
    let open = async || rig.metric("store_proxy_refused_connections", &[]).await;
    assert_eq!(open().await, 0.0);
    let second = Http2::connect(&rig).await;
    eventually("it is on its way out", async || open().await == 1.0).await;
    let ended = timeout(PATIENCE, second.connection).await;
    assert!(ended.is_ok(), "its connection ends");
    let reason = &["reason=\"client_connections\""];
    rig.wait_for_metric("store_proxy_refused_total", reason, 1.0)
        .await;
    eventually("it is gone", async || open().await == 0.0).await;
    share_is_logged(&rig).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_the_word_to_go_on_gets_it() {
    let upstream = Upstream::start().await;
    let only = server_at(upstream.address, "max_connections = 1, max_queue = 0");
    let rig = h2c(&group("shop", "", [only])).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let block = block(&request_for("POST", "/", &[("expect", "100-continue")]));
    let head = frame(kind::HEADERS, END_HEADERS, 1, &block);
    let bytes = [PREFACE, &settings(&[]), &head].concat();
    stream.write_all(&bytes).await.unwrap();
    let mut received = Vec::new();
    // A head on the stream that does not end it.
    let went_on = |received: &[u8]| received.windows(6).any(|w| w == [1, 4, 0, 0, 0, 1]);
    while !went_on(&received) {
        let read = timeout(PATIENCE, stream.read_buf(&mut received)).await;
        assert!(read.expect("a word").unwrap() > 0);
    }
    assert_eq!(rig.get("/other").await.status(), 200, "it has no place yet");
    assert_eq!(upstream.count_of("/"), 0, "no body, no request");
    stream
        .write_all(b"\0\0\x05\0\x01\0\0\0\x01hello")
        .await
        .unwrap();
    eventually("the request is whole", async || upstream.count() == 2).await;
    let request = &upstream.requests()[1];
    assert_eq!(request.text(), "hello");
    assert_eq!(request.header("expect"), None);
}
