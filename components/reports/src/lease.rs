//! The lease of the refresh: one instance holds it at a time, and it expires if that instance dies.

use std::time::Duration;

use spin_sdk::wasip3::random::random::get_random_u64;
use store_domain::cache::{
    LEASE, LEASE_LIFETIME, PUT_REPORT, RELEASE_LEASE, RENEW_LEASE, TAKE_LEASE, number_key,
    report_key,
};
use store_domain::reports::Report;
use store_guest::redis::Argument::{Number, Text};
use store_guest::redis::{Redis, RedisError, milliseconds};

use crate::refresh::RefreshError;

/// A lease that this request holds.
pub(crate) struct Lease<'a> {
    redis: &'a Redis,
    /// A random token, so that this holder never renews or ends a lease that has passed to another.
    token: String,
    /// Greater than the number of every earlier holder. Redis refuses a report from a holder whose lease has passed to
    /// another.
    number: i64,
}

/// The result of storing a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    /// The body differs from the one before.
    Replaced,
    /// The body was correct already; only its lifetime was extended.
    Same,
}

impl<'a> Lease<'a> {
    /// Takes the lease. `None` if another holds it.
    ///
    /// # Errors
    /// If Redis is down.
    pub(crate) async fn take(redis: &'a Redis) -> Result<Option<Self>, RedisError> {
        let token = format!("{:016x}{:016x}", get_random_u64(), get_random_u64());
        let arguments = [Text(&token), milliseconds(LEASE_LIFETIME)];
        let keys = [LEASE, &number_key(LEASE)];
        let number = redis.run_on_two(TAKE_LEASE, keys, &arguments).await?;
        Ok((number > 0).then_some(Self {
            redis,
            token,
            number,
        }))
    }

    /// Stores a report, unless a later holder did.
    ///
    /// # Errors
    /// [`RefreshError::LeaseLost`] if a later holder has stored the report; an error if Redis is down.
    pub(crate) async fn put(
        &self,
        report: Report,
        body: &str,
        lifetime: Duration,
    ) -> Result<PutOutcome, RefreshError> {
        let key = report_key(report);
        let arguments = [Number(self.number), Text(body), milliseconds(lifetime)];
        let keys = [key, &number_key(key)];
        match self.redis.run_on_two(PUT_REPORT, keys, &arguments).await? {
            1 => Ok(PutOutcome::Replaced),
            0 => Ok(PutOutcome::Same),
            _ => Err(RefreshError::LeaseLost),
        }
    }

    /// Extends the lease to its whole lifetime from now on.
    ///
    /// # Errors
    /// [`RefreshError::LeaseLost`] if the lease expired and another may hold it. The caller must then stop.
    pub(crate) async fn renew(&self) -> Result<(), RefreshError> {
        let arguments = [Text(&self.token), milliseconds(LEASE_LIFETIME)];
        match self.redis.run(RENEW_LEASE, LEASE, &arguments).await? {
            0 => Err(RefreshError::LeaseLost),
            _ => Ok(()),
        }
    }

    /// Ends the lease. If that fails, the lease expires by itself.
    pub(crate) async fn release(self) {
        let released = async {
            if self.release_over(self.redis).await.is_ok() {
                return Ok(());
            }
            // The lease outlives the connection over which it was taken. If Redis is silent, this is a second wait.
            self.release_over(&Redis::open().await?).await
        };
        if let Err(error) = released.await {
            store_guest::log(format_args!("lease not released, it will run out: {error}"));
        }
    }

    async fn release_over(&self, redis: &Redis) -> Result<(), RedisError> {
        let token = [Text(&self.token)];
        redis.run(RELEASE_LEASE, LEASE, &token).await.map(drop)
    }

    /// How long another holder's lease lasts if it is not renewed.
    ///
    /// # Errors
    /// If Redis is down.
    pub(crate) async fn left(redis: &Redis) -> Result<Duration, RedisError> {
        Ok(redis.lifetime(LEASE).await?.unwrap_or_default())
    }
}
