//! Kept answers that change: by a request that writes, or because their server says something new of them.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::{Message, NO_EJECTION, Reply, Rig, Upstream, eventually, get, request, shop};

fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Reply {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).into()));
    Reply::Answer(status, headers.collect(), body.into())
}

fn fresh(body: &str) -> Reply {
    answer(200, &[("cache-control", "max-age=60")], body)
}

async fn cached(
    settings: &str,
    behaviour: impl Fn(&Message) -> Reply + Send + Sync + 'static,
) -> (Upstream, Rig) {
    let upstream = Upstream::with(behaviour).await;
    let keys = format!("cache = {{ {settings} }}\n{NO_EJECTION}");
    let rig = Rig::start(&shop(&keys, [&upstream])).await;
    (upstream, rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_wrote_forgets_what_was_kept_of_its_target() {
    let (upstream, rig) = cached("", |request| match request.method() {
        "GET" => fresh("x"),
        _ => answer(200, &[], "done"),
    })
    .await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
        rig.get("/a").await;
        rig.get("/b").await;
        let before = upstream.count_of("/a");
        assert_eq!(
            rig.ask(request(method, "/a", &[], "{}")).await.text(),
            "done"
        );
        rig.get("/a").await;
        assert_eq!(upstream.count_of("/a"), before + 2, "{method}");
    }
    assert_eq!(upstream.count_of("/b"), 1);
    // OPTIONS changes nothing.
    let before = upstream.count_of("/a");
    rig.ask(request("OPTIONS", "/a", &[], "")).await;
    rig.get("/a").await;
    assert_eq!(upstream.count_of("/a"), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_refused_or_broke_forgets_nothing() {
    let (upstream, rig) = cached("", |_| fresh("x")).await;
    for status in [400, 404, 409, 500, 503] {
        upstream.behave(|_| fresh("x"));
        rig.get("/a").await;
        upstream.behave(move |_| answer(status, &[], "no"));
        rig.ask(request("POST", "/a", &[], "{}")).await;
        assert_eq!(rig.get("/a").await.text(), "x", "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_variants_are_forgotten_and_what_the_answer_names() {
    let (upstream, rig) = cached("", |request| match request.method() {
        "GET" => answer(
            200,
            &[("cache-control", "max-age=60"), ("vary", "accept-language")],
            request.header("accept-language").unwrap_or("none"),
        ),
        _ => answer(
            303,
            &[
                ("location", "/named"),
                ("content-location", "http://SHOP.example/other"),
            ],
            "",
        ),
    })
    .await;
    let all = async || {
        for target in ["/a", "/named", "/other", "/left"] {
            for language in ["fr", "en"] {
                let headers = [("accept-language", language)];
                let answer = rig.ask(request("GET", target, &headers, "")).await;
                assert_eq!(answer.text(), language);
            }
        }
    };
    all().await;
    all().await;
    assert_eq!(upstream.count(), 8);
    rig.ask(request("POST", "/a", &[], "{}")).await;
    all().await;
    for (target, expected) in [("/a", 5), ("/named", 4), ("/other", 4), ("/left", 2)] {
        assert_eq!(upstream.count_of(target), expected, "{target}");
    }
    assert_eq!(rig.metric("store_proxy_cache_entries", &[]).await, 8.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_on_its_way_when_its_target_is_written_is_not_kept() {
    let (held, gate) = fresh("old").held();
    let (upstream, rig) = cached("", move |_| held.clone()).await;
    let mut early = rig.client().await;
    early.send(get("/a")).await;
    eventually("it has arrived", async || upstream.count() == 1).await;
    upstream.behave(|_| answer(204, &[], ""));
    rig.ask(request("PUT", "/a", &[], "{}")).await;
    upstream.behave(|_| fresh("new"));
    gate.add_permits(1);
    assert_eq!(early.answer().await.text(), "old");
    for _ in 0..2 {
        assert_eq!(rig.get("/a").await.text(), "new");
    }
    assert_eq!(upstream.count_of("/a"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_renews_the_headers_of_what_it_confirms() {
    let (upstream, rig) = cached("", |_| {
        answer(
            200,
            &[
                ("cache-control", "max-age=1"),
                ("etag", "\"one\""),
                ("date", "Mon, 23 Nov 2026 08:00:00 GMT"),
                ("x-count", "1"),
                ("x-old", "1"),
            ],
            "body",
        )
    })
    .await;
    rig.get("/a").await;
    upstream.behave(|request| {
        assert_eq!(request.header("if-none-match"), Some("\"one\""));
        Reply::Bytes(
            "HTTP/1.1 304 Not Modified\r\ncache-control: max-age=60\r\netag: \"one\"\r\nx-count: 2\r\n\
             date: Mon, 23 Nov 2026 09:00:00 GMT\r\ncontent-length: 0\r\nset-cookie: a=b\r\n\r\n"
                .into(),
        )
    });
    sleep(Duration::from_millis(1_100)).await;
    // The first is confirmed, the second kept, and the third is not even seen by pingora.
    for headers in [&[][..], &[("x-other", "1")], &[]] {
        let answer = rig.ask(request("GET", "/a", headers, "")).await;
        assert_eq!((answer.status(), answer.text()), (200, "body".into()));
        assert_eq!(answer.header("x-count"), Some("2"));
        assert_eq!(answer.header("x-old"), Some("1"));
        assert_eq!(answer.header("content-length"), Some("4"));
        assert_eq!(answer.header("set-cookie"), None);
    }
    let kept = rig.get("/a").await;
    assert_eq!(kept.header("date"), Some("Mon, 23 Nov 2026 09:00:00 GMT"));
    assert_eq!(upstream.count(), 2);
}

/// It would stand in for errors, although its server has something else now.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_may_not_be_kept_ends_the_one_before() {
    let words = "max-age=1, stale-if-error=60";
    let (upstream, rig) =
        cached("", move |_| answer(200, &[("cache-control", words)], "old")).await;
    rig.get("/a").await;
    sleep(Duration::from_millis(1_100)).await;
    upstream.behave(|_| answer(200, &[("cache-control", "no-store")], "new"));
    assert_eq!(rig.get("/a").await.text(), "new");
    upstream.behave(|_| answer(503, &[], "down"));
    assert_eq!(rig.get("/a").await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_several_ages_counts() {
    for (age, kept) in [("7200, 0", false), ("0, 7200", true), ("old", true)] {
        let (upstream, rig) = cached("", move |_| {
            answer(200, &[("cache-control", "max-age=60"), ("age", age)], "x")
        })
        .await;
        for _ in 0..2 {
            rig.get("/a").await;
        }
        assert_eq!(upstream.count() == 1, kept, "{age}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_to_caches_of_ours_counts_only_if_it_can_be_read() {
    for (targeted, kept) in [
        ("max-age=60", true),
        ("max-age=\"60\"", false),
        ("max-age=60, &&", false),
        ("max-age=60, private=\"x-a\"", false),
    ] {
        let (upstream, rig) = cached("", move |_| {
            let headers = [
                ("cdn-cache-control", targeted),
                ("cache-control", "no-store"),
            ];
            answer(200, &headers, "x")
        })
        .await;
        for _ in 0..2 {
            rig.get("/a").await;
        }
        assert_eq!(upstream.count() == 1, kept, "{targeted}");
    }
}
