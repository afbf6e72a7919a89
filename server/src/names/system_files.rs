//! The system's files about names, `/etc/hosts` and `/etc/resolv.conf`. They are read for each look-up, as the system's
//! own look-ups do.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hickory_resolver::Hosts;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::system_conf::parse_resolv_conf;
use parking_lot::Mutex;

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The last known content of both files.
#[derive(Default)]
pub struct SystemFiles {
    hosts: ParsedFile<Arc<Hosts>>,
    resolver: ParsedFile<Result<(ResolverConfig, ResolverOpts), String>>,
}

/// The parsed content of a file. It is parsed again only if the text has changed, as parsing logs what it finds wrong.
struct ParsedFile<T>(Mutex<Option<(Vec<u8>, T)>>);

impl SystemFiles {
    pub(super) fn hosts(&self) -> Arc<Hosts> {
        // A missing file counts as empty.
        let text = fs::read(Path::new(HOSTS)).unwrap_or_default();
        self.hosts.of(text, |text| {
            let mut hosts = Hosts::default();
            match hosts.read_hosts_conf(text) {
                Ok(()) => Arc::new(hosts),
                Err(error) => {
                    tracing::warn!("{HOSTS}: {error}");
                    Arc::default()
                }
            }
        })
    }

    /// Name servers, search domains and options, or why there are none.
    pub(super) fn resolver(&self) -> Result<(ResolverConfig, ResolverOpts), String> {
        let text = fs::read(Path::new(RESOLV_CONF));
        let text = text.map_err(|error| format!("{RESOLV_CONF}: {error}"))?;
        self.resolver.of(text, |text| {
            parse_resolv_conf(text).map_err(|error| format!("{RESOLV_CONF}: {error}"))
        })
    }
}

impl<T> Default for ParsedFile<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> ParsedFile<T> {
    fn of(&self, text: Vec<u8>, make: impl FnOnce(&[u8]) -> T) -> T {
        let mut kept = self.0.lock();
        match &*kept {
            Some((before, made)) if *before == text => made.clone(),
            _ => {
                let made = make(&text);
                *kept = Some((text, made.clone()));
                made
            }
        }
    }
}
