//! Many requests with the same idempotency key.

use reqwest::Method;
use serde_json::json;

use super::scene::Scene;

/// S12: creates one product under one key, from many clients at once.
pub(super) async fn one_key(scene: &Scene) {
    let product = json!({"name": "Twice", "sku": "TWICE-1", "price": 1.0});
    let request = scene.request(Method::POST, "/products");
    let key = format!("attack-{:?}-{}", scene.way, scene.victim);
    let request = request.header("idempotency-key", key).json(&product);
    scene.ask(request).await;
}
