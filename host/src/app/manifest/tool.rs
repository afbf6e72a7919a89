//! The table `[component.X.tool.store-host]`, for settings that Spin has no keys for. Spin ignores `tool`.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode, Uri};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use store_server::duration;

use super::super::variables::Template;
use crate::config::Limits;
use crate::instance::Probe;

/// The table as it is written in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    #[serde(default, deserialize_with = "probe")]
    pub(super) probe: Option<Probe>,
    #[serde(default)]
    pub(super) redis_near_cache: Vec<Template>,
    #[serde(default)]
    pub(super) needs_migrations: bool,
    #[serde(default)]
    pub(super) limits: OwnLimits,
    #[serde(default)]
    pub(super) variable_values: BTreeMap<String, Vec<String>>,
}

/// A probe as it is written in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProbe {
    #[serde(deserialize_with = "path")]
    path: String,
    #[serde(default, deserialize_with = "safe_method")]
    method: Method,
    #[serde(default, deserialize_with = "status")]
    status: Option<StatusCode>,
    contains: Option<String>,
}

fn probe<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Probe>, D::Error> {
    RawProbe::deserialize(from).map(|raw| {
        Some(Probe {
            method: raw.method,
            path: raw.path,
            status: raw.status,
            contains: raw.contains,
        })
    })
}

fn path<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let path = String::deserialize(from)?;
    if path.starts_with('/') && path.parse::<Uri>().is_ok() {
        return Ok(path);
    }
    let reason = format!("`{path}` is not a path that starts with `/`");
    Err(D::Error::custom(reason))
}

/// Reads a method that changes nothing by its definition (RFC 9110, section 9.2.1).
fn safe_method<'de, D: Deserializer<'de>>(from: D) -> Result<Method, D::Error> {
    let name = String::deserialize(from)?;
    let method = name.parse::<Method>().ok().filter(Method::is_safe);
    let reason = || D::Error::custom(format!("`{name}` may change something; use GET or HEAD"));
    method.ok_or_else(reason)
}

fn status<'de, D: Deserializer<'de>>(from: D) -> Result<Option<StatusCode>, D::Error> {
    let number = u16::deserialize(from)?;
    let reason = |_| D::Error::custom(format!("{number} is not a status of HTTP"));
    StatusCode::from_u16(number).map(Some).map_err(reason)
}

/// The limits that a component sets for itself. For limits that it does not set, the host's flags count.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnLimits {
    #[serde(default, deserialize_with = "time")]
    request_timeout: Option<Duration>,
    body_limit_bytes: Option<u64>,
    memory_limit_mib: Option<Count<4096>>,
    max_in_flight: Option<Count<1_000_000>>,
    instance_concurrency: Option<Count<1024>>,
    instance_requests: Option<Count<{ u32::MAX }>>,
    #[serde(default, deserialize_with = "time")]
    instance_idle: Option<Duration>,
    log_lines_per_second: Option<Count<1_000_000>>,
}

/// Reads a duration, written as in the flags.
fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    duration::deserialize(from).map(Some)
}

/// A count from 1 to `MOST`, which is the limit of the flag of the same name.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
struct Count<const MOST: u32>(u32);

impl<const MOST: u32> TryFrom<u32> for Count<MOST> {
    type Error = String;

    fn try_from(count: u32) -> Result<Self, String> {
        if (1..=MOST).contains(&count) {
            Ok(Self(count))
        } else {
            Err(format!("{count} is not from 1 to {MOST}"))
        }
    }
}

impl<const MOST: u32> Count<MOST> {
    /// The component's own count, or the host's if the component has none.
    fn over(own: Option<Self>, host: u32) -> u32 {
        own.map_or(host, |own| own.0)
    }
}

impl OwnLimits {
    /// All limits of the component: its own, and the host's where it sets none.
    pub(crate) fn over(&self, host: &Limits) -> Limits {
        Limits {
            request_timeout: self.request_timeout.unwrap_or(host.request_timeout),
            body_limit_bytes: self.body_limit_bytes.unwrap_or(host.body_limit_bytes),
            memory_limit_mib: Count::over(self.memory_limit_mib, host.memory_limit_mib),
            max_in_flight: Count::over(self.max_in_flight, host.max_in_flight),
            instance_concurrency: Count::over(self.instance_concurrency, host.instance_concurrency),
            instance_requests: Count::over(self.instance_requests, host.instance_requests),
            instance_idle: self.instance_idle.unwrap_or(host.instance_idle),
            log_lines_per_second: Count::over(self.log_lines_per_second, host.log_lines_per_second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tool, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_a_component_asks_for_is_read() {
        let text = r#"
            probe = { path = "/x", status = 204 }
            limits = { max_in_flight = 3, request_timeout = "2s" }
            redis_near_cache = ["report:", "{{ prefix }}user:"]
            needs_migrations = true
            variable_values = { color = ["red", "blue"] }
        "#;
        let tool = read(text).expect("valid");
        let probe = tool.probe.expect("given");
        assert_eq!((probe.method, probe.path.as_str()), (Method::GET, "/x"));
        assert_eq!(probe.status, Some(StatusCode::NO_CONTENT));
        assert_eq!(tool.limits.max_in_flight.map(|count| count.0), Some(3));
        let kept: Vec<_> = tool
            .redis_near_cache
            .iter()
            .map(Template::literal)
            .collect();
        assert_eq!(kept, [Some("report:"), None]);
        assert!(tool.needs_migrations);
        assert_eq!(tool.variable_values["color"], ["red", "blue"]);
    }

    #[test]
    fn wrong_ones_are_refused() {
        for wrong in [
            "prob = 1",
            "redis_near_cache = true",
            "redis_near_cache = [\"{{ a\"]",
            "needs_migrations = 1",
            "variable_values = { color = \"red\" }",
            "probe = {}",
            "limits = { max_in_flight = 0 }",
            "limits = { instance_concurrency = 1025 }",
            "limits = { memory_limit_mib = 4097 }",
            "limits = { log_lines_per_second = 0 }",
            "limits = { request_timeout = \"soon\" }",
            "probe = { path = \"x\" }",
            "probe = { path = \"/x\", method = \"POST\" }",
            "probe = { path = \"/x\", status = 7 }",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
