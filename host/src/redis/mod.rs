//! `spin:redis`: what is linked once (here), what lives per component ([`Terms`]), per generation ([`Connections`]) and
//! per instance ([`Connection`]).
//!
//! `host` has the calls that components make, and `commands` says which commands they may send. A `link`, by its `settings`,
//! carries them over one connection, on which the size of replies is `capped`; `scripts` ends scripts that run too long. It
//! leads to a `target`, which may be whichever server `sentinel` finds, and `dial` opens the stream that it goes over.
//! `links` are one such link, or one to each primary of a `cluster`; how Sentinels and nodes outvote one that is cut off is
//! in `votes`. `values` converts replies, and `near` keeps some. Nothing here knows a key of the store: what keys mean is for components.

mod capped;
mod cluster;
mod commands;
mod dial;
#[cfg(test)]
mod fuzz;
mod host;
mod link;
mod links;
mod near;
mod scripts;
mod sentinel;
mod settings;
mod target;
mod values;
mod votes;

use std::sync::Arc;

use redis::RedisError;
use store_server::trace::WeakTrace;
use wasmtime::component::{HasSelf, Linker};

pub(crate) use self::cluster::{has_hash_tag, is_no_cluster};
pub(crate) use self::links::Links;
pub(crate) use self::sentinel::is_unknown;
pub(crate) use self::settings::LinkSettings;
use crate::clients::Asker;
use crate::instance::State;
use crate::instance::bindings::spin::redis::redis as wit;
use crate::metrics::NearMetrics;
use crate::outbound::{Backend, ByAddress};

/// Gives components `spin:redis`.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::add_to_linker::<State, HasSelf<State>>(linker, |state| state)
}

/// The terms on which a component uses Redis.
pub(crate) struct Terms {
    pub(crate) settings: LinkSettings,
    /// Values of keys that begin with one of these are kept near.
    pub(crate) near_prefixes: Vec<String>,
    pub(crate) near_metrics: NearMetrics,
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
pub(crate) struct Connections(ByAddress<Links>);

/// A component's handle on the one connection to an address. Requests may share it, so what is known here of the one that
/// opened it counts only for commands of which nobody knows for whom they are sent.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection {
    link: Arc<Links>,
    /// The client of whoever opened it.
    client: Asker,
    /// Where the trace of whoever opened it is. Weak, since the connection may outlive the request by far.
    trace: WeakTrace,
}

impl Connections {
    /// The connection to `url`, if there is one.
    fn get(&self, url: &str) -> Option<Arc<Links>> {
        self.0.get(url)
    }

    /// The connection to `url`, which is `backend`. `None` if the generation uses as many others as it may. It connects
    /// when the first command is sent, so a server that is down shows there.
    ///
    /// # Errors
    /// As [`Links::new`].
    fn get_or_make(
        &self,
        terms: &Terms,
        url: &str,
        backend: &Backend,
    ) -> Result<Option<Arc<Links>>, String> {
        let near = terms.keeps_any_near().then(Arc::default);
        let link = Arc::new(Links::new(backend, terms.settings.clone(), near)?);
        Ok(self.0.get_or_open(url, || link, |_| true))
    }
}

/// Whether Redis can't be reached, rather than refusing what it was asked.
pub(crate) fn is_outage(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}
