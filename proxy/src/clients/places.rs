//! What each client address has open now, so that one client can't take all places.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use store_server::client_network;

/// Parts of the table. Each has its own lock, so that threads seldom wait for one another.
const SHARDS: usize = 16;

/// Counts connections and requests for each client.
#[derive(Default)]
pub(crate) struct Clients {
    shards: [Mutex<HashMap<IpAddr, [usize; KINDS]>>; SHARDS],
    hash: RandomState,
}

/// The kinds of places.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Connection,
    Request,
    /// A request whose body is still arriving: it uses no upstream yet.
    Arriving,
    /// A request with a place at an upstream, whose body is still arriving.
    Upload,
}

const KINDS: usize = 4;

/// One of a client's places. Dropping it gives the place back.
pub(crate) struct ClientPlace {
    clients: Arc<Clients>,
    client: IpAddr,
    kind: Kind,
}

impl Clients {
    /// Takes one of a client's `limit` places; `None` if all are taken.
    pub(crate) fn take(
        self: &Arc<Self>,
        client: IpAddr,
        kind: Kind,
        limit: usize,
    ) -> Option<ClientPlace> {
        let client = client_network(client);
        let mut shard = self.shard(client);
        let taken = &mut shard.entry(client).or_default()[kind as usize];
        // A refused client always has places taken, as the limit is at least one, so no empty entry stays in the table.
        if *taken >= limit {
            return None;
        }
        *taken += 1;
        Some(ClientPlace {
            clients: self.clone(),
            client,
            kind,
        })
    }

    fn shard(&self, client: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, [usize; KINDS]>> {
        let shard = self.hash.hash_one(client) as usize % SHARDS;
        self.shards[shard].lock()
    }
}

impl ClientPlace {
    pub(crate) fn is_arriving(&self) -> bool {
        matches!(self.kind, Kind::Arriving)
    }
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut shard = self.clients.shard(self.client);
        let Some(taken) = shard.get_mut(&self.client) else {
            return;
        };
        taken[self.kind as usize] -= 1;
        if *taken == [0; KINDS] {
            shard.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_each_clients_own_and_come_back() {
        let clients = Arc::new(Clients::default());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let take = |client, kind| clients.take(client, kind, 2);
        let first = take(one, Kind::Request).expect("free");
        let _second = take(one, Kind::Request).expect("free");
        assert!(take(one, Kind::Request).is_none());
        assert!(take(one, Kind::Connection).is_some());
        assert!(take(other, Kind::Request).is_some());
        drop(first);
        assert!(take(one, Kind::Request).is_some());
    }

    #[test]
    fn nobody_is_remembered_who_has_nothing_open() {
        let clients = Arc::new(Clients::default());
        for last in 0..=255 {
            let place = clients.take([192, 0, 2, last].into(), Kind::Connection, 1);
            assert!(place.is_some());
        }
        assert!(clients.shards.iter().all(|s| s.lock().is_empty()));
    }
}
