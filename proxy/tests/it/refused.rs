//! Every refusal is a problem with a request id, and can be found in the metrics and in the access log.

use std::time::Duration;

use tokio::time::sleep;

use crate::access_log::{LOG, lines};
use crate::support::client::NoAnswer;
use crate::support::{
    Client, Kind, Message, Rig, Upstream, eventually, eventually_some, get, problem, request, shop,
};

async fn refused(rig: &Rig, reason: &str) -> f64 {
    let label = format!("reason=\"{reason}\"");
    rig.metric("store_proxy_refused_total", &[&label]).await
}

/// The answer to these bytes, and its connection. If we are held up before we send them, the connection ends without
/// an answer, and we need another one.
async fn answer_to(rig: &Rig, bytes: &str) -> (Client, Message) {
    eventually_some("they are sent in time", async || {
        let mut client = rig.client().await;
        client.send(bytes).await;
        match client.try_answer(Kind::Response).await {
            Ok(answer) => Some((client, answer)),
            Err(NoAnswer::Closed) => None,
            Err(none) => panic!("{none}"),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_an_id_a_metric_and_a_line() {
    let upstream = Upstream::start().await;
    let config = [
        LOG,
        "[limits]\nheader_timeout = \"1s\"\nheader_count = 20\nheader_bytes = 70000\nbody_bytes = 10\n",
        "[[route]]\npath_prefix = \"/in\"\nupstreams = \"shop\"\n",
        &shop("", [&upstream]),
    ];
    let rig = Rig::start(&config.concat()).await;
    let line = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
    let cases = [
        (line("/in?a=\"b\""), 400, "malformed", "GET", "/in?a=\"b\""),
        (line("/in/<b>"), 400, "malformed", "GET", "/in/<b>"),
        (line("/in/`"), 400, "malformed", "GET", "/in/`"),
        (line("*"), 400, "malformed", "GET", "*"),
        (
            line("http://u@a/in"),
            400,
            "malformed",
            "GET",
            "http://u@a/in",
        ),
        (
            "\r\n".repeat(9) + &line("/in"),
            400,
            "malformed",
            "GET",
            "/in",
        ),
        ("nonsense\r\n\r\n".into(), 400, "malformed", "nonsense", "-"),
        (
            line("/in").replace("1.1", "3.0"),
            505,
            "malformed",
            "GET",
            "/in",
        ),
        (
            line("/in").replace("GET", "TRACE"),
            501,
            "malformed",
            "TRACE",
            "/in",
        ),
        (
            line(&format!("/{}", "x".repeat(65_534))),
            414,
            "malformed",
            "GET",
            "",
        ),
        (
            line("/in").replace("\r\n\r\n", "\r\nexpect: x\r\n\r\n"),
            417,
            "malformed",
            "GET",
            "/in",
        ),
        (
            line("/in").replace("host: a\r\n", &"a: b\r\n".repeat(21)),
            431,
            "headers_too_large",
            "GET",
            "/in",
        ),
        (
            "GET /in HTTP/1.1\r\nhost".into(),
            408,
            "timeout",
            "GET",
            "/in",
        ),
        (line("/elsewhere"), 404, "no_route", "GET", "/elsewhere"),
        (
            request("POST", "/in", &[], "01234567890"),
            413,
            "body_too_large",
            "POST",
            "/in",
        ),
    ];
    let count = cases.len();
    for (bytes, status, reason, method, target) in cases {
        let before = refused(&rig, reason).await;
        let logged = lines(&rig.folder).len();
        let (_, answer) = answer_to(&rig, &bytes).await;
        problem(&answer, status);
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{answer:?}"
        );
        assert_eq!(answer.header("server"), None, "{answer:?}");
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert_eq!(refused(&rig, reason).await, before + 1.0, "{bytes}");
        eventually("it is logged", async || lines(&rig.folder).len() > logged).await;
        let line = lines(&rig.folder).pop().unwrap();
        assert_eq!(line["request_id"], id, "{line}");
        assert_eq!(
            (&line["status"], &line["refused"]),
            (&status.into(), &reason.into()),
            "{line}"
        );
        assert_eq!(line["method"], method, "{line}");
        let path = line["path"].as_str().unwrap();
        assert!(path == target || target.is_empty(), "{line}");
    }
    assert_eq!(lines(&rig.folder).len(), count);
    assert_eq!(upstream.count(), 0);
}

/// Alerts on a rise see the first one.
#[tokio::test(flavor = "multi_thread")]
async fn every_counter_with_fixed_labels_is_there_from_the_start() {
    let upstream = Upstream::start().await;
    let rig = Rig::start(&shop("cache = {}", [&upstream])).await;
    let text = rig.scrape().await;
    let refusals = [
        "malformed",
        "headers_too_large",
        "body_too_large",
        "timeout",
        "rate",
        "no_route",
        "connections",
        "client_connections",
        "client_requests",
        "http2",
        "tls_handshake",
        "admin_connections",
        "admin_request",
    ];
    let refusals =
        refusals.map(|reason| format!("store_proxy_refused_total{{reason=\"{reason}\"}}"));
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "error"];
    let requests =
        classes.map(|status| format!("http_requests_total{{group=\"shop\",status=\"{status}\"}}"));
    let retries = ["broken", "connect", "timeout"]
        .map(|reason| format!("store_proxy_retries_total{{group=\"shop\",reason=\"{reason}\"}}"));
    let cache = ["hit", "miss", "background"].map(|result| {
        format!("store_proxy_cache_requests_total{{group=\"shop\",result=\"{result}\"}}")
    });
    let reloads =
        ["ok", "failed"].map(|result| format!("store_proxy_reloads_total{{result=\"{result}\"}}"));
    let spans = ["sent", "dropped", "failed"]
        .map(|result| format!("store_proxy_trace_spans_total{{result=\"{result}\"}}"));
    let of_group = [
        "store_proxy_no_upstream_total",
        "store_proxy_uploads_refused_total",
        "store_proxy_retry_budget_exhausted_total",
        "store_proxy_cache_purges_total",
    ]
    .map(|name| format!("{name}{{group=\"shop\"}}"));
    let of_upstream = [
        "store_proxy_upstream_ejections_total",
        "store_proxy_upstream_tls_failures_total",
    ]
    .map(|name| format!("{name}{{group=\"shop\",upstream=\"{}\"}}", upstream.address));
    let alone = [
        "store_proxy_rate_limited_total",
        "store_proxy_access_log_dropped_total",
    ]
    .map(str::to_owned);
    let all = [
        &refusals[..],
        &requests,
        &retries,
        &cache,
        &reloads,
        &spans,
        &of_group,
        &of_upstream,
        &alone,
    ];
    for series in all.concat() {
        assert!(
            text.lines().any(|line| line == format!("{series} 0")),
            "no {series} in\n{text}"
        );
    }
}

/// Empty lines are no request: they don't begin the time for one anew, and there may not be many.
#[tokio::test(flavor = "multi_thread")]
async fn empty_lines_hold_no_connection_open() {
    let upstream = Upstream::start().await;
    let limits = "[limits]\nheader_timeout = \"600ms\"\nidle_timeout = \"600ms\"\n";
    let rig = Rig::start(&format!("{limits}{}", shop("", [&upstream]))).await;
    for begin in [String::new(), get("/")] {
        let client = if begin.is_empty() {
            rig.client().await
        } else {
            let (client, answer) = answer_to(&rig, &begin).await;
            assert_eq!(answer.status(), 200);
            client
        };
        let (mut reader, mut writer) = client.stream.into_split();
        let drip = tokio::spawn(async move {
            // Far longer than the limit.
            for _ in 0..100 {
                let sent = tokio::io::AsyncWriteExt::write_all(&mut writer, b"\r\n").await;
                if sent.is_err() {
                    return false;
                }
                sleep(Duration::from_millis(150)).await;
            }
            true
        });
        let mut said = Vec::new();
        let end = tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut said);
        let ended = tokio::time::timeout(crate::support::PATIENCE, end).await;
        assert!(ended.is_ok(), "the connection stayed open");
        drip.abort();
        // It ends by itself when it can't go on.
        let is_over = matches!(drip.await, Ok(true));
        assert!(!is_over, "it was closed while it dripped");
    }
}

/// Whether or not it could have become HTTP/2: half a head is late, and nothing at all is no request.
#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_is_408_and_silence_is_no_refusal() {
    let upstream = Upstream::start().await;
    let limits = "[limits]\nheader_timeout = \"500ms\"\n";
    let config = format!("{LOG}{limits}{}", shop("", [&upstream]));
    for listen in ["", "h2c = true"] {
        let rig = Rig::with("", listen, &config).await;
        let mut silent = rig.client().await;
        assert_eq!(silent.rest().await, Some(Vec::new()));
        let reason = &["reason=\"timeout\""];
        assert_eq!(rig.metric("store_proxy_refused_total", reason).await, 0.0);
        let halves = ["P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\n"];
        for half in halves {
            let (_, answer) = answer_to(&rig, half).await;
            assert_eq!(problem(&answer, 408), "the request took too long to arrive");
        }
        let refused = rig.metric("store_proxy_refused_total", reason).await;
        assert_eq!(refused, halves.len() as f64, "{listen}");
        eventually("each is logged", async || {
            let logged = lines(&rig.folder);
            logged.iter().all(|line| line["status"] == 408) && logged.len() == halves.len()
        })
        .await;
    }
}

