//! The clients whose requests one instance answers at the same time.

use crate::clients::Asker;

/// Whose requests an instance answers now.
#[derive(Debug, Default)]
pub(super) struct Occupancy {
    requests: usize,
    /// The client of all of them, or none if they are of several.
    client: Asker,
}

impl Occupancy {
    /// It takes a request.
    pub(super) fn take(&mut self, client: Asker) {
        if self.requests == 0 {
            self.client = client;
        } else if self.client != client {
            self.client = None;
        }
        self.requests += 1;
    }

    /// It has answered one. It may still have something to do for its client.
    pub(super) fn answered(&mut self) {
        self.requests -= 1;
    }

    /// Whether the instance may take a request of `asker`. If it has requests of another client, and one of the two
    /// computes for long, as `computes` says, it may not: the other would have to wait for that, without a turn of its
    /// own.
    pub(super) fn may_have(&self, asker: Asker, computes: impl Fn(Asker) -> bool) -> bool {
        let is_alone = self.requests == 0 || (self.client == asker && asker.is_some());
        is_alone || !(computes(asker) || computes(self.client))
    }

    /// For whom it computes, as far as is known.
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
