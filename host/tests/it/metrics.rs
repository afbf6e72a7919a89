//! `/metrics` and the log.

use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::operator::refusal;
use crate::support::{Shop, UNAVAILABLE, options, send, wait_for_log};

#[tokio::test(flavor = "multi_thread")]
async fn the_course_s_counters_count_calls() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    let refused = shop.order(user, 999, 1).await;
    assert_eq!(refused.problem(422), "unknown product 999");
    shop.get("/orders/reports/best-sellers").await.expect(200);
    for (series, calls) in [
        ("orders_total", 2.0),
        ("best_sellers_total", 1.0),
        ("highest_spenders_total", 0.0),
    ] {
        assert_eq!(shop.metric(series).await, calls, "{series}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_route_pattern() {
    let shop = Shop::open().await;
    for path in ["/orders/1", "/orders/2", "/anything/at/all"] {
        shop.get(path).await.problem(404);
    }
    send(shop.request(Method::from_bytes(b"BREW").unwrap(), "/orders/3"))
        .await
        .problem(405);
    let count = async |route: &str, method: &str, status: u16| {
        let labels = format!("component=\"orders\",method=\"{method}\",route=\"{route}\"");
        let seconds = format!("http_request_duration_seconds_count{{{labels}}}");
        assert!(shop.metric(&seconds).await > 0.0, "no {seconds}");
        shop.metric(&format!(
            "http_requests_total{{{labels},status=\"{status}\"}}"
        ))
        .await
    };
    assert_eq!(count("/orders/:id", "GET", 404).await, 2.0);
    assert_eq!(count("/orders/:id", "other", 405).await, 1.0);
    assert_eq!(count("/...", "GET", 404).await, 1.0);
    let text = shop.scrape().await;
    assert!(!text.contains("/orders/1\""), "a raw path became a label");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_passes_promtool_and_has_every_family() {
    let shop = Shop::open().await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    shop.get("/orders/reports/best-sellers").await.expect(200);
    let text = shop.scrape().await;
    for family in [
        "store_component_info{component=\"orders\",digest=\"",
        "store_instances{component=\"orders\"}",
        "store_traps_total{component=\"orders\"} 0",
        "store_log_lines_dropped_total{component=\"orders\"} 0",
        "store_mysql_pool_size{component=\"orders\"} 16",
        "store_mysql_pool_in_use{component=\"orders\"}",
        "store_mysql_pool_waiting{component=\"orders\"} 0",
        "store_mysql_pool_wait_seconds_count{component=\"orders\"}",
        "store_redis_errors_total{component=\"orders\"} 0",
        "process_resident_memory_bytes",
    ] {
        assert!(text.contains(family), "no `{family}` in\n{text}");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is in Debian's package `prometheus`, which `cargo xtask test` installs");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_has_only_what_it_offers() {
    let shop = Shop::open().await;
    let answer = async |method: Method, path: &str| {
        send(shop.client.request(method, shop.host.admin_url(path))).await
    };
    assert_eq!(answer(Method::GET, "/healthz").await.text, "ok\n");
    let posted = answer(Method::POST, "/metrics").await;
    assert_eq!(
        refusal(&posted, 405, None),
        "this path answers GET, HEAD only"
    );
    let of_the_shop = refusal(&answer(Method::GET, "/orders").await, 404, None);
    assert!(of_the_shop.starts_with("the paths are "), "{of_the_shop}");
}

/// As clients are: whether the head can't be read, or the listener answers it so.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_of_an_operator_has_an_id_a_count_and_a_line() {
    let shop = Shop::open().await;
    let address = shop.host.admin_url("").replace("http://", "");
    let head = |line: &str, host: &str| {
        format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    };
    for (bytes, status, reason) in [
        ("nonsense\r\n\r\n".to_owned(), 400, "protocol"),
        ("GET /status\r\n\r\n".to_owned(), 400, "protocol"),
        (
            head("GET /status", "localhost\r\ncontent-length: 1"),
            400,
            "malformed",
        ),
        (head("GET /status", "evil.example"), 421, "admin_request"),
        (head("GET /nowhere", "localhost"), 404, "admin_request"),
        (head("DELETE /status", "localhost"), 405, "admin_request"),
        (head("POST /reload", "localhost"), 401, "admin_request"),
    ] {
        let series = format!("store_refusals_total{{reason=\"{reason}\"}}");
        let before = shop.metric(&series).await;
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(bytes.as_bytes()).await.unwrap();
        let mut said = String::new();
        connection.read_to_string(&mut said).await.unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
        let line = "content-type: application/problem+json";
        assert!(head.lines().any(|found| found == line), "{said}");
        let mut lines = head.lines();
        let id = lines.find_map(|line| line.strip_prefix("x-request-id: "));
        let id = id.expect("an id");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["instance"], format!("urn:request:{id}"), "{said}");
        assert_eq!(shop.metric(&series).await, before + 1.0, "{bytes}");
        wait_for_log(&shop.host, id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_component_writes_is_logged_with_component_and_request() {
    // The variable is wrong, which the component writes to stderr for each request.
    let options = options()
        .variable("order_group_max_orders", "many")
        .arg("--log-format")
        .arg("json");
    let shop = Shop::with(options).await;
    let request = shop
        .request(Method::POST, "/orders")
        .header("x-request-id", "request-42")
        .json(&crate::support::order_body(1, 1, 1));
    assert_eq!(send(request).await.problem(503), UNAVAILABLE);
    // Lines are written by a thread of their own.
    wait_for_log(&shop.host, "request-42").await;
    let log = shop.host.log();
    let line = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("every line is JSON"))
        .find(|line| line["request"] == "request-42")
        .unwrap_or_else(|| panic!("no line of the request in\n{log}"));
    assert_eq!(
        (&line["component"], &line["stream"]),
        (&"orders".into(), &"stderr".into())
    );
    let message = line["message"].as_str().unwrap();
    for part in ["order_group_max_orders", "many", "from 1 to 500"] {
        assert!(message.contains(part), "no {part} in {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_alert_may_watch_is_there_from_the_start() {
    let shop = Shop::open().await;
    let text = shop.scrape().await;
    for series in [
        "http_requests_total{component=\"orders\",method=\"GET\",route=\"/orders/:id\",status=\"503\"}",
        "http_requests_total{component=\"orders\",method=\"POST\",route=\"/orders\",status=\"504\"}",
        "http_requests_total{component=\"stocks\",method=\"DELETE\",route=\"/products/:id\",status=\"500\"}",
        "store_component_swaps_total{component=\"orders\",result=\"withdrawn\"}",
        "store_component_swaps_total{component=\"reports\",result=\"probe\"}",
        "store_refreshes_total{outcome=\"failed\"}",
        "store_purges_total{result=\"failed\"}",
        "store_refusals_total{reason=\"overloaded\"}",
        "store_refusals_total{reason=\"protocol\"}",
        "store_traps_total{component=\"stocks\"}",
        "store_redis_errors_total{component=\"orders\"}",
        "store_mysql_pool_timeouts_total{component=\"orders\"}",
        "store_canary_retries_total{component=\"orders\"}",
    ] {
        let line = format!("{series} 0");
        assert!(text.lines().any(|found| found == line), "no `{line}`");
    }
}
