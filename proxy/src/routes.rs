//! Which group serves a host and path.

use std::sync::Arc;

use crate::config;
use crate::group::Group;

/// Routes in the order in which they are tried: those with a host first, longer prefixes before shorter ones.
pub(crate) struct Routes(Vec<Entry>);

struct Entry {
    host: Option<String>,
    prefix: String,
    group: Arc<Group>,
}

impl Routes {
    /// `group` finds the group that a route names; a route without one is left out, as the configuration was checked.
    pub(crate) fn new(
        routes: &[config::Route],
        group: impl Fn(&str) -> Option<Arc<Group>>,
    ) -> Self {
        let mut entries: Vec<Entry> = routes
            .iter()
            .filter_map(|route| {
                Some(Entry {
                    host: route.host.as_ref().map(|host| host.to_ascii_lowercase()),
                    prefix: route.path_prefix.trim_end_matches('/').to_owned(),
                    group: group(&route.upstreams)?,
                })
            })
            .collect();
        entries.sort_by_key(|entry| (entry.host.is_none(), usize::MAX - entry.prefix.len()));
        Self(entries)
    }

    /// The group for a request; `host` may have a port.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Arc<Group>> {
        let name = without_port(host);
        self.0
            .iter()
            .find(|entry| {
                entry
                    .host
                    .as_ref()
                    .is_none_or(|host| host.eq_ignore_ascii_case(name))
                    && begins_with_segments(path, &entry.prefix)
            })
            .map(|entry| &entry.group)
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    }
}

fn begins_with_segments(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_whole_segments() {
        assert!(begins_with_segments("/orders/7", "/orders"));
        assert!(begins_with_segments("/orders", "/orders"));
        assert!(begins_with_segments("*", ""));
        assert!(!begins_with_segments("/ordersheet", "/orders"));
    }

    #[test]
    fn a_port_is_no_part_of_the_host() {
        assert_eq!(without_port("shop:8080"), "shop");
        assert_eq!(without_port("[::1]:8080"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }
}
