//! Many requests with the same idempotency key.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use super::scene::Scene;

/// S12: creates one product under one key, from many clients at once.
pub(super) async fn one_key(scene: Arc<Scene>) {
    scene
        .crowd(16, async |scene| {
            let product = json!({"name": "Twice", "sku": "TWICE-1", "price": 1.0});
            let request = scene.request(Method::POST, "/products");
            let key = format!("attack-{:?}-{}", scene.way, scene.victim);
            scene
                .ask(request.header("idempotency-key", key).json(&product))
                .await;
        })
        .await;
}
