//! Which requests are traced, and where traces are sent: a program's own settings, and the environment variables that
//! OpenTelemetry defines (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use http::{HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};

use super::sampler::Sampler;
use crate::duration;

/// Whose `traceparent` is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// Of trusted proxies.
    #[default]
    Trusted,
    /// Of all clients: any client can have its requests sampled.
    Anyone,
    /// Of no client: each request begins a trace of its own.
    Nobody,
}

/// How an answer names its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerHeader {
    /// Not at all.
    #[default]
    None,
    /// In `traceresponse`.
    Traceresponse,
    /// In `Server-Timing`, which scripts of a web page can read.
    ServerTiming,
}

/// A program's own settings of traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Requests that take at least this long count as slow.
    #[serde(with = "duration")]
    pub slow: Duration,
    /// Whether slow and failed requests are kept for `GET /traces` even if no receiver is configured.
    pub tail: bool,
    /// Whose `traceparent` is trusted.
    pub accept: Accept,
    /// The header in which an answer names its trace.
    pub answer: AnswerHeader,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slow: Duration::from_secs(1),
            tail: false,
            accept: Accept::default(),
            answer: AnswerHeader::default(),
        }
    }
}

/// The protocol by which traces are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

/// Where traces are sent, and in which batches.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Destination {
    pub(super) protocol: Protocol,
    pub(super) endpoint: String,
    pub(super) timeout: Duration,
    /// File with the certificates of authorities that are trusted for TLS; `None` means the usual public ones.
    pub(super) certificate: Option<PathBuf>,
    pub(super) batch: Batch,
}

/// Limits of queue and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// Most spans that wait. Further spans are dropped, except for those of a single trace that is larger than this.
    pub(super) queue: usize,
    /// Most spans that are sent at once.
    pub(super) size: usize,
    /// Longest time that a span waits for others to be sent with.
    pub(super) delay: Duration,
    /// Time limit for sending one batch.
    pub(super) timeout: Duration,
}

/// The limits of spans that the specification has variables for. Spans have limits of their own here.
const SPAN_LIMITS: [&str; 8] = [
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
];

/// The settings in environment variables.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Environment {
    pub(super) is_disabled: bool,
    pub(super) sampler: Sampler,
    pub(super) destination: Option<Destination>,
    /// A line for the log about each variable that is set and has no effect.
    pub(super) without_effect: Vec<String>,
}

impl Environment {
    /// Reads the environment. `value` returns the value of a variable.
    ///
    /// # Errors
    /// A value is invalid. The error names the variable, and says what to write instead.
    pub(super) fn read(value: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        // By the specification, an empty value counts as unset.
        let given = |name: &str| value(name).filter(|value| !value.is_empty());
        let variables = Variables(&given);
        let sampler = match variables.get("OTEL_TRACES_SAMPLER") {
            None => Sampler::USUAL,
            Some(name) => {
                Sampler::named(&name, variables.get("OTEL_TRACES_SAMPLER_ARG").as_deref())?
            }
        };
        let disabled = variables.get("OTEL_SDK_DISABLED");
        let is_disabled = disabled.is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let destination = variables.destination()?;
        if destination.is_some() && !is_disabled {
            variables.check_propagators()?;
        }
        Ok(Self {
            is_disabled,
            sampler,
            without_effect: match destination {
                Some(_) => variables.without_effect(),
                None => Vec::new(),
            },
            destination,
        })
    }
}

struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.0(name)
    }

    /// The value of the variable for traces, or else of the variable for everything that is exported, with the name of
    /// that variable.
    fn of_exporter(&self, name: &str) -> Option<(String, String)> {
        ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"]
            .iter()
            .map(|prefix| format!("{prefix}{name}"))
            .find_map(|variable| Some((self.get(&variable)?, variable)))
    }

    fn destination(&self) -> Result<Option<Destination>, String> {
        match self.get("OTEL_TRACES_EXPORTER").as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(None),
            Some(other) => {
                return Err(format!(
                    "OTEL_TRACES_EXPORTER: `{other}` is neither otlp nor none"
                ));
            }
        }
        let Some((endpoint, variable)) = self.of_exporter("ENDPOINT") else {
            return Ok(None);
        };
        check_endpoint(&endpoint).map_err(|reason| format!("{variable}: {reason}"))?;
        self.check_headers()?;
        self.check_compression()?;
        self.check_client()?;
        let timeout = self.of_exporter("TIMEOUT");
        let timeout = timeout.map(|(value, name)| milliseconds(&name, &value));
        let certificate = self.of_exporter("CERTIFICATE");
        Ok(Some(Destination {
            protocol: self.protocol()?,
            endpoint,
            timeout: timeout.transpose()?.unwrap_or(Duration::from_secs(10)),
            certificate: certificate.map(|(file, _)| file.into()),
            batch: self.batch()?,
        }))
    }

    fn protocol(&self) -> Result<Protocol, String> {
        match self.of_exporter("PROTOCOL") {
            None => Ok(Protocol::Http),
            Some((protocol, variable)) => match protocol.as_str() {
                "http/protobuf" => Ok(Protocol::Http),
                "grpc" => Ok(Protocol::Grpc),
                other => Err(format!(
                    "{variable}: `{other}` is neither http/protobuf nor grpc"
                )),
            },
        }
    }

    /// Checks the headers, because the exporter reads them itself and ignores what it does not understand. The error
    /// does not repeat them, as they may hold secrets.
    fn check_headers(&self) -> Result<(), String> {
        let Some((headers, variable)) = self.of_exporter("HEADERS") else {
            return Ok(());
        };
        for (number, pair) in headers.split(',').enumerate() {
            let named = pair.split_once('=').is_some_and(|(name, value)| {
                HeaderName::from_str(name.trim()).is_ok()
                    && HeaderValue::from_str(value.trim()).is_ok()
            });
            if !named && !pair.trim().is_empty() {
                let number = number + 1;
                return Err(format!(
                    "{variable}: part {number} is no header; write name=value, divided by commas"
                ));
            }
        }
        Ok(())
    }

    fn check_compression(&self) -> Result<(), String> {
        match self.of_exporter("COMPRESSION") {
            Some((other, variable)) if other != "gzip" && other != "none" => {
                Err(format!("{variable}: `{other}` is neither gzip nor none"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a certificate for this program, as a receiver that asks for one would take nothing without it.
    fn check_client(&self) -> Result<(), String> {
        let mut names = ["CLIENT_CERTIFICATE", "CLIENT_KEY"].into_iter();
        match names.find_map(|name| self.of_exporter(name)) {
            None => Ok(()),
            Some((_, variable)) => Err(format!(
                "{variable}: no certificate is shown to receivers; send to a collector that asks for none"
            )),
        }
    }

    /// Refuses propagators that are not understood, as traces would break off here. Baggage is not read, and goes on as
    /// every other header does.
    fn check_propagators(&self) -> Result<(), String> {
        let Some(value) = self.get("OTEL_PROPAGATORS") else {
            return Ok(());
        };
        let names: Vec<&str> = value.split(',').map(str::trim).collect();
        let is_known = |name: &&str| ["tracecontext", "baggage", ""].contains(name);
        if names.contains(&"tracecontext") && names.iter().all(is_known) {
            return Ok(());
        }
        Err(format!(
            "OTEL_PROPAGATORS: `{value}` is not supported; write tracecontext, or tracecontext,baggage"
        ))
    }

    /// A line about each variable that is set and has no effect.
    fn without_effect(&self) -> Vec<String> {
        let insecure = self.of_exporter("INSECURE");
        let insecure = insecure.map(|(_, variable)| {
            format!("{variable} has no effect: the endpoint says `http` or `https`")
        });
        let limits = SPAN_LIMITS
            .iter()
            .filter(|name| self.get(name).is_some())
            .map(|name| format!("{name} has no effect: spans have limits of their own"));
        insecure.into_iter().chain(limits).collect()
    }

    fn batch(&self) -> Result<Batch, String> {
        let number = |name: &str, usual: usize| match self.get(name) {
            None => Ok(usual),
            Some(text) => match text.parse() {
                Ok(number) if (1..=1_000_000).contains(&number) => Ok(number),
                _ => Err(format!("{name}: `{text}` is no number from 1 to 1000000")),
            },
        };
        let time = |name: &str, usual: u64| match self.get(name) {
            None => Ok(Duration::from_millis(usual)),
            Some(text) => milliseconds(name, &text),
        };
        let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048)?;
        Ok(Batch {
            queue,
            size: number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)?.min(queue),
            delay: time("OTEL_BSP_SCHEDULE_DELAY", 5_000)?,
            timeout: time("OTEL_BSP_EXPORT_TIMEOUT", 30_000)?,
        })
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let is_address = endpoint.parse::<Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some()
    });
    // The error does not repeat the address, as it may contain a password.
    is_address
        .then_some(())
        .ok_or_else(|| "it is no address; write for example http://127.0.0.1:4318".into())
}

fn milliseconds(name: &str, text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(number @ 1..=3_600_000) => Ok(Duration::from_millis(number)),
        _ => Err(format!(
            "{name}: `{text}` is no number of milliseconds from 1 to 3600000"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, String> {
        Environment::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    #[test]
    fn without_an_endpoint_nothing_is_sent() {
        for variables in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")],
            &[("OTEL_TRACES_EXPORTER", "none"), ENDPOINT],
        ] {
            let environment = read(variables).expect("valid");
            assert_eq!(environment.destination, None, "{variables:?}");
        }
    }

    #[test]
    fn the_specification_s_defaults_are_ours() {
        let environment = read(&[ENDPOINT]).expect("valid");
        assert!(!environment.is_disabled);
        assert_eq!(environment.sampler, Sampler::USUAL);
        let destination = environment.destination.expect("an endpoint");
        assert_eq!(destination.protocol, Protocol::Http);
        assert_eq!(destination.timeout, Duration::from_secs(10));
        let usual = Batch {
            queue: 2048,
            size: 512,
            delay: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
        };
        assert_eq!(destination.batch, usual);
    }

    #[test]
    fn what_is_said_of_traces_goes_before_what_is_said_of_all() {
        let environment = read(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces/x"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_SDK_DISABLED", "TRUE"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ]);
        let environment = environment.expect("valid");
        assert!(environment.is_disabled);
        let destination = environment.destination.expect("an endpoint");
        assert_eq!(destination.endpoint, "https://traces/x");
        assert_eq!(destination.protocol, Protocol::Grpc);
        assert_eq!(destination.batch.size, 10);
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let limit = ("OTEL_SPAN_LINK_COUNT_LIMIT", "10");
        let insecure = ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "true");
        let usual = ("OTEL_PROPAGATORS", "tracecontext, baggage");
        let said = |variables: &[(&str, &str)]| read(variables).expect("valid").without_effect;
        let lines = said(&[ENDPOINT, limit, insecure, usual]);
        assert_eq!(lines.len(), 2, "{lines:?}");
        for (line, (name, _)) in lines.iter().zip([insecure, limit]) {
            assert!(line.starts_with(&format!("{name} has no effect")), "{line}");
        }
        assert_eq!(said(&[ENDPOINT, usual]), [""; 0]);
        // Nothing is sent.
        assert_eq!(said(&[limit, insecure]), [""; 0]);
    }

    #[test]
    fn propagators_matter_only_where_traces_are_sent() {
        let propagators = ("OTEL_PROPAGATORS", "b3");
        read(&[propagators]).expect("nothing is sent");
        read(&[propagators, ENDPOINT, ("OTEL_SDK_DISABLED", "true")]).expect("tracing is off");
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (name, value) in [
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "file:///x"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,secret"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "key.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "a.pem"),
            ("OTEL_PROPAGATORS", "b3"),
            ("OTEL_PROPAGATORS", "tracecontext,b3"),
            ("OTEL_PROPAGATORS", "baggage"),
            ("OTEL_PROPAGATORS", "none"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ] {
            let reason = read(&[ENDPOINT, (name, value)]).expect_err(name);
            assert!(reason.starts_with(name), "{reason}");
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
