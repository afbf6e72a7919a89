//! Answers the plainest requests from the cache in memory, before pingora sees them, at a fraction of the cost. All
//! other requests take the long way, and a request that could take both gets the same answer on both.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::{BufMut, BytesMut};
use http::{HeaderValue, Method};

use crate::cache::{Outcome, WholeAnswer};
use crate::message::plain::PlainRequest;
use crate::message::request_id::{REQUEST_ID, new_id};
use crate::message::target;
use crate::metrics::class;
use crate::request::access_log::{AccessLog, Entry};
use crate::request::exchange::Peer;
use crate::request::spans::{put_answer_line, scheme};
use crate::table::live::LiveTable;

/// Answers plain requests from the cache.
pub(crate) struct Shortcut {
    pub(crate) live: Arc<LiveTable>,
    pub(crate) access_log: Arc<AccessLog>,
}

impl Shortcut {
    /// The whole answer to a request, which is also counted and logged; `None` if the request must take another way.
    pub(crate) fn answer(&self, plain: &PlainRequest<'_>, client: Peer) -> Option<BytesMut> {
        if !plain.is_harmless {
            return None;
        }
        let began = Instant::now();
        let table = self.live.table();
        let compression = &table.config.compression;
        if table.rate.is_some() || compression.gzip > 0 || compression.brotli > 0 {
            return None;
        }
        let path = plain.path();
        let group = table.routes.find(plain.host, path)?;
        let cache = group.cache.filter(|_| self.live.may_use_caches())?;
        let kept = cache.find_whole(plain.host, plain.target, client.https)?;
        let now = SystemTime::now();
        let request_id = new_id();
        let mut answer = head(&kept, now, &request_id)?;

        // The request is over in a moment and can't fail, so it gets a trace only if it is in the sample.
        let tracing = &self.live.tracing;
        let mut root = tracing.quick_request("GET", began, &plain.origin, false);
        root.ask("GET", &Method::GET, scheme(client.https), "1.1");
        put_answer_line(&mut answer, tracing, root.ids());
        answer.put_slice(b"\r\n");
        answer.put_slice(&kept.body);
        if root.is_on() {
            root.about(group.name.clone());
            root.set("store.group", group.name.clone());
            root.set("store.cache", Outcome::Hit.label());
            root.answer(200);
        }

        group.budget.request(began);
        group.metrics.requests[class(200)].inc();
        root.measure(&group.metrics.duration, began.elapsed());
        cache.count(Outcome::Hit);
        let path = target::normal(path.as_bytes());
        self.live.metrics.answered_from_cache(&path);
        if self.access_log.enabled_for(200) {
            self.access_log.log(&Entry {
                time: now,
                request_id: request_id.to_str().unwrap_or("-"),
                trace: root.ids(),
                client: client.address,
                method: "GET",
                path: plain.target,
                host: Some(plain.host),
                http_version: "1.1",
                status: 200,
                bytes_sent: kept.body.len() as u64,
                duration: began.elapsed(),
                group: Some(&group.name),
                upstream: None,
                tries: 0,
                cache: Some(Outcome::Hit.label()),
                refused: None,
                user_agent: plain.user_agent,
            });
        }
        Some(answer)
    }
}

/// The head of a kept answer that is still fresh, without the empty line at its end. The buffer has room for the whole
/// answer. `None` if the answer is stale.
fn head(kept: &WholeAnswer, now: SystemTime, request_id: &HeaderValue) -> Option<BytesMut> {
    let ttl = kept.fresh_until.duration_since(now).ok()?.as_secs();
    let age = now.duration_since(kept.made).unwrap_or_default().as_secs();
    let mut head = BytesMut::with_capacity(kept.head.len() + kept.body.len() + 160);
    head.put_slice(&kept.head);
    let about = format!("Age: {age}\r\nCache-Status: store-proxy; hit; ttl={ttl}\r\n");
    head.put_slice(about.as_bytes());
    head.put_slice(REQUEST_ID.as_str().as_bytes());
    head.put_slice(b": ");
    head.put_slice(request_id.as_bytes());
    head.put_slice(b"\r\n");
    Some(head)
}
