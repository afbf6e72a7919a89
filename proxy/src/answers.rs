//! The answers of the admin listener, as `docs/PROXY.md` describes them. Each answer is one type, which
//! `operate::admin` writes and `operate::client` reads.
//!
//! Nothing here knows how a change is made. A client may be newer or older than the process that answers, as during an
//! upgrade. So a field that an earlier version did not send is an `Option`, words stay strings, and unknown fields are
//! ignored.

use serde::{Deserialize, Serialize};
use store_server::build::Build;

/// The answer to `GET /status`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Which build of the proxy answers.
    #[serde(flatten)]
    pub(crate) build: Option<Build>,
    /// Its process id.
    pub(crate) pid: u32,
    /// The program's file, by device and inode: equal strings mean the same file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<String>,
    /// The groups, by name.
    pub(crate) groups: Vec<GroupStatus>,
}

/// One group of [`Status`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct GroupStatus {
    /// Name of the group.
    pub(crate) name: String,
    /// The policy by which upstreams are picked, as in the file.
    pub(crate) policy: String,
    /// The upstreams, in the order of the file.
    pub(crate) upstreams: Vec<UpstreamStatus>,
    /// The names in the file that stand for upstreams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<NameStatus>,
}

/// One name of a group.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NameStatus {
    /// The name, as in the file.
    pub(crate) name: String,
    /// How many addresses are known for the name.
    pub(crate) addresses: usize,
    /// Why the last look-up found nothing, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// One upstream of [`Status`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UpstreamStatus {
    /// The address, as the file or a look-up gives it.
    pub(crate) address: String,
    /// The name in the file that led to the address; `None` if the file gives the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Share of the requests, relative to other upstreams' weights.
    pub(crate) weight: u16,
    /// `up`, `unready`, `down`, `ejected`, `draining` or `drained`.
    pub(crate) state: String,
    /// Requests that have a connection or are getting one.
    pub(crate) in_flight: usize,
    /// Requests that wait for a permit.
    pub(crate) queued: usize,
    /// Requests sent to the upstream since the proxy started.
    pub(crate) requests: usize,
    /// How often the upstream was ejected since the proxy started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ejections: Option<u64>,
}

/// The answer to a reload.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reload {
    pub(crate) reloaded: bool,
    /// The sections that changed but need a new process.
    pub(crate) needs_upgrade: Vec<String>,
}

/// The answer to a drain.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Drain {
    pub(crate) upstream: String,
    /// Same as [`UpstreamStatus::state`].
    pub(crate) state: String,
}

/// The answer to an undrain.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Undrain {
    pub(crate) upstream: String,
}

/// The answer to a purge.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Purge {
    /// How many kept answers were forgotten.
    pub(crate) purged: usize,
}

impl Status {
    /// Addresses of the upstreams that an operator has drained or is draining.
    pub(crate) fn drained(&self) -> impl Iterator<Item = &str> {
        let upstreams = self.groups.iter().flat_map(|group| &group.upstreams);
        upstreams
            .filter(|upstream| ["draining", "drained"].contains(&upstream.state.as_str()))
            .map(|upstream| upstream.address.as_str())
    }
}

/// The word for `value` in the answers, which is the same as in the settings.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;

    #[test]
    fn an_earlier_version_s_status_is_read_too() {
        let said = r#"{"version": "0.1.0", "pid": 7, "groups": [{"name": "store", "policy": "round_robin", "upstreams": [
            {"address": "a:1", "weight": 1, "state": "up", "in_flight": 2, "queued": 0, "requests": 1234},
            {"address": "b:1", "weight": 10, "state": "draining", "in_flight": 0, "queued": 0, "requests": 5}]}]}"#;
        let status: Status = serde_json::from_str(said).expect("the form of version 0.1.0");
        assert_eq!((status.pid, status.build.as_ref()), (7, None));
        assert_eq!(status.program, None);
        assert_eq!(status.drained().collect::<Vec<_>>(), ["b:1"]);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let status = Status {
            build: Some(Build::this()),
            pid: 7,
            program: Some("1:2".to_owned()),
            groups: vec![],
        };
        let text = serde_json::to_string(&status).expect("JSON");
        let read: Status = serde_json::from_str(&text).expect("a status");
        assert_eq!((read.build, read.program), (status.build, status.program));
        assert!(text.contains(r#""commit":""#), "{text}");
    }

    #[test]
    fn a_policy_is_called_as_in_the_settings() {
        assert_eq!(word(&Policy::LeastConnections), "least_connections");
    }
}
