//! Settings of the console: what it shows besides this proxy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store_server::console::{Member, MemberUrl};

/// Settings of the console.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Other programs of the fleet: their names on the page, and the URLs of their admin listeners.
    pub peers: BTreeMap<String, MemberUrl>,
    /// The port of the admin listeners of all hosts that are upstreams; without it, only `peers` are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_admin_port: Option<u16>,
}

impl Console {
    /// The peers. Their names were checked when the file was read.
    pub fn members(&self) -> Vec<Member> {
        let peers = self.peers.iter();
        peers
            .filter_map(|(name, url)| Member::new(name, url.clone()).ok())
            .collect()
    }
}
