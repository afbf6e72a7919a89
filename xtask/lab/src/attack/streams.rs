//! Streams of HTTP/2 that are begun for the sake of ending them.

use std::collections::HashMap;
use std::sync::Arc;

use testbed::http2::reset;
use tokio::io::AsyncWriteExt;

use super::http2;
use super::scene::Scene;

/// Requests that are written at once.
const BURST: u32 = 100;

/// Requests that are taken back at once, as many as go.
pub(super) async fn rapid_reset(scene: Arc<Scene>) {
    scene.crowd(8, async |scene| flood(&scene).await).await;
}

async fn flood(scene: &Scene) {
    let Ok((reader, mut writer)) = http2::connect(scene, &[]).await else {
        return scene.attempt().told("closed");
    };
    let order = http2::request("GET", "/orders/1", &[]);
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
    // No stream has this number: what is heard is the connection's end.
    let attempts = HashMap::from([(0, scene.attempt())]);
    tokio::select! {
        () = http2::hear(reader, attempts) => {}
        () = send => {}
    }
}
