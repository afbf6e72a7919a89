//! Which group serves a host and path.

use std::sync::Arc;

use crate::config;
use crate::message::target;
use crate::upstream::Group;

/// Routes in the order in which they are tried: those with a host first, longer prefixes before shorter ones.
pub(crate) struct Routes(Vec<Entry>);

struct Entry {
    host: Option<String>,
    prefix: Vec<u8>,
    group: Arc<Group>,
}

impl Routes {
    /// Sorts the routes. `group` finds the group that a route names. It always finds one, as the configuration was
    /// checked.
    pub(crate) fn new(
        routes: &[config::Route],
        group: impl Fn(&str) -> Option<Arc<Group>>,
    ) -> Self {
        let mut entries: Vec<Entry> = routes
            .iter()
            .filter_map(|route| {
                Some(Entry {
                    host: route
                        .host
                        .as_deref()
                        .map(|host| target::host_name(host).to_owned()),
                    prefix: target::normal(route.path_prefix.trim_end_matches('/').as_bytes())
                        .into_owned(),
                    group: group(&route.upstreams)?,
                })
            })
            .collect();
        entries.sort_by_key(|entry| (entry.host.is_none(), usize::MAX - entry.prefix.len()));
        Self(entries)
    }

    /// Finds the group for a request. `host` may have a port, and `path` any percent-encoding.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Arc<Group>> {
        let (name, path) = (target::host_name(host), target::normal(path.as_bytes()));
        self.0
            .iter()
            .find(|entry| {
                entry
                    .host
                    .as_ref()
                    .is_none_or(|host| host.eq_ignore_ascii_case(name))
                    && target::begins_with(&path, &entry.prefix)
            })
            .map(|entry| &entry.group)
    }
}
