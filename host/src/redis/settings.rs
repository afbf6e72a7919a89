//! The settings that all links of a component share.

use std::sync::Arc;

use prometheus::IntCounter;
use redis::RedisConnectionInfo;
use store_server::token;

use super::limits::LinkLimits;
use super::link::Link;
use super::sentinel::Sentinels;
use crate::config::{HostPort, RedisSettings, SentinelSettings, TlsMode};
use crate::outbound::{Tls, largest_piece};

/// The limits of one link, and how it finds and reaches its server.
#[derive(Clone)]
pub(crate) struct LinkSettings {
    pub(super) limits: LinkLimits,
    pub(super) tls: Arc<Tls>,
    /// The Sentinels that know the primary; `None` if an address is that of the server itself.
    pub(super) sentinels: Option<Arc<Sentinels>>,
    /// Nodes of the Redis Cluster that every address stands for; empty if an address is that of a server.
    pub(super) cluster: Arc<[HostPort]>,
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
        let limits = LinkLimits {
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            largest_reply_bytes: largest_piece(memory_limit_bytes),
            shutdown_if_stuck: settings.shutdown_if_stuck,
            scripts_ended: None,
        };
        let mut common = Self {
            limits,
            tls: Arc::new(Tls::load(&settings.tls.settings())?),
            sentinels: None,
            cluster: settings.cluster.nodes.as_slice().into(),
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
        let limits = LinkLimits {
            largest_reply_bytes: largest_piece(memory_limit_bytes),
            scripts_ended: Some(scripts_ended),
            ..self.limits.clone()
        };
        Self {
            limits,
            ..self.clone()
        }
    }

    /// Whether addresses stand for a Redis Cluster.
    pub(crate) fn names_cluster(&self) -> bool {
        !self.cluster.is_empty()
    }

    /// A link to one Sentinel.
    fn sentinel(&self, at: &HostPort, info: RedisConnectionInfo) -> Result<Arc<Link>, String> {
        let tls = match self.tls.least() {
            TlsMode::Off => None,
            mode => Some(self.tls.client_config(mode)?),
        };
        let limits = self.limits.for_questions(SENTINEL_REPLY_BYTES);
        Ok(Arc::new(Link::over(tls, at.clone(), info, limits, None)))
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
