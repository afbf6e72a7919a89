//! Limits the requests of each client address by a token bucket.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use store_server::client_network;

use crate::config;

/// A token bucket per client address.
pub(crate) struct ClientRate {
    buckets: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
}

impl ClientRate {
    /// Buckets with these settings; `None` if the rate can't be expressed.
    pub(crate) fn new(settings: &config::Rate) -> Option<Self> {
        let quota = Quota::with_period(Duration::from_secs_f64(1.0 / settings.per_second))?
            .allow_burst(NonZeroU32::new(settings.burst)?);
        Some(Self {
            buckets: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
        })
    }

    /// Takes a token of the client.
    ///
    /// # Errors
    /// How long it takes until the client has a token again.
    pub(crate) fn take(&self, client: IpAddr) -> Result<(), Duration> {
        self.buckets
            .check_key(&client_network(client))
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets clients whose buckets are full again.
    pub(crate) fn forget_idle(&self) {
        self.buckets.retain_recent();
        self.buckets.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_per_client() {
        let settings = config::Rate {
            per_second: 0.01,
            burst: 3,
        };
        let rate = ClientRate::new(&settings).expect("a rate");
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        assert!((0..3).all(|_| rate.take(one).is_ok()));
        let wait = rate.take(one).expect_err("empty");
        assert!(wait > Duration::from_secs(90), "{wait:?}");
        assert!(rate.take(other).is_ok());
    }
}
