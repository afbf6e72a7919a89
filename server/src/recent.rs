//! The last lines of the audit log and the last warnings, for the console. They take a limited amount of memory.
//!
//! Lines of components are left out, as only the components know whose data is in them.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The target of the audit log. No filter hides its lines, and none of them is dropped.
pub const AUDIT: &str = "audit";

/// Most lines in each list.
const MOST: usize = 200;

/// Most bytes of a message or a field; longer text is cut off.
const LONGEST: usize = 500;

/// The log target of components.
const GUEST: &str = "guest";

/// Fields that name one request. The same trouble meets many requests.
const OF_ONE_REQUEST: [&str; 3] = ["request", "trace_id", "span_id"];

/// The lines of this process.
static LINES: LazyLock<Mutex<Lines>> = LazyLock::new(Mutex::default);

/// Lines in the order of their time, newest first.
#[derive(Debug, Default)]
struct Lines {
    /// Audit lines of changes that were made.
    changes: VecDeque<Line>,
    /// Audit lines of changes that were refused or failed. They have a list of their own, as anybody can ask for a
    /// change, and must not push out the lines of changes that were made.
    refusals: VecDeque<Line>,
    warnings: VecDeque<Line>,
    /// How many lines were logged in all.
    count: u64,
}

/// One line of the log.
#[derive(Clone, Debug, Serialize)]
struct Line {
    /// Time of the line: RFC 3339, UTC.
    at: String,
    level: &'static str,
    target: String,
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
    /// How often the line came in a row.
    times: u32,
    /// Position among all lines, as several lines may have the same time.
    #[serde(skip)]
    number: u64,
}

/// The lines in the form that `GET /events` answers.
#[must_use]
pub fn json() -> Value {
    LINES.lock().json()
}

/// The layer of the log that keeps the lines that its filter lets through.
pub(crate) fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Recent
}

struct Recent;

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let about = event.metadata();
        let is_warning = *about.level() <= Level::WARN && about.target() != GUEST;
        if !is_warning && about.target() != AUDIT {
            return;
        }
        let mut line = Line::of(event);
        event.record(&mut line);
        LINES.lock().keep(line, is_warning);
    }
}

impl Lines {
    fn keep(&mut self, mut line: Line, is_warning: bool) {
        line.number = self.count;
        self.count += 1;
        match (line.target == AUDIT, is_warning) {
            (true, false) => keep(&mut self.changes, line),
            (true, true) => keep(&mut self.refusals, line),
            (false, _) => keep(&mut self.warnings, line),
        }
    }

    fn json(&self) -> Value {
        let mut audit: Vec<&Line> = self.changes.iter().chain(&self.refusals).collect();
        audit.sort_by_key(|line| Reverse(line.number));
        json!({ "audit": audit, "warnings": self.warnings })
    }
}

fn keep(lines: &mut VecDeque<Line>, line: Line) {
    match lines.front_mut() {
        // A warning that is repeated for each request must not push out other lines.
        Some(last) if last.is_like(&line) => {
            *last = Line {
                times: last.times + 1,
                ..line
            };
        }
        _ => lines.push_front(line),
    }
    lines.truncate(MOST);
}

impl Line {
    fn of(event: &Event<'_>) -> Self {
        let about = event.metadata();
        Self {
            at: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            level: match *about.level() {
                Level::ERROR => "error",
                Level::WARN => "warn",
                _ => "info",
            },
            target: about.target().to_owned(),
            message: String::new(),
            fields: Map::new(),
            times: 1,
            number: 0,
        }
    }

    /// Whether both lines have the same content. They may be about different requests, and ports of peers may differ,
    /// as each new connection has another port.
    fn is_like(&self, other: &Self) -> bool {
        let is_same = |(name, value): (&String, &Value)| {
            let other = other.fields.get(name);
            other.is_some_and(|other| {
                other == value || name == "peer" && is_same_machine(value, other)
            })
        };
        (self.level, &self.target, &self.message) == (other.level, &other.target, &other.message)
            && self.content().count() == other.content().count()
            && self.content().all(is_same)
    }

