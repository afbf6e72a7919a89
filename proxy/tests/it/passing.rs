//! Requests and answers pass as they are.

use crate::support::{Kind, Reply, Rig, Upstream, get, request, shop};

#[tokio::test(flavor = "multi_thread")]
async fn any_method_target_and_body_passes_unchanged() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    for (method, target, body) in [
        (
            "GET",
            "/a%20b/%2e%2E/c?d=e&f=%00#"[..].trim_end_matches('#'),
            "",
        ),
        ("GET", "//double//slash/", ""),
        ("GET", "/../up", ""),
        ("POST", "/orders", "{\"a\":1}"),
        ("PUT", "/x", "y"),
        ("DELETE", "/x", ""),
        ("PATCH", "/x", "z"),
        ("OPTIONS", "*", ""),
        ("PROPFIND", "/x", ""),
    ] {
        let answer = client.ask(request(method, target, &[], body)).await;
        assert_eq!(answer.status(), 200, "{method} {target}: {answer:?}");
        let got = answer.json();
        assert_eq!(
            (&got["method"], &got["target"], &got["body"]),
            (&method.into(), &target.into(), &body.into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_a_body_keep_the_connection() {
    let upstream = Upstream::with(|request| match request.target() {
        "/204" => Reply::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n"[..].into()),
        "/304" => Reply::Bytes(
            b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 9\r\n\r\n"[..].into(),
        ),
        _ => Reply::Echo,
    })
    .await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    assert_eq!(client.ask(get("/204")).await.status(), 204);
    let unchanged = client.ask(get("/304")).await;
    assert_eq!(
        (unchanged.status(), unchanged.header("etag")),
        (304, Some("\"x\""))
    );
    client.send(request("HEAD", "/head", &[], "")).await;
    let head = client.try_answer(Kind::HeadResponse).await.unwrap();
    assert_eq!(head.status(), 200);
    assert!(head.header("content-length").is_some());
    assert_eq!(client.ask(get("/")).await.json()["target"], "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_any_length_and_framing_arrive_whole() {
    let large = "0123456789abcdef".repeat(512 * 1024);
    let body = large.clone();
    let upstream = Upstream::with(move |request| match request.target() {
        "/length" => Reply::Answer(200, vec![], body.clone()),
        "/chunks" => {
            let chunks = body.as_bytes().chunks(7_919);
            let chunks =
                chunks.map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat());
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            Reply::Bytes(
                [
                    head,
                    chunks.collect::<Vec<_>>().concat(),
                    b"0\r\n\r\n".to_vec(),
                ]
                .concat()
                .into(),
            )
        }
        _ => Reply::BytesThenClose([b"HTTP/1.1 200 OK\r\n\r\n", body.as_bytes()].concat()),
    })
    .await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    for target in ["/length", "/chunks", "/until-close"] {
        let answer = client.ask(get(target)).await;
        assert_eq!(answer.status(), 200);
        assert!(answer.text() == large, "{target}");
        if answer.closes() {
            client = rig.client().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_clients_are_served() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let mut client = rig.client().await;
    client.send("GET /in HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.json()["target"], "/in");
    // What goes on is HTTP/1.1, which must have one.
    let passed_on = upstream.requests().pop().unwrap();
    assert_eq!(
        passed_on.header("host"),
        Some(upstream.address.to_string().as_str())
    );
    assert_eq!(client.rest().await, Some(Vec::new()), "it is closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compressed_only_if_the_proxy_is_told_to() {
    let text = "a body that is worth it. ".repeat(400);
    let body = text.clone();
    let upstream = Upstream::with(move |_| {
        let headers = vec![("content-type", "application/json".to_owned())];
        Reply::Answer(200, headers, body.clone())
    })
    .await;
    let off = shop("", [&upstream]);
    let rig = Rig::start(&off).await;
    let ask = async |rig: &Rig, accepted: &str| {
        let headers = [("accept-encoding", accepted)];
        rig.ask(request("GET", "/", &headers, "")).await
    };
    assert_eq!(ask(&rig, "gzip, br").await.text(), text);
    let rig = Rig::start(&format!("[compression]\ngzip = 5\nbrotli = 4\n{off}")).await;
    for (accepted, magic) in [("gzip", Some([0x1f, 0x8b])), ("br", None)] {
        let answer = ask(&rig, accepted).await;
        assert_eq!(answer.header("content-encoding"), Some(accepted));
        assert!(answer.body.len() < text.len() / 4);
        assert!(magic.is_none_or(|magic| answer.body.starts_with(&magic)));
        assert!(
            answer
                .all("vary")
                .join(",")
                .to_lowercase()
                .contains("accept-encoding")
        );
    }
    assert_eq!(ask(&rig, "identity").await.text(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_must_stay_as_it_is_is_not_compressed() {
    let text = "a body that is worth it. ".repeat(400);
    let body = text.clone();
    let upstream = Upstream::with(move |request| {
        let json = ("content-type", "application/json".to_owned());
        let (status, more) = match request.target() {
            "/part" => (206, ("content-range", "bytes 0-9999/20000".to_owned())),
            "/fixed" => (200, ("cache-control", "no-transform".to_owned())),
            _ => (200, ("x-other", "1".to_owned())),
        };
        Reply::Answer(status, vec![json, more], body.clone())
    })
    .await;
    let config = format!("[compression]\ngzip = 5\n{}", shop("", [&upstream]));
    let rig = Rig::start(&config).await;
    for target in ["/part", "/fixed"] {
        let headers = [("accept-encoding", "gzip"), ("range", "bytes=0-9999")];
        let answer = rig.ask(request("GET", target, &headers, "")).await;
        assert_eq!(answer.header("content-encoding"), None, "{target}");
        assert_eq!(answer.text(), text);
    }
    // It comes in chunks where it is compressed, which this client can't read.
    let mut client = rig.client().await;
    client
        .send("GET / HTTP/1.0\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n")
        .await;
    let said = client.rest().await.expect("the connection ends");
    let said = String::from_utf8(said).expect("not compressed");
    assert!(said.ends_with(&text) && !said.to_lowercase().contains("transfer-encoding"));
}

/// It would take one for the answer.
#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_for_clients_that_know_them_and_end_with_the_hop() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\nkeep-alive: x\r\n\
                 connection: keep-alive, x-hop\r\nx-hop: 1\r\n\r\n";
    let answer = format!("{hints}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let upstream = Upstream::with(move |_| Reply::Bytes(answer.clone().into())).await;
    for keys in ["", "cache = {}"] {
        let rig = Rig::start(&shop(keys, [&upstream])).await;
        let mut old = rig.client().await;
        old.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
        let said = String::from_utf8(old.rest().await.expect("it ends")).unwrap();
        assert!(
            said.starts_with("HTTP/1.") && !said.contains(" 103 "),
            "{said}"
        );
        let mut client = rig.client().await;
        client.send(get("/")).await;
        let hints = client.answer().await;
        assert_eq!(
            (hints.status(), hints.header("link")),
            (103, Some("</a>; rel=preload"))
        );
        for gone in ["keep-alive", "connection", "x-hop"] {
            assert_eq!(hints.header(gone), None, "{keys}");
        }
        assert_eq!(client.answer().await.text(), "ok");
    }
}

/// It can't know chunks.
#[tokio::test(flavor = "multi_thread")]
async fn an_http_1_0_client_gets_an_answer_of_unknown_length_until_the_end() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let kept = [
        &b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ntransfer-encoding: chunked\r\n\r\n"[..],
        b"5\r\nhello\r\n0\r\n\r\n",
    ]
    .concat();
    let upstream = Upstream::with(move |request| match request.target() {
        "/chunks" => Reply::Bytes(chunked[..].into()),
        "/kept" => Reply::Bytes(kept.clone().into()),
        _ => Reply::BytesThenClose(b"HTTP/1.0 200 OK\r\n\r\nhello".to_vec()),
    })
    .await;
    let rig = Rig::start(&shop("cache = {}", [&upstream])).await;
    for target in ["/chunks", "/closed", "/kept", "/kept"] {
        for more in ["", "connection: keep-alive\r\n"] {
            let mut client = rig.client().await;
            client
                .send(format!("GET {target} HTTP/1.0\r\nhost: a\r\n{more}\r\n"))
                .await;
            let said = client.rest().await.expect("the connection ends");
            let said = String::from_utf8(said).unwrap();
            assert!(said.ends_with("\r\n\r\nhello"), "{target}: {said}");
            assert!(!said.to_lowercase().contains("transfer-encoding"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_with_zeros_before_it_is_passed_without_them() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let head = "POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: 0010\r\n\r\n";
    let mut client = rig.client().await;
    for body in ["0123456789", "abcdefghij"] {
        assert_eq!(
            client.ask(format!("{head}{body}")).await.json()["body"],
            body
        );
    }
    for request in upstream.requests() {
        assert_eq!(request.header("content-length"), Some("10"));
    }
}
