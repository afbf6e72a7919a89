//! The last lines of the audit log and the last warnings, in memory of constant size, for whoever looks at the console.
//!
//! What components write is left out: only they know whose data it is.

use std::collections::VecDeque;
use std::fmt;
use std::sync::LazyLock;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::logging::AUDIT;

/// Most lines of each kind.
const MOST: usize = 200;

/// Most bytes of a message or a field; the rest is cut off.
const LONGEST: usize = 500;

/// What components write.
const GUEST: &str = "guest";

/// The lines of this process, which has one log.
static LINES: LazyLock<Mutex<Lines>> = LazyLock::new(Mutex::default);

/// Lines by their time, the newest first.
#[derive(Debug, Default, Serialize)]
struct Lines {
    audit: VecDeque<Line>,
    warnings: VecDeque<Line>,
}

/// One line of the log.
#[derive(Clone, Debug, Serialize)]
struct Line {
    /// RFC 3339, UTC.
    at: String,
    level: &'static str,
    target: String,
    message: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
    /// How often it came in a row.
    times: u32,
}

/// The lines as `GET /events` shows them.
#[must_use]
pub fn json() -> Value {
    serde_json::to_value(&*LINES.lock()).unwrap_or_default()
}

/// The part of the log that keeps lines here, of those that its filter lets through.
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
        let mut lines = LINES.lock();
        if line.target == AUDIT {
            keep(&mut lines.audit, line);
        } else {
            keep(&mut lines.warnings, line);
        }
    }
}

fn keep(lines: &mut VecDeque<Line>, line: Line) {
    match lines.front_mut() {
        // A warning for each request must not push the others out.
        Some(last) if last.is_like(&line) => {
            last.at = line.at;
            last.times += 1;
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
        }
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.level, &self.target, &self.message, &self.fields)
            == (other.level, &other.target, &other.message, &other.fields)
    }

    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), &value) {
            ("message", Value::String(text)) => self.message.clone_from(text),
            // What crates say by way of `log` has its own fields for it.
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

    #[test]
    fn the_same_line_again_is_counted() {
        let line = || Line {
            at: String::new(),
            level: "warn",
            target: "t".into(),
            message: "m".into(),
            fields: Map::new(),
            times: 1,
        };
        let mut lines = VecDeque::new();
        for _ in 0..3 {
            keep(&mut lines, line());
        }
        assert_eq!((lines.len(), lines[0].times), (1, 3));
    }
}
