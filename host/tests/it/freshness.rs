//! What an answer says about how long it may be kept, and who is told when it may not be any longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::operator::{TOKEN, guest, operated, refusal, with_token};
use crate::support::{Answer, PATIENCE, Shop, empty_store, eventually, options, send};

const REPORTS: [&str; 2] = [
    "/orders/reports/highest-spenders",
    "/orders/reports/best-sellers",
];

#[track_caller]
fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers[name].to_str().unwrap()
}

/// The value of a directive of `Cache-Control` and its like.
#[track_caller]
fn seconds(value: &str, directive: &str) -> u64 {
    let found = value
        .split(", ")
        .find_map(|word| word.strip_prefix(directive)?.strip_prefix('='));
    found
        .unwrap_or_else(|| panic!("no {directive} in {value}"))
        .parse()
        .unwrap()
}

async fn refresh(shop: &Shop) -> Answer {
    let request = shop.client.post(shop.host.admin_url("/refresh"));
    send(request.bearer_auth(TOKEN)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_says_how_long_it_may_be_kept() {
    let shop = Shop::with(options().variable("report_refresh_seconds", "60")).await;
    shop.refreshed().await;
    for report in REPORTS {
        let answer = shop.get(report).await;
        let control = header(&answer, "cache-control");
        assert_eq!(seconds(control, "max-age"), 0, "{control}");
        let fresh = seconds(control, "s-maxage");
        // It has been right for less than the test's patience.
        assert!((60 - PATIENCE.as_secs()..=60).contains(&fresh), "{control}");
        let stale = seconds(control, "stale-while-revalidate");
        assert!((1..=2).contains(&stale), "{control}");
        let own = header(&answer, "cdn-cache-control");
        assert_eq!(seconds(own, "max-age"), fresh);
        assert_eq!(seconds(own, "stale-while-revalidate"), stale);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_report_gets_304() {
    let shop = Shop::with(options().variable("report_refresh_seconds", "3600")).await;
    shop.refreshed().await;
    let report = REPORTS[0];
    let first = shop.get(report).await;
    let tag = header(&first, "etag");
    assert!(tag.starts_with("W/\""), "{tag}");
    let strong = tag.trim_start_matches("W/").to_owned();
    for (method, known) in [
        (Method::GET, tag),
        (Method::HEAD, tag),
        (Method::GET, &strong),
        (Method::GET, "*"),
        (Method::GET, &format!("\"other\", {tag}")),
    ] {
        let request = shop.request(method.clone(), report);
        let answer = send(request.header("if-none-match", known)).await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(answer.text, "");
        assert_eq!(header(&answer, "etag"), tag);
        assert!(header(&answer, "cache-control").contains("s-maxage="));
        assert!(!answer.headers.contains_key("content-type"), "{answer:?}");
    }
    let request = shop.request(Method::GET, report);
    let other = send(request.header("if-none-match", "\"other\"")).await;
    assert_eq!(other.expect(200), first.json());
    // HEAD has the headers of GET.
    let head = send(shop.request(Method::HEAD, report)).await;
    assert_eq!(header(&head, "etag"), tag);
    assert_eq!(head.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_made_for_one_request_is_asked_for_each_time() {
    for source in ["redis", "mysql"] {
        let shop = Shop::with(options().variable("report_source", source)).await;
        let answer = shop.get(REPORTS[1]).await;
        assert_eq!(header(&answer, "cache-control"), "no-cache", "{source}");
        assert_eq!(header(&answer, "cdn-cache-control"), "no-cache", "{source}");
        let tag = header(&answer, "etag").to_owned();
        let request = shop.request(Method::GET, REPORTS[1]);
        let again = send(request.header("if-none-match", tag)).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_not_for_caches() {
    let shop = Shop::open().await;
    for path in ["/orders/999", "/nothing/here"] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(header(&answer, "cache-control"), "no-store");
    }
    let body = json!({"user_id": 1, "items": []});
    let answer = shop.post("/orders", &body).await;
    assert_eq!(header(&answer, "cache-control"), "no-store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_by_hand_makes_the_reports_now() {
    let options = with_token(options()).variable("report_refresh_seconds", "3600");
    let shop = Shop::with(options).await;
    shop.refreshed().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    for pieces in 1..=3 {
        shop.order(user, product, 1).await.expect(201);
        let refreshed = refresh(&shop).await.expect(200);
        assert_eq!(refreshed["components"][0]["component"], "reports");
        let expected = json!([{"product_id": product, "quantity_sold": pieces}]);
        assert_eq!(shop.get(REPORTS[1]).await.expect(200), expected);
    }
    let anybody = send(shop.client.post(shop.host.admin_url("/refresh"))).await;
    assert_eq!(
        refusal(&anybody, 401, None),
        "send the admin token as `Authorization: Bearer TOKEN`"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_by_hand_waits_for_the_one_that_is_under_way() {
    let options = with_token(options()).variable("report_refresh_seconds", "3600");
    let shop = Shop::with(options).await;
    shop.refreshed().await;
    let mut redis = shop.store.redis().await.unwrap();
    redis::cmd("SET")
        .arg(&["lease:report-refresh", "another", "PX", "1000"])
        .exec_async(&mut redis)
        .await
        .unwrap();
    refresh(&shop).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_fetches_by_itself_is_no_call() {
    let shop = Shop::open().await;
    let request = shop.request(Method::GET, REPORTS[1]);
    send(request.header("store-cache-fill", "?1"))
        .await
        .expect(200);
    shop.get(REPORTS[1]).await.expect(200);
    assert_eq!(shop.metric("best_sellers_total").await, 1.0);
}

/// Stands in for a proxy's admin listener, and counts purges.
struct Proxy {
    address: String,
    purges: Arc<AtomicUsize>,
    _task: JoinHandle<()>,
}

impl Proxy {
    async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn on(listener: TcpListener) -> Self {
        let address = format!("http://{}", listener.local_addr().unwrap());
        let purges = Arc::new(AtomicUsize::new(0));
        let counted = purges.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                if head.starts_with(b"POST /cache/purge HTTP/1.1\r\n") {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n{\"purged\":0}";
                _ = stream.write_all(answer).await;
            }
        });
        Self {
            address,
            purges,
            _task: task,
        }
    }

    fn purges(&self) -> usize {
        self.purges.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_know_of_a_change_before_it_is_answered() {
    let proxies = [Proxy::start().await, Proxy::start().await];
    let store = empty_store().await;
    let mut options = operated(&store).variable("report_refresh_seconds", "3600");
    for proxy in &proxies {
        options = options.arg("--purge").arg(&proxy.address);
    }
    let shop = Shop::on(store, options).await;
    eventually("the refresh at start is told", async || {
        proxies.iter().all(|proxy| proxy.purges() == 1)
    })
    .await;
    let told = |changes: usize| {
        for proxy in &proxies {
            assert_eq!(proxy.purges(), 1 + changes);
        }
    };
    refresh(&shop).await.expect(200);
    told(1);
    let bytes = guest("swapped").into_bytes();
    shop.swap("reports", bytes).await.expect(200);
    told(2);
    let post = async |path: &str| {
        let request = shop.client.post(shop.host.admin_url(path));
        send(request.bearer_auth(TOKEN)).await.expect(200)
    };
    post("/components/reports/rollback").await;
    told(3);
    post("/reload").await;
    told(4);
    // A change that is refused is none.
    let request = shop
        .client
        .post(shop.host.admin_url("/components/reports/promote"));
    assert_eq!(
        refusal(&send(request.bearer_auth(TOKEN)).await, 409, None),
        "`reports` has no canary on trial"
    );
    told(4);
    assert_eq!(
        shop.metric("store_purges_total{result=\"done\"}").await,
        10.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_down_for_a_moment_is_told_later() {
    // Nobody else gets the port; connections are refused for as long as the socket does not listen.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let flag = format!("--purge=http://{address}");
    let options = with_token(options()).variable("report_refresh_seconds", "3600");
    let shop = Shop::with(options.arg(flag)).await;
    // It is answered all the same.
    refresh(&shop).await.expect(200);
    let proxy = Proxy::on(socket.listen(16).unwrap());
    eventually("it is told", async || proxy.purges() > 0).await;
}
