//! The settings that all links of a component share.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use redis::RedisConnectionInfo;
use store_server::token;

use super::link::Link;
use super::sentinel::Sentinels;
use super::target::Target;
use crate::config::{HostPort, RedisSettings, SentinelSettings, TlsMode};
use crate::instance::share::largest_piece;
use crate::outbound::Tls;

/// The time and size limits of one link, and how it finds and reaches its server.
#[derive(Clone)]
pub(crate) struct LinkSettings {
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) largest_reply_bytes: usize,
    pub(super) tls: Arc<Tls>,
    /// The Sentinels that know the primary; `None` if an address is that of the server itself.
    pub(super) sentinels: Option<Arc<Sentinels>>,
    /// Nodes of the Redis Cluster that every address stands for; empty if an address is that of a server.
    pub(super) cluster: Arc<[HostPort]>,
    /// Whether a server is stopped in which a script does not end that has written data.
    pub(super) shutdown_if_stuck: bool,
    /// Counts the component's scripts that had to be ended. `None` for the links of a check.
    pub(super) scripts_ended: Option<IntCounter>,
}

/// The largest answer of a Sentinel, in bytes. It is a list of fields.
const SENTINEL_REPLY_BYTES: usize = 64 * 1024;

impl LinkSettings {
    /// Reads the files that the settings name. The size limit of replies follows from the memory limit; see also
    /// [`LinkSettings::for_component`].
    ///
    /// # Errors
    /// Names a flag and its file, and says what is wrong, in one line.
    pub(crate) fn new(settings: &RedisSettings, memory_limit_bytes: usize) -> Result<Self, String> {
        let mut common = Self {
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            largest_reply_bytes: largest_piece(memory_limit_bytes),
            tls: Arc::new(Tls::load(&settings.tls.settings())?),
            sentinels: None,
            cluster: settings.cluster.nodes.as_slice().into(),
            shutdown_if_stuck: settings.shutdown_if_stuck,
            scripts_ended: None,
        };
        if !settings.sentinel.addresses.is_empty() {
            let info = credentials(&settings.sentinel)?;
            let links = settings.sentinel.addresses.iter();
            let links = links.map(|at| Ok((at.clone(), common.sentinel(at, info.clone())?)));
            let links = links.collect::<Result<_, String>>()?;
            common.sentinels = Some(Arc::new(Sentinels::new(links)));
        }
        Ok(common)
    }

    /// The same settings for a component with this memory limit. The scripts that had to be ended are counted in
    /// `scripts_ended`.
    pub(crate) fn for_component(
        &self,
        memory_limit_bytes: usize,
        scripts_ended: IntCounter,
    ) -> Self {
        Self {
            largest_reply_bytes: largest_piece(memory_limit_bytes),
            scripts_ended: Some(scripts_ended),
            ..self.clone()
        }
    }

    /// Whether addresses stand for a Redis Cluster.
    pub(crate) fn names_cluster(&self) -> bool {
        !self.cluster.is_empty()
    }

    /// The same settings for servers that are only asked which server to use, with this limit for their answers. They
    /// have as much time to answer as a server has to accept a connection, because the caller that connects waits for
    /// them.
    pub(super) fn for_questions(&self, largest_reply_bytes: usize) -> Self {
        Self {
            response_timeout: self.connect_timeout,
            largest_reply_bytes,
            scripts_ended: None,
            ..self.clone()
        }
    }

    /// A link to one Sentinel.
    fn sentinel(&self, at: &HostPort, info: RedisConnectionInfo) -> Result<Arc<Link>, String> {
        let tls = match self.tls.least() {
            TlsMode::Off => None,
            mode => Some(self.tls.client_config(mode)?),
        };
        let target = Target::Server(at.clone());
        let settings = self.for_questions(SENTINEL_REPLY_BYTES);
        Ok(Arc::new(Link::over(tls, target, info, settings, None)))
    }
}

/// The user and password for the Sentinels.
fn credentials(settings: &SentinelSettings) -> Result<RedisConnectionInfo, String> {
    let mut info = RedisConnectionInfo::default();
    if let Some(user) = &settings.user {
        info = info.set_username(user);
    }
    if let Some(file) = &settings.password_file {
        let password = token::read(file).map_err(|error| {
            let file = file.display();
            format!("--redis-sentinel-password-file {file}: can't be read: {error}")
        })?;
        info = info.set_password(&password.0);
    }
    Ok(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterSettings, RedisTls};

    impl LinkSettings {
        /// Settings for links that a test does not use.
        pub(in crate::redis) fn plain() -> Self {
            let settings = RedisSettings {
                connect_timeout: Duration::from_secs(1),
                response_timeout: Duration::from_secs(1),
                shutdown_if_stuck: false,
                sentinel: SentinelSettings::default(),
                cluster: ClusterSettings::default(),
                tls: RedisTls::default(),
            };
            Self::new(&settings, 1 << 20).expect("it names no file")
        }
    }
}
