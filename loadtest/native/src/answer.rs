//! Answers: JSON, or an error as JSON.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use store_domain::StoreError;

/// `GET /health-check`
pub(crate) async fn health() -> Json<serde_json::Value> {
    Json(json!({"status": "ok"}))
}

/// A JSON body that is already written.
pub(crate) fn finished_json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// Why a request gets an error.
pub(crate) struct Failure(pub(crate) StoreError);

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        Self(StoreError::Unavailable(error.to_string()))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            StoreError::Malformed(_) => StatusCode::BAD_REQUEST,
            StoreError::NotFound(_) => StatusCode::NOT_FOUND,
            StoreError::Conflict(_) => StatusCode::CONFLICT,
            StoreError::Unacceptable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            StoreError::Unavailable(_) | StoreError::Unfinished(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            StoreError::OutcomeUnknown(_) => StatusCode::GATEWAY_TIMEOUT,
            StoreError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({"error": self.0.to_string()}))).into_response()
    }
}
