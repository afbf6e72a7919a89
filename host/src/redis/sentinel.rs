//! Redis Sentinel finds the primary of a name (<https://redis.io/docs/latest/develop/reference/sentinel-clients/>).
//!
//! The redis crate has a Sentinel client. It opens connections of its own, without our certificates, limits and
//! notifications of changes, and it believes the Sentinel that answers first. So each Sentinel is asked over a
//! [`Link`], like any other Redis server, and the majority decides, or else the Sentinel that saw the latest failover.
//! One that has not seen a failover that others told before is cut off from them, and not believed alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use redis::{ErrorKind, RedisError, RedisResult};
use tokio::sync::Mutex;

use super::errors::is_refusal;
use super::link::Link;
use super::pins::Pin;
use super::sentinel_reply::{SentinelReply, latest};
use super::votes::{self, Disagreement, STANDS};
use crate::config::HostPort;
use crate::outbound::{stands, tls_error};

/// The error for a name that the Sentinels do not watch.
const UNKNOWN: &str = "no Sentinel watches a primary of this name";

/// The beginning of the error text if the Sentinels refuse the host. [`is_refused_by_sentinels`] recognises the error
/// by it.
const REFUSED: &str = "the Sentinels refuse the user or the password";

/// The beginning of the error text if host and Sentinels don't agree on TLS. [`lacks_tls_to_sentinels`] recognises the
/// error by it.
const NO_TLS: &str = "there is no TLS with the Sentinels";

/// What a Sentinel refuses, in error texts that name the settings.
const LOGIN: &str = "what --redis-sentinel-user and --redis-sentinel-password-file say";

/// The Sentinels that watch the app's Redis servers.
pub(crate) struct Sentinels {
    sentinels: Vec<(HostPort, Arc<Link>)>,
    /// Locked while the Sentinels are asked, so that simultaneous callers ask only once.
    known: Mutex<Knowledge>,
}

#[derive(Default)]
struct Knowledge {
    /// The last answers, by name.
    lookups: HashMap<String, PrimaryLookup>,
    /// The epoch of the last answer that was believed, by name. There are only as many names as the Sentinels watch.
    epochs: HashMap<String, u64>,
}

struct PrimaryLookup {
    at: Instant,
    primary: RedisResult<HostPort>,
}

impl Sentinels {
    pub(super) fn new(sentinels: Vec<(HostPort, Arc<Link>)>) -> Self {
        Self {
            sentinels,
            known: Mutex::default(),
        }
    }

    /// The primary of `name`; the answer is at most half a second old.
    ///
    /// # Errors
    /// No Sentinel says where the primary is, or all say that they watch none of this name; see [`is_unknown`],
    /// [`is_refused_by_sentinels`] and [`lacks_tls_to_sentinels`].
    pub(super) async fn primary(&self, name: &str) -> RedisResult<HostPort> {
        let mut known = self.known.lock().await;
        if let Some(last) = known.lookups.get(name)
            && last.at.elapsed() < STANDS
        {
            return last.primary.clone();
        }
        let known_epoch = known.epochs.get(name).copied();
        let reply = self.ask_all(name, known_epoch).await;
        if let Ok(reply) = &reply {
            known.epochs.insert(name.to_owned(), reply.epoch);
        }
        let primary = reply.map(|reply| reply.primary);
        let now = PrimaryLookup {
            at: Instant::now(),
            primary: primary.clone(),
        };
        // Old answers are removed, because components may ask for any number of names.
        known.lookups.retain(|_, last| last.at.elapsed() < STANDS);
        known.lookups.insert(name.to_owned(), now);
        primary
    }

    /// The answer that more than half of the Sentinels give, or else the answer of the one that saw the latest
    /// failover, if that is no earlier one than `known_epoch`.
    async fn ask_all(&self, name: &str, known_epoch: Option<u64>) -> RedisResult<SentinelReply> {
        let asked = self.sentinels.iter().map(|(_, link)| ask(link, name));
        let Disagreement { opinions, errors } =
            match votes::ask_all(asked.collect::<Vec<_>>()).await {
                Ok(opinion) => return Ok(opinion),
                Err(disagreement) => disagreement,
            };
        if opinions.is_empty() {
            return Err(self.failure(name, &errors));
        }
        latest(opinions, known_epoch).ok_or_else(|| {
            not_connected(format!(
                "the Sentinels that answer, of those at {}, have not heard of the last failover of `{name}`",
                self.addresses()
            ))
        })
    }

    /// The error if no Sentinel says where the primary is. One that watches none of this name may not be set up yet, so
    /// only all of them together are believed. One that is silent may accept the password or the certificate that
    /// another refuses.
    fn failure(&self, name: &str, errors: &[RedisError]) -> RedisError {
        let refusal = errors.iter().rfind(|error| is_refusal(error));
        let is_other = |error: &&RedisError| !is_unknown(error) && !is_refusal(error);
        let others: Vec<&RedisError> = errors.iter().filter(is_other).collect();
        let only_tls = others.iter().all(|error| is_about_tls(error));
        let at = self.addresses();
        match (others.last(), refusal) {
            (None, None) => self.unknown(name),
            (None, Some(refusal)) => not_connected(format!("{REFUSED}, at {at}: {refusal}")),
            (Some(error), None) if only_tls => not_connected(format!("{NO_TLS}, at {at}: {error}")),
            (Some(error), Some(refusal)) if only_tls => not_connected(format!(
                "{NO_TLS}, at {at}, except with one that refuses {LOGIN} ({refusal}): {error}"
            )),
            (Some(error), None) => not_connected(format!("no Sentinel answers at {at}: {error}")),
            (Some(error), Some(refusal)) => not_connected(format!(
                "of the Sentinels at {at} one refuses {LOGIN} ({refusal}), and another does not answer: {error}"
            )),
        }
    }

