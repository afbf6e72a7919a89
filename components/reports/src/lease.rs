//! The right to refresh: one instance has it at a time, and loses it by itself if it dies.

use std::time::Duration;

use spin_sdk::wasip3::random::random::get_random_u64;
use store_domain::cache::{LEASE, LEASE_LIFETIME, RELEASE_LEASE, RENEW_LEASE};
use store_guest::redis::Argument::{Number, Text};
use store_guest::redis::{Redis, RedisError};

use crate::refresh::RefreshError;

/// A lease that this request holds.
pub(crate) struct Lease<'a> {
    redis: &'a Redis,
    /// Ours alone, so that we never renew or end a lease that has passed to another.
    token: String,
}

impl<'a> Lease<'a> {
    /// Takes the lease, unless another holds it.
    ///
    /// # Errors
    /// If Redis is down.
    pub(crate) async fn take(redis: &'a Redis) -> Result<Option<Self>, RedisError> {
        let token = format!("{:016x}{:016x}", get_random_u64(), get_random_u64());
        let taken = redis.set_new_for(LEASE, &token, LEASE_LIFETIME).await?;
        Ok(taken.then_some(Self { redis, token }))
    }

    /// Keeps the lease for its whole lifetime from now on.
    ///
    /// # Errors
    /// [`RefreshError::LeaseLost`] if it ran out and another may have it: then this one must stop.
    pub(crate) async fn renew(&self) -> Result<(), RefreshError> {
        let lifetime_ms = i64::try_from(LEASE_LIFETIME.as_millis()).unwrap_or(i64::MAX);
        let arguments = [Text(&self.token), Number(lifetime_ms)];
        match self.redis.run(RENEW_LEASE, LEASE, &arguments).await? {
            0 => Err(RefreshError::LeaseLost),
            _ => Ok(()),
        }
    }

    /// Ends the lease. If that fails it runs out by itself.
    pub(crate) async fn release(self) {
        let ended = self
            .redis
            .run(RELEASE_LEASE, LEASE, &[Text(&self.token)])
            .await;
        if let Err(error) = ended {
            store_guest::log(format_args!("lease not released, it will run out: {error}"));
        }
    }

    /// How long another's lease lasts, if nobody renews it.
    ///
    /// # Errors
    /// If Redis is down.
    pub(crate) async fn left(redis: &Redis) -> Result<Duration, RedisError> {
        Ok(redis.lifetime(LEASE).await?.unwrap_or_default())
    }
}