    /// The fields that don't depend on the request.
    fn content(&self) -> impl Iterator<Item = (&String, &Value)> {
        let fields = self.fields.iter();
        fields.filter(|(name, _)| !OF_ONE_REQUEST.contains(&name.as_str()))
    }

    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), &value) {
            ("message", Value::String(text)) => self.message.clone_from(text),
            // Lines that crates write through `log` have the real target in a field.
            ("log.target", Value::String(text)) => self.target.clone_from(text),
            ("log.file" | "log.line" | "log.module_path", _) => {}
            (name, _) => {
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, cut(value.to_owned()).into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, cut(format!("{value:?}")).into());
    }
}

fn is_same_machine(one: &Value, other: &Value) -> bool {
    let address = |value: &Value| value.as_str()?.parse().ok().map(|at: SocketAddr| at.ip());
    address(one).is_some_and(|one| Some(one) == address(other))
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn audit_and_warnings_are_kept_apart_and_are_few() {
        let subscriber = tracing_subscriber::registry().with(layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("nobody asks for this");
            tracing::warn!(target: GUEST, "a component's own words");
            tracing::info!(target: AUDIT, peer = "unix", action = "swap", "swapped");
            tracing::warn!(upstream = "a:1", "Left out");
            tracing::warn!(upstream = "a:1", "Left out");
            for number in 0..MOST + 50 {
                tracing::error!(number, text = "x".repeat(2 * LONGEST), "failed");
            }
        });
        let shown = json();
        let audit = &shown["audit"];
        assert_eq!(audit.as_array().map(Vec::len), Some(1), "{audit}");
        assert_eq!(audit[0]["message"], "swapped");
        assert_eq!(audit[0]["fields"]["action"], "swap");
        let warnings = shown["warnings"].as_array().expect("a list");
        assert_eq!(warnings.len(), MOST);
        assert_eq!(warnings[0]["fields"]["number"], MOST as u64 + 49);
        let text = warnings[0]["fields"]["text"].as_str().expect("a text");
        assert!(text.len() < LONGEST + 5);
    }

    fn line(message: &str, level: &'static str, peer: &str) -> Line {
        let fields = [("peer".to_owned(), peer.into())];
        Line {
            at: String::new(),
            level,
            target: AUDIT.into(),
            message: message.into(),
            fields: fields.into_iter().collect(),
            times: 1,
            number: 0,
        }
    }

    #[test]
    fn the_same_line_again_is_counted_from_whatever_port() {
        let mut lines = VecDeque::new();
        for port in 1..4 {
            keep(&mut lines, line("m", "warn", &format!("[fd00::1]:{port}")));
        }
        assert_eq!((lines.len(), lines[0].times), (1, 3));
        assert_eq!(lines[0].fields["peer"], "[fd00::1]:3");
        keep(&mut lines, line("m", "warn", "[fd00::2]:3"));
        keep(&mut lines, line("m", "warn", "unix"));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn the_same_trouble_of_other_requests_is_counted() {
        let mut lines = VecDeque::new();
        for trace in ["1", "2", "3"] {
            let mut trouble = line("m", "warn", "unix");
            trouble.fields.insert("trace_id".into(), trace.into());
            keep(&mut lines, trouble);
        }
        keep(&mut lines, line("m", "warn", "unix"));
        assert_eq!((lines.len(), lines[0].times), (1, 4));
        let mut other = line("m", "warn", "unix");
        other.fields.insert("component".into(), "orders".into());
        keep(&mut lines, other);
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn refused_attempts_push_out_no_change() {
        let mut lines = Lines::default();
        lines.keep(line("swapped", "info", "unix"), false);
        for number in 0..2 * MOST {
            let peer = format!("10.0.0.{}:1", number % 200);
            lines.keep(line("no token", "warn", &peer), true);
        }
        lines.keep(line("rolled back", "info", "unix"), false);
        let audit = &lines.json()["audit"];
        assert_eq!(audit.as_array().map(Vec::len), Some(MOST + 2));
        assert_eq!(audit[0]["message"], "rolled back");
        assert_eq!(audit[1]["message"], "no token");
        assert_eq!(audit[MOST + 1]["message"], "swapped");
    }
}
