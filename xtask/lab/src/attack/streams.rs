//! HTTP/2 streams that are opened only to be reset.

use std::collections::HashMap;

use testbed::http2::{request_for, reset};
use tokio::io::AsyncWriteExt;

use super::http2;
use super::scene::Scene;

/// The number of requests in one write.
const BURST: u32 = 100;

/// Requests that are reset at once, as fast as possible.
pub(super) async fn rapid_reset(scene: &Scene) {
    let Ok((reader, mut writer)) = http2::connect(scene, &[]).await else {
        return scene.attempt().told("closed");
    };
    let order = request_for("GET", "/orders/1", &[]);
    let send = async {
        let mut stream = 1;
        loop {
            let mut burst = Vec::new();
            for _ in 0..BURST {
                burst.extend(http2::whole(stream, &order));
                burst.extend(reset(stream));
                stream += 2;
            }
            if writer.write_all(&burst).await.is_err() {
                return std::future::pending().await;
            }
        }
    };
    // No stream has this number, so only the end of the connection is noted.
    let attempts = HashMap::from([(0, scene.attempt())]);
    tokio::select! {
        () = http2::hear(reader, attempts) => {}
        () = send => {}
    }
}