/// A client may have its share, and leaves the rest to others.
#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_its_share_of_connections_and_requests() {
    let (upstream, gate) = Upstream::holding("/held").await;
    let config = [
        LOG,
        "[limits]\nconnections_per_client = 6\nrequests_per_client = 3\n",
        "[forwarded]\ntrusted = [\"127.0.5.0/24\"]\n",
        &shop("", [&upstream]),
    ];
    let rig = Rig::start(&config.concat()).await;
    let from = async |source: &str| Client::connect_from(source, rig.address).await;

    let mut held = Vec::new();
    for _ in 0..3 {
        let mut client = from("127.0.2.1").await;
        client.send(get("/held")).await;
        held.push(client);
    }
    eventually("they are under way", async || {
        upstream.count_of("/held") == 3
    })
    .await;
    let over = from("127.0.2.1").await.ask(get("/")).await;
    let too_many = "too many requests of this address at once; try again later";
    assert_eq!(problem(&over, 429), too_many);
    assert!(over.header("retry-after").is_some());
    assert_eq!(from("127.0.2.2").await.ask(get("/")).await.status(), 200);
    // Behind a trusted proxy, the client is whom it names.
    let named = |client: &str| request("GET", "/", &[("x-forwarded-for", client)], "");
    let mut proxy = from("127.0.5.1").await;
    let over = proxy.ask(named("127.0.2.1:4000")).await;
    assert_eq!(problem(&over, 429), too_many);
    let mut proxy = from("127.0.5.1").await;
    assert_eq!(proxy.ask(named("203.0.113.9")).await.status(), 200);
    assert_eq!(refused(&rig, "client_requests").await, 2.0);
    // Heads whose bodies don't come take nothing from others of the same address.
    let mut heads = Vec::new();
    for _ in 0..4 {
        let mut client = from("127.0.2.9").await;
        client
            .send("POST /in HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\n\r\n")
            .await;
        heads.push(client);
    }
    eventually("all have come", async || {
        rig.metric("store_proxy_connections", &[]).await >= 7.0
    })
    .await;
    assert_eq!(from("127.0.2.9").await.ask(get("/")).await.status(), 200);
    drop(heads);
    gate.add_permits(3);
    for client in &mut held {
        assert_eq!(client.answer().await.status(), 200);
    }

    let mut open = Vec::new();
    eventually("it has all it may have", async || {
        let mut client = from("127.0.2.3").await;
        client.send(get("/")).await;
        let answer = client.answer().await;
        if answer.status() == 200 {
            open.push(client);
            return false;
        }
        assert_eq!(
            problem(&answer, 429),
            "too many connections from this address; close some, or try again later"
        );
        true
    })
    .await;
    assert_eq!(open.len(), 6);
    assert_eq!(refused(&rig, "client_connections").await, 1.0);
    assert_eq!(from("127.0.2.4").await.ask(get("/")).await.status(), 200);
    // Trusted proxies have many clients.
    let mut trusted = Vec::new();
    for _ in 0..10 {
        let mut client = from("127.0.5.2").await;
        assert_eq!(client.ask(named("203.0.113.9")).await.status(), 200);
        trusted.push(client);
    }
    drop(open);
    eventually("there is room again", async || {
        let mut client = from("127.0.2.3").await;
        client.send(get("/")).await;
        let answer = client.try_answer(Kind::Response).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    for reason in ["client_requests", "client_connections"] {
        assert!(
            lines(&rig.folder)
                .iter()
                .any(|line| line["refused"] == reason)
        );
    }
}
