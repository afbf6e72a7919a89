//! The share of each client address: connections, requests in flight and bytes of bodies.
//!
//! Nothing here waits. A connection, a request or a body takes a place, and gives it back when it is dropped.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use http::HeaderMap;
use parking_lot::{Mutex, MutexGuard};
use store_server::{client_network, forwarded};

use crate::config::ClientSettings;
use crate::message::Problem;

/// The clients are divided into this many maps, so that simultaneous connections of different clients rarely wait for a
/// lock.
const SHARDS: usize = 16;

/// How many requests of a client may be receiving their bodies, for each request that it may have in flight.
const ARRIVING: u32 = 8;

/// A body of up to this many bytes is accepted even if other bodies of its client fill the client's share.
const SMALL_BYTES: u64 = 16 * 1024;

/// The number of client addresses with a request in flight. It counts for the whole process, because all requests share
/// one processor. [`Share`] changes it.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// The number of client addresses with a request in flight.
pub(crate) fn clients_at_work() -> usize {
    AT_WORK.load(Ordering::Relaxed)
}

/// All clients that hold something at the moment.
pub(crate) struct Clients {
    shards: [Mutex<HashMap<IpAddr, Arc<Counts>>>; SHARDS],
    hasher: RandomState,
    settings: ClientSettings,
    /// The bytes of the bodies of all clients. [`Charge`] changes it.
    body_bytes: AtomicU64,
}

/// What one client address holds. [`Client`], [`Share`] and [`Charge`] change it.
#[derive(Default)]
struct Counts {
    /// The number of [`Client`]s that refer to this. Changed under the lock of its shard.
    handles: AtomicUsize,
    connections: AtomicUsize,
    requests: AtomicUsize,
    arriving: AtomicUsize,
    body_bytes: AtomicU64,
}

/// A client address. It is looked up once for each connection, not for each request.
pub(crate) struct Client {
    clients: Arc<Clients>,
    address: IpAddr,
    counts: Arc<Counts>,
}

impl Clients {
    pub(crate) fn new(settings: ClientSettings) -> Arc<Self> {
        Arc::new(Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            settings,
            body_bytes: AtomicU64::new(0),
        })
    }

    /// The client at `address`.
    pub(crate) fn at(self: &Arc<Self>, address: IpAddr) -> Arc<Client> {
        let address = client_network(address);
        let counts = {
            let mut shard = self.shard(address);
            let counts = shard.entry(address).or_default();
            counts.handles.fetch_add(1, Ordering::Relaxed);
            counts.clone()
        };
        Arc::new(Client {
            clients: self.clone(),
            address,
            counts,
        })
    }

    /// Whether `peer` is a trusted proxy. The host believes its headers about clients, and does not count its
    /// connections.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.settings.trusted_proxies.contains(peer)
    }

    /// The client that a trusted proxy names in `headers`, if it names one.
    pub(crate) fn behind(self: &Arc<Self>, headers: &HeaderMap) -> Option<Arc<Client>> {
        forwarded::client(headers, |address| self.trusts(address)).map(|address| self.at(address))
    }

    fn shard(&self, address: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Arc<Counts>>> {
        let index = self.hasher.hash_one(address) as usize % SHARDS;
        self.shards[index].lock()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut shard = self.clients.shard(self.address);
        if self.counts.handles.fetch_sub(1, Ordering::Relaxed) == 1 {
            shard.remove(&self.address);
        }
    }
}

/// One connection or request of a client, until it is dropped.
pub(crate) struct Share {
    client: Arc<Client>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connection,
    Request,
    Arriving,
}

