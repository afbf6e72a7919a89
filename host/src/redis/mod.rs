//! `spin:redis`: what is linked once (`host`), what lives per component ([`Terms`]), per generation ([`Connections`])
//! and per instance ([`Connection`]).
//!
//! `host` has the functions that components call, and `commands` says which commands they may send. A `link` carries
//! the commands over one connection, within its `limits`, and `errors` tells its failures apart. The size of its
//! replies is `capped`, and `scripts` ends scripts that run too long. A link leads to a `link_target`: a certain
//! server, or the `target` of a component, which may be the server that `sentinel` finds, by what each
//! `sentinel_reply` says; `dial` opens its stream. A link may be opened again, to another server: `pins` see to it that
//! two do not answer one handle. `links` are one such link, or one to each primary of a `cluster`, as the `settings`
//! say. `votes` decides between the answers of several Sentinels or nodes, so that one that is cut off is outvoted.
//! `values` converts replies, and `near` keeps some values in memory. Nothing here knows a key of the store: what keys
//! mean is for components.

mod capped;
mod cluster;
mod commands;
mod dial;
mod errors;
#[cfg(test)]
mod fuzz;
mod host;
mod limits;
mod link;
mod link_target;
mod links;
mod near;
mod pins;
mod scripts;
mod sentinel;
mod sentinel_reply;
mod settings;
mod target;
mod values;
mod votes;

use std::sync::Arc;

use store_server::trace::WeakTrace;

pub(crate) use self::cluster::{has_hash_tag, is_no_cluster};
pub(crate) use self::errors::is_refusal;
pub(crate) use self::host::add_to_linker;
pub(crate) use self::links::Links;
use self::pins::Pins;
pub(crate) use self::sentinel::{is_refused_by_sentinels, is_unknown, lacks_tls_to_sentinels};
pub(crate) use self::settings::LinkSettings;
use crate::clients::Asker;
use crate::metrics::NearMetrics;
use crate::outbound::{Backend, ByAddress};

/// The terms on which a component uses Redis.
pub(crate) struct Terms {
    pub(crate) settings: LinkSettings,
    /// Values of keys with one of these prefixes are kept near.
    pub(crate) near_prefixes: Vec<String>,
    pub(crate) near_metrics: NearMetrics,
}

impl Terms {
    /// Whether the component wants any value to be kept near.
    pub(crate) fn keeps_any_near(&self) -> bool {
        !self.near_prefixes.is_empty()
    }

    /// Whether the component wants the value of `key` to be kept near.
    fn keeps_near(&self, key: &[u8]) -> bool {
        let mut prefixes = self.near_prefixes.iter();
        prefixes.any(|prefix| key.starts_with(prefix.as_bytes()))
    }
}

/// The connections of one generation, one for each address, which carries the commands of all requests. They end with
/// the generation, and so do commands that still wait on them.
#[derive(Default)]
pub(crate) struct Connections(ByAddress<Links>);

/// A component's handle on the one connection to an address. Several requests may share it. So the client and trace
/// that are stored here are used only for commands that can't be attributed to a request. Once a connection to a server
/// has answered it, it ends with that connection, as under Spin: what has to be sent to a server fails from then on.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct Connection {
    link: Arc<Links>,
    pins: Arc<Pins>,
    /// The client of the request that opened the handle.
    client: Asker,
    /// The trace of the request that opened the handle. It is weak, since the handle may live much longer than the
    /// request.
    trace: WeakTrace,
}

impl Connections {
    /// The connection to `url`, if there is one.
    fn get(&self, url: &str) -> Option<Arc<Links>> {
        self.0.get(url)
    }

    /// The connection to `url`, whose parsed form is `backend`. `None` if the generation uses as many other addresses
    /// as it may. The link connects when the first command is sent, so an unreachable server causes an error only then.
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
