//! What all links of a component have in common.

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

/// The limits of one link, in time and size, and how it gets where it leads.
#[derive(Clone)]
pub(crate) struct LinkSettings {
    pub(super) connect_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) largest_reply_bytes: usize,
    pub(super) tls: Arc<Tls>,
    /// Who is asked where the primary is; nobody if an address is one.
    pub(super) sentinels: Option<Arc<Sentinels>>,
    /// Nodes of a Redis Cluster, which every address stands for then; none if an address is a server.
    pub(super) cluster: Arc<[HostPort]>,
    /// Counts a component's scripts that had to be ended; nothing counts those of a check.
    pub(super) scripts_ended: Option<IntCounter>,
}

/// What a Sentinel may answer: a list of fields.
const SENTINEL_REPLY_BYTES: usize = 64 * 1024;

impl LinkSettings {
    /// Reads the files that the settings name. Meant for a component with this memory limit, see
    /// [`LinkSettings::for_component`].
    ///
    /// # Errors
    /// One line names a flag, its file and what is wrong with it.
    pub(crate) fn new(settings: &RedisSettings, memory_limit_bytes: usize) -> Result<Self, String> {
        let mut common = Self {
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            largest_reply_bytes: largest_piece(memory_limit_bytes),
            tls: Arc::new(Tls::load(&settings.tls.settings())?),
            sentinels: None,
            cluster: settings.cluster.nodes.as_slice().into(),
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

    /// The same for a component with this memory limit, whose scripts are counted when they have to be ended.
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

    /// The same for those who are asked where to go, and answer with so much at most. They have as long for their answer as
    /// a server has to let us in: whoever connects waits for it.
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

/// Who we say to Sentinels that we are.
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
