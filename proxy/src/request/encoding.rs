//! Compression for clients that accept it (RFC 9110, section 12.5.3). Pingora compresses, but uses the first coding
//! that a client names, whatever its weight, so the coding is chosen here.

use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_RANGE};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora_cache::cache_control::CacheControl;
use pingora_core::modules::http::compression::ResponseCompression;
use pingora_core::protocols::http::compression::{Algorithm, ResponseCompressionCtx};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use crate::config::Compression;

/// A coding that pingora knows and that is never switched on. If it is the only accepted coding, pingora does not
/// compress, but still says that the answer depends on the accepted codings (`Vary`).
const NEVER: &str = "zstd";

/// Sets up compression for this request. Must be called before pingora reads `Accept-Encoding`, which pingora does only
/// if it may compress.
///
/// # Errors
/// A header can't be written. This never happens, as the headers written here are valid.
pub(crate) fn prepare(session: &mut Session, levels: &Compression) -> Result<()> {
    if session.req_header().version == Version::HTTP_10 {
        // A compressed answer comes in chunks, which HTTP/1.0 does not have (RFC 9112, section 6.1).
        return Ok(());
    }
    let headers = &session.req_header().headers;
    let asked = headers.contains_key(ACCEPT_ENCODING);
    let chosen = choose(headers, levels);
    let Some(compression) = compression(session) else {
        return Ok(());
    };
    compression.adjust_algorithm_level(Algorithm::Gzip, levels.gzip);
    compression.adjust_algorithm_level(Algorithm::Brotli, levels.brotli);
    if asked {
        let mut first = RequestHeader::build(Method::GET, b"/", Some(1))?;
        first.insert_header(ACCEPT_ENCODING, chosen.unwrap_or(NEVER))?;
        compression.request_filter(&first);
    }
    Ok(())
}

/// Gives an answer without a body the headers that GET would bring, and makes sure that the coding adds no bytes to it.
pub(crate) fn without_body(session: &mut Session, answer: &mut ResponseHeader) {
    let is_head = session.req_header().method == Method::HEAD;
    let Some(compression) = compression(session) else {
        return;
    };
    if is_head && answer.status != StatusCode::NOT_MODIFIED && compression.is_header_phase() {
        compression.response_header_filter(answer, false);
    }
    *compression = ResponseCompressionCtx::new(0, false, false);
}

/// Whether an answer must not be compressed: it is only a part of a body, or its server forbids transforming it (RFC
/// 9110, sections 7.7 and 14.4).
pub(crate) fn is_fixed(answer: &ResponseHeader) -> bool {
    let part = answer.status == StatusCode::PARTIAL_CONTENT;
    let control = CacheControl::from_headers_named(CACHE_CONTROL.as_str(), &answer.headers);
    part || answer.headers.contains_key(CONTENT_RANGE)
        || control.is_some_and(|control| control.has_key("no-transform"))
}

/// Switches compression off for this answer.
pub(crate) fn off(session: &mut Session) {
    if let Some(compression) = compression(session) {
        *compression = ResponseCompressionCtx::new(0, false, false);
    }
}

fn compression(session: &mut Session) -> Option<&mut ResponseCompressionCtx> {
    let modules = &mut session.downstream_modules_ctx;
    modules
        .get_mut::<ResponseCompression>()
        .map(|module| &mut **module)
}

/// The coding with the highest weight among those that are switched on; `None` if the client accepts none of them, or
/// likes an answer without coding (`identity`) better.
fn choose(headers: &HeaderMap, levels: &Compression) -> Option<&'static str> {
    let on = [("gzip", levels.gzip), ("br", levels.brotli)];
    let accepted = accepted(headers);
    let weight = |coding: &str| {
        let of = |name: &str| accepted.iter().find(|(accepted, _)| accepted == name);
        let (_, weight) = of(coding).or_else(|| of("*"))?;
        (*weight > 0).then_some(*weight)
    };
    let plain = accepted.iter().find(|(coding, _)| coding == "identity");
    let plain = plain.map_or(0, |(_, weight)| *weight);
    let place = |coding: &str| accepted.iter().position(|(accepted, _)| accepted == coding);
    on.into_iter()
        .filter(|(_, level)| *level > 0)
        .filter_map(|(coding, _)| Some((weight(coding)?, coding)))
        .filter(|(weight, _)| *weight >= plain)
        // Of equal weights, take the coding that is named first, as browsers list them in order of preference.
        .max_by_key(|(weight, coding)| {
            let place = place(coding).unwrap_or(usize::MAX);
            (*weight, std::cmp::Reverse(place))
        })
        .map(|(_, coding)| coding)
}

/// Codings and their weights in thousandths. A weight that can't be read is 0.
fn accepted(headers: &HeaderMap) -> Vec<(String, u32)> {
    let lines = headers.get_all(ACCEPT_ENCODING).iter();
    let items = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    items
        .map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| {
                let (name, value) = part.split_once('=')?;
                name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
            });
            (coding, weight.map_or(1000, thousandths))
        })
        .collect()
}

fn thousandths(weight: &str) -> u32 {
    let digits = weight
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    match weight.parse::<f32>() {
        // The weight is at most 1, so the cast loses nothing.
        Ok(weight) if digits && weight <= 1.0 => (weight * 1000.0).round() as u32,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(lines: &[&'static str], gzip: u32, brotli: u32) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, line.parse().expect("a value"));
        }
        choose(&headers, &Compression { gzip, brotli })
    }

    #[test]
    fn parts_and_what_must_not_be_transformed_stay_as_they_are() {
        let fixed = |status: u16, name: &'static str, value: &'static str| {
            let mut answer = ResponseHeader::build(status, None).expect("an answer");
            answer.insert_header(name, value).expect("a header");
            is_fixed(&answer)
        };
        assert!(fixed(206, "content-type", "multipart/byteranges"));
        assert!(fixed(200, "content-range", "bytes 0-1/2"));
        assert!(fixed(200, "cache-control", "max-age=9, No-Transform"));
        assert!(!fixed(200, "cache-control", "max-age=9"));
    }

    #[test]
    fn the_coding_that_the_client_likes_best_is_chosen() {
        for (lines, expected) in [
            (["gzip"].as_slice(), Some("gzip")),
            (&["br, gzip"], Some("br")),
            (&["gzip, br"], Some("gzip")),
            (&["gzip;q=0.5, br;q=0.501"], Some("br")),
            (&["br;q=0, gzip;q=0.001"], Some("gzip")),
            (&["BR ; Q=0 ,GZIP"], Some("gzip")),
            (&["deflate", "gzip"], Some("gzip")),
            (&["*"], Some("br")),
            (&["*;q=0.5, gzip;q=0"], Some("br")),
            (&["identity;q=0, br"], Some("br")),
            (&["gzip, identity"], Some("gzip")),
            (&["identity, gzip;q=0.5, *;q=0.1"], None),
            (&[], None),
            (&[""], None),
            (&["identity"], None),
            (&["gzip;q=0"], None),
            (&["gzip;q=0.000, br;q=0"], None),
            (&["*;q=0"], None),
            (&["gzip;q=x"], None),
            (&["gzip;q=1.5"], None),
            (&["gzip;q=-1"], None),
        ] {
            assert_eq!(chosen(lines, 5, 5), expected, "{lines:?}");
        }
        assert_eq!(chosen(&["br, gzip"], 5, 0), Some("gzip"));
        assert_eq!(chosen(&["br"], 5, 0), None);
        assert_eq!(chosen(&["br, gzip"], 0, 0), None);
    }
}
