//! Decides which answers may be kept, and on which terms (RFC 9111, RFC 9213, RFC 5861).

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{AUTHORIZATION, CONNECTION, ETAG, LAST_MODIFIED, SET_COOKIE};
use pingora_cache::CacheMeta;
use pingora_cache::cache_control::{CacheControl, DirectiveKey};
use pingora_error::Result;
use pingora_http::{RequestHeader, ResponseHeader};

use super::changes::WriteCount;
use super::directives::Directives;
use super::key;
use super::lifetime::{age, freshness};
use crate::config;
use crate::message::request_id::REQUEST_ID;
use crate::message::{hop, plain};

/// Statuses whose meaning for caches this code knows (RFC 9111, section 5.2.2.3).
const UNDERSTOOD: [u16; 14] = [
    200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501,
];

/// How long an answer may be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// When the answer was made, by its own headers.
    made: SystemTime,
    fresh_until: SystemTime,
    /// Seconds after `fresh_until` in which the answer may be used while another is fetched.
    stale_while_revalidate: u32,
    /// Seconds after `fresh_until` in which the answer may be used while no other can be had.
    stale_if_error: u32,
}

/// The terms on which an answer to this request, asked for at `asked`, may be kept; `None` if it may not be kept.
pub(super) fn terms(
    request: &RequestHeader,
    answer: &ResponseHeader,
    asked: SystemTime,
    settings: &config::Cache,
) -> Option<Terms> {
    let headers = &answer.headers;
    let control = Directives::of(headers);
    if !may_keep(request, answer, &control, settings) {
        return None;
    }
    // The age counts from when the answer was asked for, as the server may have made it right then (RFC 9111, section
    // 4.2.3).
    let made = asked.checked_sub(age(headers))?;
    let validated =
        settings.revalidate && (headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED));
    if control.has(&DirectiveKey::NoCache) {
        return validated.then(|| Terms::never_fresh(made));
    }
    let fresh = freshness(answer.status, headers, &control, asked, settings)?;
    let may_be_stale = ![
        DirectiveKey::SMaxAge,
        DirectiveKey::MustRevalidate,
        DirectiveKey::ProxyRevalidate,
    ]
    .iter()
    .any(|key| control.has(key));
    let stale = |seconds: Option<Result<Option<u32>>>| match seconds {
        Some(Ok(Some(seconds))) if may_be_stale => seconds,
        _ => 0,
    };
    let directives = control.cache_control();
    let terms = Terms {
        made,
        fresh_until: made + fresh,
        stale_while_revalidate: stale(directives.map(CacheControl::stale_while_revalidate)),
        stale_if_error: stale(directives.map(CacheControl::stale_if_error)),
    };
    (terms.used_until() > SystemTime::now() || validated).then_some(terms)
}

/// Whether a shared cache may keep the answer at all (RFC 9111, section 3).
fn may_keep(
    request: &RequestHeader,
    answer: &ResponseHeader,
    control: &Directives,
    settings: &config::Cache,
) -> bool {
    let headers = &answer.headers;
    let for_all = !request.headers.contains_key(AUTHORIZATION)
        || [
            DirectiveKey::Public,
            DirectiveKey::SMaxAge,
            DirectiveKey::MustRevalidate,
        ]
        .iter()
        .any(|key| control.has(key));
    let understood = UNDERSTOOD.contains(&answer.status.as_u16());
    // `Vary: *`, or a name that can't be read, means that no other request matches. A header that the proxy changes on
    // its way to the server is no basis for comparing clients' requests.
    let is_for_some = key::varied(headers)
        .any(|name| name.is_none_or(|name| name == "*" || !plain::goes_on(name.as_str())));
    keeps_status(answer.status, settings)
        && for_all
        && !headers.contains_key(SET_COOKIE)
        && !is_for_some
        && !control.has(&DirectiveKey::NoStore)
        && !control.has(&DirectiveKey::Private)
        && (understood || !control.has(&DirectiveKey::MustUnderstand))
}

/// Whether answers of this status are kept. Parts of answers, and answers that depend on what one client already has,
/// are of no use to other clients.
fn keeps_status(status: StatusCode, settings: &config::Cache) -> bool {
    let only_here = [
        StatusCode::PARTIAL_CONTENT,
        StatusCode::NOT_MODIFIED,
        StatusCode::PRECONDITION_FAILED,
        StatusCode::RANGE_NOT_SATISFIABLE,
    ];
    let other = settings.other_statuses && !status.is_informational();
    status == StatusCode::OK || (other && !only_here.contains(&status))
}

impl Terms {
    /// Terms of an answer that is confirmed by its server before each use.
    fn never_fresh(made: SystemTime) -> Self {
        Self {
            made,
            // One second in the past, so that the answer is stale from the moment it is kept.
            fresh_until: made.checked_sub(Duration::from_secs(1)).unwrap_or(made),
            stale_while_revalidate: 0,
            stale_if_error: 0,
        }
    }

    fn used_until(&self) -> SystemTime {
        let stale = self.stale_while_revalidate.max(self.stale_if_error);
        self.fresh_until + Duration::from_secs(stale.into())
    }

    /// The metadata that is kept with the body.
    pub(super) fn meta(&self, answer: &ResponseHeader, writes: WriteCount) -> CacheMeta {
        let mut head = answer.clone();
        hop::end_hop(&mut head);
        head.remove_header(&CONNECTION);
        head.remove_header(&REQUEST_ID);
        let mut meta = CacheMeta::new(
            self.fresh_until,
            SystemTime::now(),
            self.stale_while_revalidate,
            self.stale_if_error,
            head,
        );
        meta.set_epoch_override(self.made);
        meta.extensions_mut().insert(writes);
        meta
    }
}

#[cfg(test)]
mod tests;
