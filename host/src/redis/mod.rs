//! `spin:redis`: what is linked once (here), what lives per component ([`Terms`]), per generation ([`Connections`]) and
//! per instance ([`Connection`]).
//!
//! `host` has the calls that components make, and `commands` says which they may. A `link` carries them over one connection,
//! on which replies are `capped`, and ends `scripts` that run too long. Their `values` are converted, and some are kept
//! `near`. Nothing here knows a key of the store: what keys mean is for components.

mod capped;
mod commands;
#[cfg(test)]
mod fuzz;
mod host;
mod link;
mod near;
mod scripts;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::IntCounter;
use redis::{RedisError, RedisResult};
use wasmtime::component::{HasSelf, Linker};

pub(crate) use self::link::{Link, LinkSettings};
use crate::clients::Asker;
use crate::instance::State;
use crate::instance::bindings::spin::redis::redis as wit;
use crate::metrics::NearMetrics;
use crate::outbound::Backend;

/// Gives components `spin:redis`.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// Most addresses that one generation may have connections to.
const MOST_LINKS: usize = 8;

/// On what terms a component uses Redis.
pub(crate) struct Terms {
    pub(crate) settings: LinkSettings,
    /// What the keys begin with whose values are kept near.
    pub(crate) near_prefixes: Vec<String>,
    pub(crate) near_metrics: NearMetrics,
    /// Scripts that were ended because they ran too long.
    pub(crate) scripts_ended: IntCounter,
}

impl Terms {
    /// Whether the component asks for any value to be kept near.
    pub(crate) fn keeps_any_near(&self) -> bool {
        !self.near_prefixes.is_empty()
    }

    /// Whether the component asks for values of `key` to be kept near.
    fn keeps_near(&self, key: &[u8]) -> bool {
        let mut prefixes = self.near_prefixes.iter();
        prefixes.any(|prefix| key.starts_with(prefix.as_bytes()))
    }
}

/// The connections of one generation, by address: one each, which carries the commands of all requests at once. They end
/// with the generation, and so does whatever a command of it still waits for.
#[derive(Default)]
pub(crate) struct Connections(Mutex<ByUrl>);

/// Written by whoever opens a connection.
#[derive(Default)]
struct ByUrl {
    links: HashMap<String, Entry>,
    /// How often any was asked for.
    asked: u64,
}

struct Entry {
    link: Arc<Link>,
    /// When it was asked for last, by that count.
    asked: u64,
}

/// What a component holds: a handle on the one connection to an address, and for whom it was opened.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection {
    link: Arc<Link>,
    asker: Asker,
}

impl Connections {
    /// The connection to `url`, if there is one.
    fn known(&self, url: &str) -> Option<Arc<Link>> {
        self.0.lock().known(url)
    }

    /// A connection to `url`, which is `backend`, in the place of the one that was not used for the longest time if there
    /// are as many as there may be. `None` if all of those are held. It connects when the first command is sent, so a
    /// server that is down shows there.
    fn make(&self, terms: &Terms, url: &str, backend: &Backend) -> RedisResult<Option<Arc<Link>>> {
        let near = terms.keeps_any_near().then(Arc::default);
        let link = Arc::new(Link::new(
            backend,
            terms.settings.clone(),
            near,
            terms.scripts_ended.clone(),
        )?);
        let mut by_url = self.0.lock();
        if let Some(link) = by_url.known(url) {
            return Ok(Some(link));
        }
        if by_url.links.len() >= MOST_LINKS && by_url.forget_one().is_none() {
            return Ok(None);
        }
        let entry = Entry {
            link: link.clone(),
            asked: by_url.asked,
        };
        by_url.links.insert(url.to_owned(), entry);
        Ok(Some(link))
    }
}

impl ByUrl {
    fn known(&mut self, url: &str) -> Option<Arc<Link>> {
        self.asked += 1;
        let entry = self.links.get_mut(url)?;
        entry.asked = self.asked;
        Some(entry.link.clone())
    }

    /// Closes the connection that was asked for the longest time ago, of those that nobody holds.
    fn forget_one(&mut self) -> Option<()> {
        let links = self.links.iter();
        let unused = links.filter(|(_, entry)| Arc::strong_count(&entry.link) == 1);
        let (url, _) = unused.min_by_key(|(_, entry)| entry.asked)?;
        let url = url.clone();
        self.links.remove(&url);
        Some(())
    }
}

/// Whether Redis can't be reached, rather than refusing what it was asked.
pub(crate) fn is_outage(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}