impl Kind {
    fn of(self, counts: &Counts) -> &AtomicUsize {
        match self {
            Self::Connection => &counts.connections,
            Self::Request => &counts.requests,
            Self::Arriving => &counts.arriving,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let before = self.kind.of(&self.client.counts);
        let before = before.fetch_sub(1, Ordering::Relaxed);
        if self.kind == Kind::Request && before == 1 {
            AT_WORK.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Share {
    pub(crate) fn address(&self) -> IpAddr {
        self.client.address
    }
}

impl Client {
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Takes a place for one more connection. `None` if the client has as many as it may.
    pub(crate) fn connect(self: &Arc<Self>) -> Option<Share> {
        let most = self.clients.settings.max_connections_per_client;
        self.take(Kind::Connection, most)
    }

    /// Takes a place for one more request in flight. `None` if the client has as many as it may.
    pub(crate) fn request(self: &Arc<Self>) -> Option<Share> {
        let most = self.clients.settings.max_requests_per_client;
        self.take(Kind::Request, most)
    }

    /// Takes a place for one more request that is receiving its body. Such a request only holds memory, and complete
    /// requests do not wait for it.
    pub(crate) fn arriving(self: &Arc<Self>) -> Option<Share> {
        let most = self.clients.settings.max_requests_per_client;
        self.take(Kind::Arriving, most.saturating_mul(ARRIVING))
    }

    fn take(self: &Arc<Self>, kind: Kind, most: u32) -> Option<Share> {
        let before = kind.of(&self.counts).fetch_add(1, Ordering::Relaxed);
        if kind == Kind::Request && before == 0 {
            AT_WORK.fetch_add(1, Ordering::Relaxed);
        }
        // If that was one too many, dropping the share counts it back.
        let share = Share {
            client: self.clone(),
            kind,
        };
        (before < most as usize).then_some(share)
    }

    /// Begins to count the bytes of one body.
    pub(crate) fn charge(self: &Arc<Self>) -> Charge {
        Charge {
            client: self.clone(),
            bytes: 0,
        }
    }
}

/// The bytes of a body that waits for a component. They count until this is dropped.
pub(crate) struct Charge {
    client: Arc<Client>,
    bytes: u64,
}

impl Charge {
    /// Counts `bytes` more.
    ///
    /// # Errors
    /// More bytes of this client wait than may, or of all clients together.
    pub(crate) fn add(&mut self, bytes: u64) -> Result<(), Problem> {
        self.bytes += bytes;
        let Client {
            clients, counts, ..
        } = &*self.client;
        let settings = &clients.settings;
        let own = counts.body_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let all = clients.body_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // Small bodies get some extra room, for users who share an address with a sender of large bodies.
        let share = settings.body_bytes_per_client();
        let is_small = self.bytes <= SMALL_BYTES;
        if own > share && !(is_small && own <= share + share / 8) {
            Err(Problem::ClientBodies)
        } else if all > settings.body_bytes() && !(is_small && own <= share / 64) {
            Err(Problem::AllBodies)
        } else {
            Ok(())
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let Client {
            clients, counts, ..
        } = &*self.client;
        counts.body_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        clients.body_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Arc<Clients> {
        Clients::new(ClientSettings {
            max_connections_per_client: 2,
            max_requests_per_client: 1,
            max_body_mib_per_client: 1,
            max_body_mib: 2,
            ..ClientSettings::default()
        })
    }

    fn at(clients: &Arc<Clients>, address: &str) -> Arc<Client> {
        clients.at(address.parse().expect("an address"))
    }

    #[test]
    fn a_client_has_its_share_and_leaves_others_theirs() {
        let clients = clients();
        let one = at(&clients, "203.0.113.1");
        let first = one.connect().expect("the first");
        let mapped = at(&clients, "::ffff:203.0.113.1");
        let _second = mapped.connect().expect("the second");
        assert!(one.connect().is_none(), "a third");
        assert!(at(&clients, "203.0.113.2").connect().is_some());
        drop(first);
        assert!(one.connect().is_some(), "one was given back");
    }

    #[test]
    fn one_network_is_one_client() {
        let clients = clients();
        let _held = at(&clients, "2001:db8::1").request().expect("the first");
        assert!(at(&clients, "2001:db8::2").request().is_none());
        assert!(at(&clients, "2001:db8:0:1::1").request().is_some());
    }

    #[test]
    fn bodies_count_until_they_are_gone() {
        const MIB: u64 = 1024 * 1024;
        let clients = clients();
        let one = at(&clients, "203.0.113.1");
        let mut body = one.charge();
        assert_eq!(body.add(MIB), Ok(()));
        assert_eq!(one.charge().add(SMALL_BYTES), Ok(()), "a small one");
        assert_eq!(
            one.charge().add(SMALL_BYTES + 1),
            Err(Problem::ClientBodies)
        );
        let mut second = at(&clients, "203.0.113.2").charge();
        assert_eq!(second.add(MIB), Ok(()));
        let mut third = at(&clients, "203.0.113.3").charge();
        assert_eq!(third.add(1), Ok(()), "of one who has little");
        assert_eq!(third.add(SMALL_BYTES), Err(Problem::AllBodies));
        drop(body);
        assert_eq!(third.add(1), Ok(()));
    }

    #[test]
    fn a_client_without_anything_is_forgotten() {
        let clients = clients();
        let client = at(&clients, "203.0.113.1");
        drop(client.request());
        assert_eq!(clients.shard(client.address()).len(), 1);
        let address = client.address();
        drop(client);
        assert!(clients.shard(address).is_empty());
    }
}
