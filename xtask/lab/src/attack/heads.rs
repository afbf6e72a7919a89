//! Heads that arrive slowly or never, and connections without requests.

use std::collections::HashMap;
use std::time::Duration;

use testbed::http2::{block, frame, kind, request_for};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::scene::Scene;
use super::{http1, http2};

/// The time between two bytes.
const DRIP: Duration = Duration::from_millis(200);

/// S9: empty lines before a request that never comes.
pub(super) async fn empty_lines(scene: &Scene) {
    http1::dribble(scene, b"\r\n", b"\r\n", DRIP).await;
}

/// A head that arrives one byte at a time.
pub(super) async fn slow(scene: &Scene) {
    const BEGIN: &[u8] = b"GET /health-check HTTP/1.1\r\nhost: shop.example\r\nx-slow: ";
    http1::dribble(scene, BEGIN, b"x", DRIP).await;
}

/// Many connections on which nothing is sent.
pub(super) async fn connections(scene: &Scene) {
    http1::dribble(scene, b"", b"", LONG).await;
}

/// Longer than any attack, so that nothing more is sent.
const LONG: Duration = Duration::from_secs(3600);

/// As [`slow`], over HTTP/2: a head in frames of one byte.
pub(super) async fn slow_http2(scene: &Scene) {
    let Ok((reader, mut writer)) = http2::connect(scene, &[]).await else {
        return scene.attempt().told("closed");
    };
    let block = block(&request_for("GET", "/health-check", &[]));
    let (begin, rest) = block.split_at(1);
    let send = async {
        _ = writer.write_all(&frame(kind::HEADERS, 0, 1, begin)).await;
        for byte in rest {
            _ = writer
                .write_all(&frame(kind::CONTINUATION, 0, 1, &[*byte]))
                .await;
            sleep(DRIP).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = http2::hear(reader, HashMap::from([(1, scene.attempt())])) => {}
        () = send => {}
    }
}
