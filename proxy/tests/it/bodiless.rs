//! Answers without a body, whatever fills the cache meanwhile, and what HEAD says of the body that GET would bring.

use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{
    Kind, Message, NO_EJECTION, PATIENCE, Reply, Rig, Upstream, get, request, shop,
};

const BODY: &str = "a body that is long enough to be compressed, and then some more of it";

fn tagged() -> Reply {
    let headers = [
        ("cache-control", "max-age=60"),
        ("etag", "\"one\""),
        ("content-type", "text/plain"),
    ];
    let headers = headers.map(|(name, value)| (name, value.to_owned()));
    Reply::Answer(200, headers.into(), BODY.into())
}

/// A connection of HTTP/2 to a proxy that keeps answers.
struct Http2 {
    upstream: Upstream,
    rig: Rig,
    sender: h2::client::SendRequest<Bytes>,
}

impl Http2 {
    async fn open(settings: &str) -> Self {
        let upstream = Upstream::with(|_| tagged()).await;
        let config = shop(&format!("cache = {{}}\n{NO_EJECTION}"), [&upstream]);
        let rig = Rig::with("", "h2c = true", &format!("{settings}{config}")).await;
        let stream = TcpStream::connect(rig.address).await.unwrap();
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self {
            upstream,
            rig,
            sender,
        }
    }

    /// The head of an answer, and its body; h2 takes a body where there may be none for a broken stream.
    async fn ask(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Response<Vec<u8>> {
        let mut request = Request::builder().method(method);
        request = request.uri(format!("http://shop.example{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (answer, _) = self
            .sender
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        let (head, mut body) = timeout(PATIENCE, answer)
            .await
            .unwrap()
            .unwrap()
            .into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = timeout(PATIENCE, body.data()).await.unwrap() {
            bytes.extend_from_slice(&data.unwrap());
        }
        Response::from_parts(head, bytes)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_over_http2_has_no_body_whether_the_answer_is_kept_or_not() {
    let mut http2 = Http2::open("").await;
    for expected in [1, 1] {
        let answer = http2.ask("HEAD", "/a", &[]).await;
        assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
        assert_eq!(answer.headers()["content-length"], BODY.len().to_string());
        assert_eq!(http2.upstream.count(), expected);
    }
    let answer = http2.ask("GET", "/a", &[]).await;
    assert_eq!(answer.body(), BODY.as_bytes());
    assert_eq!(http2.upstream.count(), 1, "HEAD filled the cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_over_http2_has_no_body_whether_the_answer_is_kept_or_not() {
    let mut http2 = Http2::open("").await;
    for expected in [1, 1] {
        let known = [("if-none-match", "\"one\"")];
        let answer = http2.ask("GET", "/a", &known).await;
        assert_eq!((answer.status().as_u16(), answer.body().len()), (304, 0));
        assert_eq!(answer.headers()["etag"], "\"one\"");
        assert_eq!(http2.upstream.count(), expected);
    }
    assert_eq!(http2.ask("GET", "/a", &[]).await.body(), BODY.as_bytes());
    assert_eq!(http2.upstream.count(), 1);
}

/// The end of a compressed body has bytes of its own.
#[tokio::test(flavor = "multi_thread")]
async fn nor_is_there_one_where_it_would_be_compressed() {
    let mut http2 = Http2::open("[compression]\ngzip = 5\n").await;
    let accepted = ("accept-encoding", "gzip");
    for (method, status) in [("HEAD", 200), ("GET", 304), ("HEAD", 200), ("GET", 304)] {
        let known = ("if-none-match", "\"one\"");
        let headers = [accepted, known];
        let headers = if status == 304 {
            &headers[..]
        } else {
            &headers[..1]
        };
        let answer = http2.ask(method, "/a", headers).await;
        assert_eq!((answer.status().as_u16(), answer.body().len()), (status, 0));
    }
    let mut client = http2.rig.client().await;
    for _ in 0..2 {
        client.send(request("HEAD", "/b", &[accepted], "")).await;
        let head = client.try_answer(Kind::HeadResponse).await.unwrap();
        assert_eq!(head.status(), 200);
        // Nothing more came with it.
        assert_eq!(client.ask(get("/b")).await.text(), BODY);
    }
}

/// The headers that HEAD must have in common with GET.
fn described(answer: &Message) -> Vec<(String, Option<String>)> {
    let names = ["content-encoding", "content-length", "vary", "etag"];
    let found = |name: &str| answer.header(name).map(str::to_owned);
    names.map(|name| (name.to_owned(), found(name))).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn head_says_of_the_body_what_get_would() {
    for cache in ["", "cache = {}"] {
        let upstream = Upstream::with(|request| match request.method() {
            "HEAD" => Reply::Bytes(
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\netag: \"one\"\r\ncontent-length: {}\r\n\r\n",
                    BODY.len()
                )
                .into(),
            ),
            _ => tagged(),
        })
        .await;
        let config = shop(&format!("{cache}\n{NO_EJECTION}"), [&upstream]);
        let rig = Rig::start(&format!("[compression]\ngzip = 5\n{config}")).await;
        for accepted in ["gzip", "identity", "gzip;q=0"] {
            let headers = [("accept-encoding", accepted)];
            let mut client = rig.client().await;
            client.send(request("HEAD", "/a", &headers, "")).await;
            let head = client.try_answer(Kind::HeadResponse).await.unwrap();
            let full = rig.ask(request("GET", "/a", &headers, "")).await;
            let is_gzip = full.header("content-encoding") == Some("gzip");
            assert_eq!(is_gzip, accepted == "gzip", "{accepted}");
            assert_eq!(described(&head), described(&full), "{accepted} {cache}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_with_weight_zero_is_not_used() {
    let upstream = Upstream::with(|_| tagged()).await;
    let config = shop(&format!("cache = {{}}\n{NO_EJECTION}"), [&upstream]);
    let rig = Rig::start(&format!("[compression]\ngzip = 5\nbrotli = 4\n{config}")).await;
    for (accepted, expected) in [
        ("gzip;q=0", None),
        ("gzip;q=0.0, br;q=0", None),
        ("*;q=0", None),
        ("identity", None),
        ("identity;q=0, gzip", Some("gzip")),
        ("gzip;q=0, *", Some("br")),
        ("br;q=0.5, gzip;q=0.7", Some("gzip")),
        ("deflate, br", Some("br")),
    ] {
        let headers = [("accept-encoding", accepted)];
        let answer = rig.ask(request("GET", "/a", &headers, "")).await;
        assert_eq!(answer.header("content-encoding"), expected, "{accepted}");
        let vary = answer.header("vary").map(str::to_ascii_lowercase);
        assert_eq!(vary.as_deref(), Some("accept-encoding"), "{accepted}");
        assert_eq!(answer.text() == BODY, expected.is_none(), "{accepted}");
    }
    assert_eq!(upstream.count(), 1);
}
