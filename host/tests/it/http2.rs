//! HTTP/2 as raw frames: the cases that the proxy is judged by as well.

use testbed::http2::{cases, judge};
use tokio::net::TcpStream;

use crate::support::Shop;

/// No component has the cases' path, so a request that is served is answered with 404 by one.
const SERVED: u16 = 404;

#[tokio::test(flavor = "multi_thread")]
async fn doubtful_http2_is_served_or_refused_and_leaves_nothing_behind() {
    let shop = Shop::open().await;
    let address = shop.host.url("").replace("http://", "");
    let connect = async || TcpStream::connect(&address).await.unwrap();
    let cases = cases();
    let plain = cases.first().unwrap();
    let mut failures = Vec::new();
    for case in &cases {
        let (_, judged) = judge(case, connect().await, SERVED).await;
        failures.extend(judged.err());
        let (_, after) = judge(plain, connect().await, SERVED).await;
        failures.extend(
            after
                .err()
                .map(|wrong| format!("after {}: {wrong}", case.name)),
        );
    }
    assert!(failures.is_empty(), "{failures:#?}");
    let resets = "store_refusals_total{reason=\"http2_reset\"}";
    assert!(shop.metric(resets).await > 0.0, "the library resets some");
}
