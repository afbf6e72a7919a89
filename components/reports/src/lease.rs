//! The right to refresh: one instance has it at a time, and loses it by itself if it dies.

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
    /// A random token of this holder's, so that it never renews or ends a lease that has passed to another.
    token: String,
    /// Greater than that of any holder before. Redis refuses a report of a holder whose lease has passed to another.
    number: i64,
}

/// What became of a report that was put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PutOutcome {
    /// It is another than before.
    Replaced,
    /// It was right already and lives on.
    Same,
}

impl<'a> Lease<'a> {
    /// Takes the lease, unless another holds it.
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

    /// Puts a report in place, unless a later holder did.
    ///
    /// # Errors
    /// [`RefreshError::LeaseLost`] if a later holder did, or if Redis is down.
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

    /// Keeps the lease for its whole lifetime from now on.
    ///
    /// # Errors
    /// [`RefreshError::LeaseLost`] if it ran out and another may have it: then this one must stop.
    pub(crate) async fn renew(&self) -> Result<(), RefreshError> {
        let arguments = [Text(&self.token), milliseconds(LEASE_LIFETIME)];
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