    fn unknown(&self, name: &str) -> RedisError {
        let detail = format!("`{name}`, of those at {}", self.addresses());
        RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, UNKNOWN, detail))
    }

    fn addresses(&self) -> String {
        let addresses: Vec<String> = self
            .sentinels
            .iter()
            .map(|(at, _)| at.to_string())
            .collect();
        addresses.join(", ")
    }
}

/// Whether the Sentinels do not watch the name, so that waiting does not help.
pub(crate) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::MasterNameNotFoundBySentinel
}

/// Whether all Sentinels that could know the name refuse the host's user or password, so that waiting does not help.
/// For a link, that is an outage like any other.
pub(crate) fn is_refused_by_sentinels(error: &RedisError) -> bool {
    error.is_io_error() && error.to_string().contains(REFUSED)
}

/// Whether all Sentinels that could know the name, and the host, don't accept one another's certificates, so that
/// waiting does not help. For a link, that is an outage like any other.
pub(crate) fn lacks_tls_to_sentinels(error: &RedisError) -> bool {
    error.is_io_error() && error.to_string().contains(NO_TLS)
}

fn is_about_tls(error: &RedisError) -> bool {
    tls_error(error).is_some_and(stands)
}

fn not_connected(reason: String) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, reason).into()
}

async fn ask(link: &Link, name: &str) -> RedisResult<SentinelReply> {
    let question = redis::cmd("SENTINEL").arg("MASTER").arg(name).to_owned();
    // Boxed, because the future of a link contains that of a link to a Sentinel.
    match Box::pin(link.run(&question, None, Pin::default())).await {
        Ok(reply) => SentinelReply::read(reply),
        Err(error) if error.to_string().contains("No such master") => {
            Err((ErrorKind::MasterNameNotFoundBySentinel, UNKNOWN).into())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;
    use crate::redis::errors::is_outage;

    #[test]
    fn a_name_is_unknown_only_if_all_sentinels_say_so() {
        let sentinels = Sentinels::new(Vec::new());
        let unknown = || RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, UNKNOWN));
        let silent = || RedisError::from(std::io::Error::other("silent"));
        let is_unknown = |errors: &[RedisError]| is_unknown(&sentinels.failure("store", errors));
        assert!(is_unknown(&[unknown(), unknown()]));
        assert!(!is_unknown(&[unknown(), silent()]));
        assert!(!is_unknown(&[silent(), unknown()]));
    }

    #[test]
    fn a_password_is_refused_only_if_no_sentinel_is_silent() {
        let sentinels = Sentinels::new(Vec::new());
        let unknown = || RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, UNKNOWN));
        let silent = || RedisError::from(std::io::Error::other("silent"));
        let refused = || RedisError::from((ErrorKind::AuthenticationFailed, "wrong password"));
        for (errors, is_refused) in [
            ([refused(), refused()], true),
            ([refused(), unknown()], true),
            ([refused(), silent()], false),
            ([silent(), refused()], false),
            ([silent(), silent()], false),
        ] {
            let error = sentinels.failure("store", &errors);
            assert_eq!(is_refused_by_sentinels(&error), is_refused, "{error}");
            assert!(is_outage(&error) && !is_refusal(&error), "{error}");
        }
    }

    #[test]
    fn a_certificate_is_refused_only_if_no_sentinel_is_silent() {
        let sentinels = Sentinels::new(Vec::new());
        let unknown = || RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, UNKNOWN));
        let silent = || RedisError::from(std::io::Error::other("silent"));
        let refused = || RedisError::from((ErrorKind::AuthenticationFailed, "wrong password"));
        let of_tls = |error: CertificateError| {
            let error = rustls::Error::from(error);
            RedisError::from(std::io::Error::other(error))
        };
        let stranger = || of_tls(CertificateError::UnknownIssuer);
        // The clock of this machine may not be set yet.
        let expired = || of_tls(CertificateError::Expired);
        for (errors, lacks_tls) in [
            ([stranger(), stranger()], true),
            ([stranger(), unknown()], true),
            ([refused(), stranger()], true),
            ([stranger(), silent()], false),
            ([silent(), stranger()], false),
            ([stranger(), expired()], false),
            ([refused(), unknown()], false),
        ] {
            let error = sentinels.failure("store", &errors);
            assert_eq!(lacks_tls_to_sentinels(&error), lacks_tls, "{error}");
            let names_refusal = error.to_string().contains("wrong password");
            assert_eq!(names_refusal, errors.iter().any(is_refusal), "{error}");
            assert!(is_outage(&error) && !is_refusal(&error), "{error}");
        }
    }
}
