//! Receives a component to swap in: its bytes, and what its headers say about them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use store_server::listener::UPLOAD_LIMIT;

use super::query::Query;
use crate::control::{ControlError, SwapStep, Upload};
use crate::http::body::{announced_bytes, discard};
use crate::instance::{Origin, Source};

/// Receives a complete component.
///
/// # Errors
/// The body is larger than `most` bytes or breaks off, or a header is malformed.
pub(super) async fn receive(
    request: Request<Incoming>,
    query: &Query,
    most: usize,
) -> Result<Upload, ControlError> {
    let (head, mut body) = request.into_parts();
    let bytes = receive_bytes(&head.headers, &mut body, most).await?;
    let expected_digest = content_digest(&head.headers)?;
    let signature = signature(&head.headers)?;
    Ok(Upload {
        source: tokio::task::block_in_place(|| Source::new(bytes, signature)),
        expected_digest,
        origin: if query.ephemeral {
            Origin::Ephemeral
        } else {
            Origin::Stored
        },
        trial: query.trial.clone(),
    })
}

/// Receives a body of at most `most` bytes.
///
/// # Errors
/// The body is larger, breaks off, or takes too long.
pub(super) async fn receive_bytes(
    headers: &HeaderMap,
    body: &mut Incoming,
    most: usize,
) -> Result<Bytes, ControlError> {
    if announced_bytes(headers).is_some_and(|length| length > most as u64) {
        discard(body).await;
        return Err(too_large(most));
    }
    let reading = tokio::time::timeout(UPLOAD_LIMIT, read(body, most));
    let late = || {
        failed(
            StatusCode::REQUEST_TIMEOUT,
            format!("not received within {UPLOAD_LIMIT:?}"),
        )
    };
    reading.await.unwrap_or_else(|_| Err(late()))
}

async fn read(body: &mut Incoming, most: usize) -> Result<Bytes, ControlError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            failed(
                StatusCode::BAD_REQUEST,
                format!("it broke off after {} bytes: {error}", bytes.len()),
            )
        })?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > most {
                discard(body).await;
                return Err(too_large(most));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

/// The SHA-256 digest in `Content-Digest` (RFC 9530), in hexadecimal. The header has the form `sha-256=:BASE64:`;
/// digests of other algorithms are ignored.
fn content_digest(headers: &HeaderMap) -> Result<Option<String>, ControlError> {
    let values = headers.get_all("content-digest").iter();
    let mut members = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|member| member.trim().split_once('='));
    let Some((_, value)) = members.find(|(algorithm, _)| *algorithm == "sha-256") else {
        return Ok(None);
    };
    value
        .strip_prefix(':')
        .and_then(|value| value.strip_suffix(':'))
        .and_then(|text| STANDARD.decode(text).ok())
        .map(|digest| Some(digest.iter().map(|byte| format!("{byte:02x}")).collect()))
        .ok_or_else(|| {
            ControlError::at(
                SwapStep::Digest,
                "`Content-Digest` is not `sha-256=:BASE64:`",
            )
        })
}

/// The text of a `.minisig` file in `Store-Signature`. It has several lines, so the header holds it in base64.
fn signature(headers: &HeaderMap) -> Result<Option<String>, ControlError> {
    let Some(value) = headers.get("store-signature") else {
        return Ok(None);
    };
    STANDARD
        .decode(value.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| {
            ControlError::at(
                SwapStep::Signature,
                "`Store-Signature` is not a .minisig file in base64",
            )
        })
}

fn too_large(most: usize) -> ControlError {
    failed(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the component is larger than {most} bytes; --component-limit-mib allows more"),
    )
}

fn failed(status: StatusCode, reason: String) -> ControlError {
    ControlError::Failed {
        step: SwapStep::Receive,
        status,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn digests_are_found_among_others() {
        let found = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("content-digest", HeaderValue::from_static(line));
            }
            content_digest(&headers)
        };
        let digest = Some("000102".to_owned());
        assert_eq!(found(&[]).expect("none"), None);
        assert_eq!(found(&["sha-512=:eHg=:"]).expect("none we know"), None);
        for lines in [
            &["sha-512=:eHg=:, sha-256=:AAEC:"][..],
            &["sha-512=:eHg=:", "sha-256=:AAEC:"],
        ] {
            assert_eq!(found(lines).expect("valid"), digest, "{lines:?}");
        }
        for malformed in ["sha-256=AAEC", "sha-256=:no base64:"] {
            let error = found(&[malformed]).expect_err(malformed);
            assert_eq!(error.step(), Some(SwapStep::Digest));
            assert_eq!(
                error.to_string(),
                "`Content-Digest` is not `sha-256=:BASE64:`"
            );
        }
    }
}
