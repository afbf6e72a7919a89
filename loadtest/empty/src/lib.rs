//! Answers like the store's `GET /health-check`, and imports nothing but WASI: any host of WASI 0.3 can serve it.

use spin_sdk::http::{HeaderMap, HeaderValue, IntoResponse, Request, StatusCode};
use spin_sdk::http_service;

const BODY: &str = r#"{"status":"ok"}"#;

#[http_service]
async fn handle(_: Request) -> impl IntoResponse {
    let mut fields = HeaderMap::new();
    fields.insert("content-type", HeaderValue::from_static("application/json"));
    fields.insert("content-length", HeaderValue::from(BODY.len()));
    (StatusCode::OK, fields, BODY.to_owned())
}
