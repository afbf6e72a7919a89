//! Attacks on the admin listeners, by clients that are not operators.

use tokio::io::AsyncWriteExt;

use super::scene::Scene;
use super::{AttackTarget, http1};

/// S16: DNS rebinding, a web page whose host name resolves to this machine.
pub(super) async fn rebound(scene: &Scene) {
    const SENT: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    ask(scene, SENT).await;
}

/// S16: changes without the admin token.
pub(super) async fn without_token(scene: &Scene) {
    let path = match scene.way {
        AttackTarget::Host => "/components/orders/rollback",
        AttackTarget::Proxy => "/cache/purge",
    };
    let sent = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    ask(scene, sent.as_bytes()).await;
}

async fn ask(scene: &Scene, bytes: &[u8]) {
    let attempt = scene.attempt();
    let Ok(mut stream) = scene.connect_to(scene.admin).await else {
        return attempt.told("closed");
    };
    _ = stream.write_all(bytes).await;
    attempt.told(&http1::status(&mut stream).await);
}
