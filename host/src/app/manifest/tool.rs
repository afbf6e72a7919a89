//! `[component.X.tool.store-host]`: what Spin has no key for. Spin ignores `tool`.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;

use crate::config::{Limits, duration};
use crate::instance::Probe;

/// The table as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    probe: Option<RawProbe>,
    #[serde(default)]
    pub(super) redis_near_cache: Vec<String>,
    #[serde(default)]
    pub(super) limits: OwnLimits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProbe {
    path: String,
    method: Option<String>,
    status: Option<u16>,
    contains: Option<String>,
}

/// Limits that a component sets for itself; the host's flags count for the rest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnLimits {
    request_timeout: Option<Time>,
    body_limit_bytes: Option<u64>,
    memory_limit_mib: Option<Count<4096>>,
    max_in_flight: Option<Count<1_000_000>>,
    instance_concurrency: Option<Count<1024>>,
    instance_requests: Option<Count<{ u32::MAX }>>,
    instance_idle: Option<Time>,
}

/// A duration in the form of the flags.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Time(Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        duration(&text).map(Self)
    }
}

/// A count above zero, up to what the flag of the same name takes.
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
    /// This one, or `host`'s where there is none.
    fn over(own: Option<Self>, host: u32) -> u32 {
        own.map_or(host, |own| own.0)
    }
}

impl OwnLimits {
    /// These, and `host`'s where there are none.
    pub(crate) fn over(&self, host: &Limits) -> Limits {
        let time = |own: Option<Time>, host| own.map_or(host, |own| own.0);
        Limits {
            request_timeout: time(self.request_timeout, host.request_timeout),
            body_limit_bytes: self.body_limit_bytes.unwrap_or(host.body_limit_bytes),
            memory_limit_mib: Count::over(self.memory_limit_mib, host.memory_limit_mib),
            max_in_flight: Count::over(self.max_in_flight, host.max_in_flight),
            instance_concurrency: Count::over(self.instance_concurrency, host.instance_concurrency),
            instance_requests: Count::over(self.instance_requests, host.instance_requests),
            instance_idle: time(self.instance_idle, host.instance_idle),
        }
    }
}

impl Tool {
    /// The probe, checked.
    ///
    /// # Errors
    /// The text says what is wrong with the table.
    pub(super) fn probe(&self) -> Result<Option<Probe>, String> {
        let Some(raw) = &self.probe else {
            return Ok(None);
        };
        let method = raw.method.as_deref().unwrap_or("GET");
        let method = match method.parse::<Method>() {
            Ok(method) if method.is_safe() => method,
            _ => {
                return Err(format!(
                    "`probe.method`: `{method}` may change something; use GET or HEAD"
                ));
            }
        };
        if !raw.path.starts_with('/') || raw.path.parse::<http::Uri>().is_err() {
            return Err(format!(
                "`probe.path`: `{}` is not a path that starts with `/`",
                raw.path
            ));
        }
        let status = raw
            .status
            .map(StatusCode::from_u16)
            .transpose()
            .map_err(|_| "`probe.status`: is not a status of HTTP".to_owned())?;
        Ok(Some(Probe {
            method,
            path: raw.path.clone(),
            status,
            contains: raw.contains.clone(),
        }))
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
            redis_near_cache = ["report:"]
        "#;
        let tool = read(text).expect("valid");
        let probe = tool.probe().expect("valid").expect("given");
        assert_eq!((probe.method, probe.path.as_str()), (Method::GET, "/x"));
        assert_eq!(probe.status, Some(StatusCode::NO_CONTENT));
        assert_eq!(tool.limits.max_in_flight.map(|count| count.0), Some(3));
        assert_eq!(tool.redis_near_cache, ["report:"]);
    }

    #[test]
    fn wrong_ones_are_refused() {
        for wrong in [
            "prob = 1",
            "redis_near_cache = true",
            "probe = {}",
            "limits = { max_in_flight = 0 }",
            "limits = { instance_concurrency = 1025 }",
            "limits = { memory_limit_mib = 4097 }",
            "limits = { request_timeout = \"soon\" }",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "probe = { path = \"x\" }",
            "probe = { path = \"/x\", method = \"POST\" }",
            "probe = { path = \"/x\", status = 7 }",
        ] {
            let tool = read(wrong).expect("well formed");
            assert!(tool.probe().is_err(), "{wrong}");
        }
    }
}
