//! The trace of a request that is over.

use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use opentelemetry::trace::{SpanId, TraceId};
use serde_json::{Map, Value as Json, json};

use super::description::Value;
use super::record::{Kind, Record};

/// Why a trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepReason {
    /// The trace is in the sample, and its request was neither slow nor failed.
    Sampled,
    /// The request was slow.
    Slow,
    /// The request failed.
    Failed,
}

/// All spans of one request in this process. The root comes first, the others in the order in which they began.
#[derive(Debug)]
pub struct FinishedTrace {
    pub(super) trace: TraceId,
    pub(super) is_sampled: bool,
    pub(super) has_caller: bool,
    pub(super) state: Option<HeaderValue>,
    pub(super) why: KeepReason,
    pub(super) began: Instant,
    pub(super) began_at: SystemTime,
    #[expect(
        clippy::vec_box,
        reason = "boxed while they were open, and moved as they are"
    )]
    pub(super) spans: Vec<Box<Record>>,
    pub(super) left_out: u32,
}

impl FinishedTrace {
    /// How long the request took.
    pub(super) fn took(&self) -> Duration {
        let root = self.spans.first();
        root.map_or(Duration::ZERO, |root| root.ended - root.began)
    }

    /// Bytes of memory that the trace takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        let spans = self.spans.iter();
        spans.map(|span| size_of::<Record>() + span.bytes()).sum()
    }

    /// The time of day at the moment `at`. It is counted from the time at the trace's beginning, as the clock may be
    /// set meanwhile.
    pub(super) fn time_of(&self, at: Instant) -> SystemTime {
        self.began_at + at.saturating_duration_since(self.began)
    }

    /// The trace in the form that `GET /traces` answers.
    pub(super) fn json(&self) -> Json {
        let root = self.spans.first();
        let of_root = |name| root.and_then(|root| root.attribute(name)).map(json_of);
        let spans: Vec<_> = self.spans.iter().map(|span| self.span_json(span)).collect();
        let mut json = json!({
            "trace_id": self.trace.to_string(),
            "started": humantime::format_rfc3339_micros(self.began_at).to_string(),
            "duration_ms": self.took().as_micros() as f64 / 1000.0,
            "name": root.map(|root| root.full_name()),
            "method": of_root("http.request.method"),
            "status": of_root("http.response.status_code"),
            "why": if self.why == KeepReason::Failed { "failed" } else { "slow" },
            "spans_left_out": self.left_out,
            "spans": spans,
        });
        // Only hosts have routes.
        if let Some(route) = of_root("http.route") {
            json["route"] = route;
        }
        json
    }

    fn span_json(&self, span: &Record) -> Json {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let attributes: Map<_, _> = span
            .attributes()
            .map(|(name, value)| ((*name).to_owned(), json_of(value)))
            .collect();
        let parent = (span.parent != SpanId::INVALID).then(|| span.parent.to_string());
        let kind = match span.kind {
            Kind::Server => "server",
            Kind::Client => "client",
            Kind::Internal => "internal",
        };
        let mut json = json!({
            "span_id": span.id.to_string(),
            "parent_id": parent,
            "name": span.full_name(),
            "kind": kind,
            "start_us": micros(span.began.saturating_duration_since(self.began)),
            "duration_us": micros(span.ended - span.began),
            "attributes": attributes,
        });
        if let Some(error) = &span.error {
            json["error"] = Json::from(&**error);
        }
        if !span.links.is_empty() {
            let links = span.links.iter().map(|other| {
                json!({ "trace_id": other.trace.to_string(), "span_id": other.span.to_string() })
            });
            json["links"] = links.collect();
        }
        json
    }
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Number(number) => (*number).into(),
        Value::Bool(is_so) => (*is_so).into(),
        text => text.as_str().into(),
    }
}

impl Record {
    /// The span's name, followed by its target, if it has one.
    pub(super) fn full_name(&self) -> String {
        let target = self.target.as_ref().or(self.shared.get().target.as_ref());
        match target.and_then(Value::as_str) {
            Some(target) => format!("{} {target}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The span's own attributes and those that it shares with others.
    pub(super) fn attributes(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.shared.get().attributes.iter().chain(&self.attributes)
    }

    fn attribute(&self, name: &str) -> Option<&Value> {
        let found = self.attributes().find(|(known, _)| *known == name);
        found.map(|(_, value)| value)
    }

    fn bytes(&self) -> usize {
        let values = self.attributes.iter();
        let texts = values.map(|(_, value)| value.as_str().map_or(0, str::len));
        let each = size_of::<(&str, Value)>();
        texts.map(|text| text + each).sum::<usize>() + self.error.as_ref().map_or(0, |e| e.len())
    }
}
