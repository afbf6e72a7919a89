//! The links to the primaries of a Redis Cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::RedisConnectionInfo;
use rustls::ClientConfig;

use super::slots::Slots;
use crate::clients::Permits;
use crate::config::HostPort;
use crate::redis::limits::LinkLimits;
use crate::redis::link::Link;
use crate::redis::near::NearCache;
use crate::redis::votes::STANDS;

/// The links, and what is needed to make one.
pub(super) struct Primaries {
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) info: RedisConnectionInfo,
    pub(super) limits: LinkLimits,
    /// One cache for all primaries: it forgets a value that changes at any of them.
    pub(super) near: Option<Arc<NearCache>>,
    /// The links share their permits. Otherwise a component could have as many replies on their way, of the largest
    /// size each, as for one server, times the number of primaries. The price: commands that wait for a silent primary
    /// take permits from those for the others.
    pub(super) commands: Arc<Permits>,
    /// The links, by server. The first command for a server makes its link. Links to servers that hold no slots are
    /// removed by the task that asks the nodes.
    pub(super) links: Mutex<HashMap<HostPort, PrimaryLink>>,
}

pub(super) struct PrimaryLink {
    link: Arc<Link>,
    /// When a server last named this one as the holder of a slot.
    named_at: Option<Instant>,
}

impl Primaries {
    /// The link to a server that the nodes say holds slots.
    pub(super) fn link_to(&self, server: &HostPort) -> Arc<Link> {
        self.link(server, None)
    }

    /// The link to a server that another one named as the holder of a slot. It stays for [`STANDS`] at least, until the
    /// nodes say the same.
    pub(super) fn link_to_named(&self, server: &HostPort) -> Arc<Link> {
        self.link(server, Some(Instant::now()))
    }

    fn link(&self, server: &HostPort, named_at: Option<Instant>) -> Arc<Link> {
        let mut links = self.links.lock();
        let entry = links.entry(server.clone()).or_insert_with(|| PrimaryLink {
            link: Arc::new(self.make(server)),
            named_at,
        });
        entry.named_at = named_at.or(entry.named_at);
        entry.link.clone()
    }

    fn make(&self, server: &HostPort) -> Link {
        let link = Link::over(
            self.tls.clone(),
            server.clone(),
            self.info.clone(),
            self.limits.clone(),
            self.near.clone(),
        );
        link.sharing(self.commands.clone())
    }

    /// Ends the links to servers that hold none of these slots. Returns whether there were any.
    pub(super) fn keep_those_of(&self, slots: &Slots) -> bool {
        let mut links = self.links.lock();
        let before = links.len();
        links.retain(|server, entry| {
            let is_named = entry.named_at.is_some_and(|at| at.elapsed() < STANDS);
            let stays = is_named || slots.has(server);
            if !stays {
                entry.link.end();
            }
            stays
        });
        links.len() < before
    }

    pub(super) fn forget_near(&self) {
        if let Some(near) = &self.near {
            near.forget_all();
        }
    }

    pub(super) fn response_timeout(&self) -> Duration {
        self.limits.response_timeout
    }
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;
    use crate::redis::link;

    fn primaries() -> Primaries {
        Primaries {
            tls: None,
            info: RedisConnectionInfo::default(),
            limits: LinkLimits::plain(),
            near: None,
            commands: link::permits(),
            links: Mutex::default(),
        }
    }

    /// All slots are on the server `a`.
    fn slots() -> Slots {
        let node = HostPort::new("a", 1);
        let info = Value::BulkString(b"cluster_state:ok\r\n".to_vec());
        let primary = Value::Array(vec![Value::Nil, Value::Int(1)]);
        let range = Value::Array(vec![Value::Int(0), Value::Int(16_383), primary]);
        let read = Slots::read(&node, info, Value::Array(vec![range]));
        read.expect("it is text").expect("it is up")
    }

    #[test]
    fn links_to_servers_without_slots_are_gone_after_the_next_adoption() {
        let primaries = primaries();
        let [right, left, named] = ["a", "b", "c"].map(|host| HostPort::new(host, 1));
        let stays = primaries.link_to(&right);
        let ends = primaries.link_to(&left);
        let hinted = primaries.link_to_named(&named);
        assert!(primaries.keep_those_of(&slots()));
        let is_there = |server: &HostPort| primaries.links.lock().contains_key(server);
        assert!(is_there(&right) && !is_there(&left) && is_there(&named));
        assert!(ends.has_ended() && !stays.has_ended() && !hinted.has_ended());

        let long_ago = Instant::now().checked_sub(STANDS);
        if let Some(entry) = primaries.links.lock().get_mut(&named) {
            entry.named_at = Some(long_ago.expect("the clock is older"));
        }
        assert!(primaries.keep_those_of(&slots()));
        assert!(is_there(&right) && !is_there(&named));
        assert!(hinted.has_ended());
        assert!(!primaries.keep_those_of(&slots()), "there is none to end");
        assert!(!primaries.link_to(&left).has_ended(), "it is a new one");
    }
}
