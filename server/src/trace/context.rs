//! The trace that a request belongs to, as its headers say by W3C Trace Context, level 1
//! (<https://www.w3.org/TR/trace-context-1/>).

use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanId, TraceId, TraceState};

/// Carries the trace and the span in which a request was made.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Carries data that tracing systems on the way store for themselves.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length in bytes of a `traceparent` of version 00.
const TRACEPARENT_LENGTH: usize = 55;

/// Most bytes of a `tracestate` that is passed on; at least as many should be (section 3.3.1.5).
const LONGEST_STATE: usize = 512;

/// The span in another program in which a request was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) is_sampled: bool,
    pub(super) state: Option<HeaderValue>,
}

impl Caller {
    /// The caller that a request's headers name; `None` if there is none, or if `traceparent` is malformed or present
    /// more than once.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let (Some(parent), None) = (given.next(), given.next()) else {
            return None;
        };
        let (trace, span, flags) = parse(parent.as_bytes())?;
        Some(Self {
            trace,
            span,
            is_sampled: flags & 1 == 1,
            state: state(headers),
        })
    }
}

/// One span of one trace, for a log line or a header. Its text form is that of a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether the trace is in the sample. If so, it is sent even if the request is neither slow nor failed.
    pub is_sampled: bool,
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            trace,
            span,
            is_sampled,
        } = self;
        write!(f, "00-{trace}-{span}-{:02x}", u8::from(*is_sampled))
    }
}

/// The value of a `traceparent` that names this span.
#[must_use]
pub fn traceparent(ids: Ids) -> HeaderValue {
    HeaderValue::from_bytes(&traceparent_text(ids)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// As [`traceparent`], for callers that write the text into a message themselves.
#[must_use]
pub fn traceparent_text(ids: Ids) -> [u8; TRACEPARENT_LENGTH] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    put_hex(&mut text[3..35], &ids.trace.to_bytes());
    put_hex(&mut text[36..52], &ids.span.to_bytes());
    put_hex(&mut text[53..], &[u8::from(ids.is_sampled)]);
    text
}

fn put_hex(text: &mut [u8], bytes: &[u8]) {
    for (pair, &byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
}

/// The hexadecimal digit of a number below 16. It is computed, as compilers do that for many digits at once.
fn digit(number: u8) -> u8 {
    let beyond_nine = u8::from(number > 9);
    b'0' + number + beyond_nine * (b'a' - b'0' - 10)
}

/// Parses a `traceparent`. A later version may have more after the known part (section 4.3).
fn parse(value: &[u8]) -> Option<(TraceId, SpanId, u8)> {
    let (known, rest) = value.split_at_checked(TRACEPARENT_LENGTH)?;
    let version = hex(&known[..2])?;
    let is_ours = version == 0 && rest.is_empty();
    let is_later = version > 0 && version < 0xff && (rest.is_empty() || rest[0] == b'-');
    let is_divided = [2, 35, 52].iter().all(|&at| known[at] == b'-');
    if !is_divided || !(is_ours || is_later) {
        return None;
    }
    let trace = TraceId::from(hex(&known[3..35])?);
    let span = SpanId::from(u64::try_from(hex(&known[36..52])?).ok()?);
    let flags = u8::try_from(hex(&known[53..])?).ok()?;
    (trace != TraceId::INVALID && span != SpanId::INVALID).then_some((trace, span, flags))
}

/// Reads up to 32 hexadecimal digits, with letters in lower case.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(digit))
    })
}

/// All `tracestate` lines as one; `None` if they are malformed or too long.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut joined = String::new();
    for line in headers.get_all(TRACESTATE) {
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(line.to_str().ok()?);
    }
    let is_short = !joined.is_empty() && joined.len() <= LONGEST_STATE;
    let is_valid = is_short && TraceState::from_str(&joined).is_ok();
    is_valid.then(|| HeaderValue::try_from(joined).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).expect("a value");
            (HeaderName::from_static(name), value)
        });
        let mut headers = HeaderMap::new();
        lines.for_each(|(name, value)| _ = headers.append(name, value));
        headers
    }

    #[test]
    fn a_parent_is_written_as_it_was_read() {
        for parent in [PARENT, &PARENT.replace("-01", "-00")] {
            let caller = Caller::of(&headers(&[("traceparent", parent)])).expect("well formed");
            assert_eq!(caller.is_sampled, parent.ends_with('1'));
            let ids = Ids {
                trace: caller.trace,
                span: caller.span,
                is_sampled: caller.is_sampled,
            };
            assert_eq!(traceparent(ids), *parent);
            assert_eq!(ids.to_string(), *parent);
        }
    }

    #[test]
    fn flags_and_versions_of_later_days_are_understood_as_far_as_they_are_known() {
        for (parent, is_sampled) in [
            (PARENT.replace("-01", "-03"), true),
            (PARENT.replace("-01", "-fe"), false),
            (PARENT.replacen("00", "cc", 1), true),
            (PARENT.replacen("00", "cc", 1) + "-what-will-be", true),
        ] {
            let caller = Caller::of(&headers(&[("traceparent", &parent)])).expect(&parent);
            assert_eq!(caller.is_sampled, is_sampled, "{parent}");
        }
    }

    #[test]
    fn what_is_no_parent_is_none() {
        for parent in [
            String::new(),
            PARENT[..54].to_owned(),
            PARENT.to_owned() + "-x",
            PARENT.to_owned() + ".",
            PARENT.replacen("00", "ff", 1),
            PARENT.replacen("00", "cc", 1) + ".x",
            PARENT.replace('a', "A"),
            PARENT.replace("b7ad", "b7-d"),
            PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            PARENT.replace("-01", "_01"),
        ] {
            let found = Caller::of(&headers(&[("traceparent", &parent)]));
            assert_eq!(found, None, "{parent}");
        }
        let twice = headers(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_eq!(Caller::of(&twice), None);
    }

    #[test]
    fn a_state_is_taken_over_if_it_is_one() {
        let state = |lines: &[&str]| {
            let mut all = vec![("traceparent", PARENT)];
            all.extend(lines.iter().map(|line| ("tracestate", *line)));
            let caller = Caller::of(&headers(&all)).expect("well formed");
            caller
                .state
                .map(|state| state.to_str().expect("text").to_owned())
        };
        let joined = state(&["a=1,b=2", "c@d=3"]);
        assert_eq!(joined.as_deref(), Some("a=1,b=2,c@d=3"));
        for bad in ["", "a", "A=1", &format!("a={}", "x".repeat(511))] {
            assert_eq!(state(&[bad]), None, "{bad}");
        }
        assert_eq!(state(&[]), None);
    }
}
