//! What upstreams learn of a request's origin, and what stays between two neighbours.

use crate::support::{Client, Message, Rig, Upstream, get, request, shop};

/// What the upstream got of a request from `peer` with these headers.
async fn passed(rig: &Rig, upstream: &Upstream, peer: &str, headers: &[(&str, &str)]) -> Message {
    let mut client = Client::connect_from(peer, rig.address).await;
    let answer = client.ask(request("GET", "/in", headers, "")).await;
    assert_eq!(answer.status(), 200);
    upstream.requests().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_is_told_in_all_usual_headers() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let request = passed(&rig, &upstream, "127.0.4.1", &[]).await;
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.4.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"));
    assert_eq!(request.header("x-forwarded-host"), Some("shop.example"));
    assert_eq!(request.header("host"), Some("shop.example"));
    let forwarded = request.header("forwarded").unwrap().to_lowercase();
    for part in ["for=", "127.0.4.1", "proto=http", "shop.example"] {
        assert!(forwarded.contains(part), "{forwarded}");
    }
}

const LIES: [(&str, &str); 5] = [
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=203.0.113.7;proto=https;host=evil.example"),
    ("x-forwarded-for", "203.0.113.8"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stranger_claims_is_replaced() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let request = passed(&rig, &upstream, "127.0.4.1", &LIES).await;
    assert_eq!(request.all("x-forwarded-for"), ["127.0.4.1"]);
    assert_eq!(request.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.all("x-forwarded-host"), ["shop.example"]);
    assert_eq!(request.all("forwarded").len(), 1);
    let all = format!("{:?}", request.headers);
    assert!(!all.contains("203.0.113") && !all.contains("evil"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_trusted_proxy_says_is_kept_and_added_to() {
    let upstream = Upstream::start().await;
    let trusted = "[forwarded]\ntrusted = [\"127.0.5.0/24\", \"::1/128\"]\n";
    let rig = Rig::start(&format!("{trusted}{}", shop("", [&upstream]))).await;
    let request = passed(&rig, &upstream, "127.0.5.1", &LIES[..4]).await;
    assert_eq!(request.all("x-forwarded-for"), ["203.0.113.7, 127.0.5.1"]);
    assert_eq!(request.all("x-forwarded-proto"), ["https"]);
    assert_eq!(request.all("x-forwarded-host"), ["evil.example"]);
    let forwarded = request.all("forwarded").join(", ");
    assert!(forwarded.starts_with("for=203.0.113.7;"), "{forwarded}");
    assert!(forwarded.contains("127.0.5.1"), "{forwarded}");
    // Others are still strangers.
    let request = passed(&rig, &upstream, "127.0.6.1", &LIES[..4]).await;
    assert_eq!(request.all("x-forwarded-for"), ["127.0.6.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_between_two_neighbours_end_here() {
    let upstream = Upstream::with(|_| {
        let headers = [
            "connection: x-private, keep-alive",
            "keep-alive: timeout=5",
            "x-private: 1",
            "x-public: 2",
            "proxy-authenticate: Basic",
            "upgrade: h2c",
            "content-length: 2",
        ];
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n\r\nhi", headers.join("\r\n"));
        crate::support::Reply::Bytes(head.into())
    })
    .await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    let sent = [
        ("connection", "x-mine, keep-alive, te"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "trailers"),
        ("trailer", "x-late"),
        ("x-mine", "1"),
        ("x-other", "2"),
    ];
    let mut client = rig.client().await;
    let answer = client.ask(request("GET", "/in", &sent, "")).await;
    let got = upstream.requests().pop().unwrap();
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "x-mine",
        "upgrade",
    ] {
        assert_eq!(got.all(name), Vec::<&str>::new(), "{name} was passed on");
    }
    assert_eq!(got.header("x-other"), Some("2"));
    for name in ["x-private", "proxy-authenticate", "upgrade"] {
        assert_eq!(answer.all(name), Vec::<&str>::new(), "{name} came back");
    }
    assert_eq!(answer.header("x-public"), Some("2"));
    // The client's own connection is as it asked.
    assert_eq!(client.ask(get("/")).await.status(), 200);
}

/// What we tell of a request stays, or the request is refused, even if a client asks for its removal.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_not_have_what_we_tell_removed() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("", [&upstream])).await;
    for name in [
        "x-forwarded-for",
        "x-request-id",
        "forwarded",
        "x-forwarded-proto",
    ] {
        let connection = format!("{name}, close");
        let answer = rig
            .ask(request("GET", "/in", &[("connection", &connection)], ""))
            .await;
        if answer.status() != 400 {
            assert_eq!(answer.status(), 200);
            assert_eq!(
                upstream.requests().pop().unwrap().all(name).len(),
                1,
                "{name}"
            );
        }
    }
}

/// For logs, limits and hashes too, as all ask for the same address.
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_may_name_the_client_in_many_ways() {
    let upstream = Upstream::start().await;
    let config = [
        crate::access_log::LOG,
        "[limits]\nrate = { per_second = 0.001, burst = 1 }\n",
        "[forwarded]\ntrusted = [\"127.0.5.0/24\"]\n",
        &shop("", [&upstream]),
    ];
    let rig = Rig::start(&config.concat()).await;
    let named = [
        ("x-forwarded-for", "203.0.113.1:40001", "203.0.113.1"),
        ("x-forwarded-for", "[2001:db8::1]:4000", "2001:db8::1"),
        ("forwarded", "for=203.0.113.2;proto=https", "203.0.113.2"),
        ("forwarded", "for=\"[2001:db8:1::1]:_x\"", "2001:db8:1::1"),
    ];
    for (name, value, _) in named {
        for status in [200, 429] {
            // Each has a bucket of its own, for one request.
            let mut client = Client::connect_from("127.0.5.1", rig.address).await;
            let answer = client
                .ask(request("GET", "/in", &[(name, value)], ""))
                .await;
            assert_eq!(answer.status(), status, "{value}");
        }
    }
    let lines = async || crate::access_log::lines(&rig.folder);
    crate::support::eventually("all are logged", async || lines().await.len() == 8).await;
    // In any order: each is written when its connection's task gets to it.
    let lines = lines().await;
    let logged = lines.iter().map(|line| line["client"].as_str().unwrap());
    let expected = named.iter().flat_map(|(_, _, client)| [*client, *client]);
    let sorted = |clients: &mut dyn Iterator<Item = &str>| {
        let mut clients: Vec<_> = clients.map(str::to_owned).collect();
        clients.sort();
        clients
    };
    assert_eq!(
        sorted(&mut logged.into_iter()),
        sorted(&mut expected.into_iter())
    );
}

/// What stands in a header can't end its quotes.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_that_could_be_read_as_another_hop() {
    let upstream = Upstream::start().await;
    let trusted = "[forwarded]\ntrusted = [\"127.0.5.0/24\"]\n";
    let rig = Rig::start(&format!("{trusted}{}", shop("", [&upstream]))).await;
    let bad = [
        ("forwarded", "for=\"203.0.113.7"),
        ("x-forwarded-host", "a\";for=1.2.3.4"),
    ];
    let request = passed(&rig, &upstream, "127.0.5.1", &bad).await;
    let expected = "for=127.0.5.1;proto=http;host=\"shop.example\"";
    assert_eq!(request.header("forwarded"), Some(expected));
    assert_eq!(request.header("x-forwarded-host"), Some("shop.example"));
}
