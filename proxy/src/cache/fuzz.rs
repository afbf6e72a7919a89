//! A fuzz target: headers of origins and clients that concern caches.

use std::time::SystemTime;

use http::header::{AUTHORIZATION, SET_COOKIE};
use pingora_http::{RequestHeader, ResponseHeader};

use super::CacheUse;
use super::changes::Changes;
use super::requests::use_for;
use super::rules::terms;
use crate::config;

const NAMES: [&str; 10] = [
    "cache-control",
    "cdn-cache-control",
    "age",
    "date",
    "expires",
    "vary",
    "pragma",
    "last-modified",
    "range",
    "set-cookie",
];

/// Checks that no answer for one client is kept, that a request with credentials is not answered from the cache, and
/// that no sum overflows.
#[test]
fn headers() {
    store_fuzz::target("cache-headers", |input| {
        let mut request = RequestHeader::build("GET", b"/", None).expect("a request");
        let mut answer = ResponseHeader::build(200, None).expect("an answer");
        for line in input.split(|&byte| byte == b'\n') {
            let Some((&name, value)) = line.split_first() else {
                continue;
            };
            // A field with an invalid value never arrives.
            let name = NAMES[usize::from(name) % NAMES.len()];
            _ = request.append_header(name, value);
            _ = answer.append_header(name, value);
        }
        let now = SystemTime::now();
        let careful = config::Cache::default();
        for settings in [&careful, &config::Cache::opened()] {
            _ = use_for(&request, settings);
            if let Some(terms) = terms(&request, &answer, now, settings) {
                assert!(!answer.headers.contains_key(SET_COOKIE));
                _ = terms.meta(&answer, Changes::new().writes());
            }
        }
        request
            .insert_header(AUTHORIZATION, "Bearer x")
            .expect("a header");
        assert_eq!(use_for(&request, &careful), CacheUse::Bypass);
        answer
            .insert_header("cache-control", "no-store, max-age=9")
            .expect("a header");
        answer.remove_header("cdn-cache-control");
        for settings in [&careful, &config::Cache::opened()] {
            assert_eq!(terms(&request, &answer, now, settings), None);
        }
    });
}
