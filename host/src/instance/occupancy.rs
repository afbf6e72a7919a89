//! The clients whose requests one instance answers at the same time.

use crate::clients::Asker;

/// The clients of the requests that an instance is answering.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    requests: usize,
    /// The client of all these requests; `None` if they come from several clients.
    client: Asker,
}

impl Occupancy {
    /// Records that the instance takes a request.
    pub(super) fn take(&mut self, client: Asker) {
        if self.requests == 0 {
            self.client = client;
        } else if self.client != client {
            self.client = None;
        }
        self.requests += 1;
    }

    /// Records that the instance has answered a request. Its guest may still work for that client.
    pub(super) fn answered(&mut self) {
        self.requests -= 1;
    }

    /// Whether the instance may take a request of `asker`. It may not if it has requests of another client and one of
    /// the two clients computes for long, as `computes` says: the other client would have to wait without a turn of its
    /// own.
    pub(super) fn may_have(&self, asker: Asker, computes: impl Fn(Asker) -> bool) -> bool {
        let is_alone = self.requests == 0 || (self.client == asker && asker.is_some());
        is_alone || !(computes(asker) || computes(self.client))
    }

    /// The only client that the instance works for; `None` if there are several or that client is unknown.
    pub(super) fn client(&self) -> Asker {
        self.client
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn client(number: u8) -> Asker {
        Some(IpAddr::from([203, 0, 113, number]))
    }

    #[test]
    fn who_computes_for_long_has_instances_of_its_own() {
        let computes = |asker| asker == client(9);
        let mut occupancy = Occupancy::default();
        assert!(occupancy.may_have(client(9), computes));
        occupancy.take(client(1));
        assert!(occupancy.may_have(client(1), computes) && occupancy.may_have(client(2), computes));
        assert!(!occupancy.may_have(client(9), computes));
        occupancy.take(client(2));
        assert!(!occupancy.may_have(client(9), computes));
        let mut occupancy = Occupancy::default();
        occupancy.take(client(9));
        assert!(occupancy.may_have(client(9), computes));
        assert!(!occupancy.may_have(client(1), computes) && !occupancy.may_have(None, computes));
        occupancy.answered();
        assert!(occupancy.may_have(client(1), computes));
    }

    #[test]
    fn who_works_for_several_works_for_none() {
        let mut occupancy = Occupancy::default();
        occupancy.take(client(1));
        occupancy.take(client(1));
        assert_eq!(occupancy.client(), client(1));
        occupancy.take(client(2));
        assert_eq!(occupancy.client(), None);
        for _ in 0..3 {
            occupancy.answered();
        }
        occupancy.take(client(2));
        occupancy.answered();
        assert_eq!(occupancy.client(), client(2), "its answer is on its way");
    }
}
