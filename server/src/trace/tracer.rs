//! Decides what happens to finished traces; `root` begins them.

mod root;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value as Json;

use super::context::Ids;
use super::export::{Exporter, SpanCounters};
use super::finished_trace::{FinishedTrace, KeepReason};
use super::sampler::Sampler;
use super::settings::{Accept, AnswerHeader, Environment, Settings};
use super::tail::Tail;
use crate::PerSecond;

/// Names the trace of an answer (<https://www.w3.org/TR/trace-context-2/>, which is a draft).
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Most traces of failed requests per second, and as many of slow ones, that are sent although they are not in the
/// sample. If everything fails, they are all similar.
const BEYOND_THE_SAMPLE_PER_SECOND: u32 = 100;

/// How long sending the last traces may take when the program ends.
const LAST_LIMIT: Duration = Duration::from_secs(3);

/// A program's tracing. It is empty if the program does not trace.
///
/// A program starts it once and has it to its end, so it is never freed: all processors would have to count together
/// how many requests use it.
#[derive(Clone, Debug, Default)]
pub struct Tracing(Option<&'static Tracer>);

#[derive(Debug)]
pub(super) struct Tracer {
    sampler: Sampler,
    accept: Accept,
    answer: AnswerHeader,
    slow: Duration,
    tail: Tail,
    exporter: Option<Exporter>,
    /// These limit the failed and the slow traces that are sent and not in the sample. They are two, so that slow
    /// requests leave room for failed ones.
    failed_beyond: PerSecond,
    slow_beyond: PerSecond,
}

/// What becomes of a trace that is not thrown away.
pub(super) struct Judgement {
    pub(super) why: KeepReason,
    /// Whether the trace is sent, if there is a receiver.
    pub(super) is_sent: bool,
}

impl Tracing {
    /// Starts tracing for `program`, if the environment or the settings ask for it.
    ///
    /// # Errors
    /// An environment variable is invalid. The error names it, and says what to write instead.
    pub fn start(
        settings: &Settings,
        program: &'static str,
        counters: SpanCounters,
    ) -> Result<Self, String> {
        let environment = Environment::read(|name| {
            let value = std::env::var_os(name)?;
            Some(value.to_string_lossy().into_owned())
        })?;
        Self::with(environment, settings, program, counters)
    }

    fn with(
        environment: Environment,
        settings: &Settings,
        program: &'static str,
        counters: SpanCounters,
    ) -> Result<Self, String> {
        if environment.is_disabled || (environment.destination.is_none() && !settings.tail) {
            return Ok(Self(None));
        }
        for line in &environment.without_effect {
            tracing::warn!("{line}");
        }
        let exporter = environment.destination.map(|destination| {
            let address = destination.endpoint.clone();
            Exporter::start(destination, program, counters)
                .map_err(|reason| format!("traces to {}: {reason}", without_user(&address)))
        });
        let tracer = Tracer {
            sampler: environment.sampler,
            accept: settings.accept,
            answer: settings.answer,
            slow: settings.slow,
            tail: Tail::default(),
            exporter: exporter.transpose()?,
            failed_beyond: PerSecond::new(BEYOND_THE_SAMPLE_PER_SECOND),
            slow_beyond: PerSecond::new(BEYOND_THE_SAMPLE_PER_SECOND),
        };
        Ok(Self(Some(Box::leak(Box::new(tracer)))))
    }

    /// Whether the program traces.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The header that names the trace in the answer to a request with this root; `None` if answers don't name traces.
    #[must_use]
    pub fn answer_line(&self, root: Option<Ids>) -> Option<(HeaderName, HeaderValue)> {
        let (tracer, ids) = (self.0?, root?);
        match tracer.answer {
            AnswerHeader::None => None,
            AnswerHeader::Traceresponse => Some((TRACERESPONSE, super::traceparent(ids))),
            AnswerHeader::ServerTiming => {
                let value = HeaderValue::try_from(format!("traceparent;desc=\"{ids}\""));
                value.ok().map(|value| (SERVER_TIMING, value))
            }
        }
    }

    /// Adds that header to those of an answer.
    pub fn put_answer_line(&self, root: Option<Ids>, headers: &mut HeaderMap) {
        let Some((name, value)) = self.answer_line(root) else {
            return;
        };
        if name == SERVER_TIMING {
            // The answer may already have a `Server-Timing` of its own.
            headers.append(name, value);
        } else {
            headers.insert(name, value);
        }
    }

    /// The slowest and the failed requests of the last minutes, or the kept ones of one `trace`, the newest first: the
    /// body of `GET /traces`.
    #[must_use]
    pub fn tail(&self, trace: Option<&str>) -> Json {
        match self.0 {
            Some(tracer) => tracer.tail.json(Instant::now(), trace),
            None => Json::Array(Vec::new()),
        }
    }

    /// Sends the traces that wait, as far as there is time, when the program ends. Traces that finish later are lost.
    pub async fn finish(&self) {
        if let Some(exporter) = self.0.and_then(|tracer| tracer.exporter.as_ref()) {
            exporter.finish(LAST_LIMIT).await;
        }
    }
}

impl Tracer {
    /// Whether a trace with such a span may be kept, as far as that is known before its end.
    pub(super) fn may_keep(&self, is_sampled: bool, took: Duration, has_failed: bool) -> bool {
        has_failed || took >= self.slow || (is_sampled && self.exporter.is_some())
    }

    /// What becomes of a trace; `None` if it is thrown away. Beyond the sample, a limited number of slow and failed
    /// ones is sent, whichever come first; of the others, only the slowest are worth their work.
    pub(super) fn judge(
        &self,
        is_sampled: bool,
        took: Duration,
        has_failed: bool,
    ) -> Option<Judgement> {
        let (why, beyond) = if has_failed {
            (KeepReason::Failed, &self.failed_beyond)
        } else if took >= self.slow {
            (KeepReason::Slow, &self.slow_beyond)
        } else {
            let (why, is_sent) = (KeepReason::Sampled, is_sampled && self.exporter.is_some());
            return is_sent.then_some(Judgement { why, is_sent });
        };
        let is_sent = is_sampled || beyond.may_pass();
        let is_slow = matches!(why, KeepReason::Slow);
        let is_kept = is_sent || (is_slow && self.tail.has_room_for(took));
        is_kept.then_some(Judgement { why, is_sent })
    }

    /// Keeps a trace, and sends it if it is to be sent. Returns whether it can be found anywhere afterwards.
    pub(super) fn hand_on(&self, tree: FinishedTrace, is_sent: bool) -> bool {
        let tree = Arc::new(tree);
        let is_kept = self.tail.keep(tree.clone(), Instant::now());
        let exporter = self.exporter.as_ref().filter(|_| is_sent);
        let is_sent = exporter.is_some_and(|exporter| exporter.push(tree));
        is_kept || is_sent
    }
}

/// An address without user name and password, so that it may be shown.
fn without_user(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use http::{Method, Version};
    use prometheus::Registry;
    use serde_json::Map;

    use super::super::spare;
    use super::*;
    use crate::metrics::{Declare, Format, render};
    use crate::trace::{
        Description, Kind, SharedDescription, Span, Trace, http_version, known_method,
        method_in_name,
    };

    /// A program's tracing that sends nothing.
    fn tracing(slow: Duration) -> Tracing {
        let settings = Settings {
            accept: Accept::Trusted,
            answer: AnswerHeader::ServerTiming,
            slow,
            tail: true,
        };
        let registry = Registry::new();
        let counters = SpanCounters::declare(&Declare::new(&registry), "spans_total");
        let environment = Environment::read(|_| None).expect("there is nothing wrong in it");
        let counters = counters.expect("a metric");
        Tracing::with(environment, &settings, "test", counters).expect("starts")
    }

    fn kept(tracing: &Tracing) -> Vec<Json> {
        let Json::Array(trees) = tracing.tail(None) else {
            panic!("no list")
        };
        trees
    }

    const NEVER: Duration = Duration::from_secs(3600);

    #[test]
    fn a_tree_is_finished_when_nobody_is_in_it_any_more() {
        let tracing = tracing(Duration::ZERO);
        let mut root = tracing.request("GET", Instant::now(), &HeaderMap::new(), false);
        root.set("http.route", "/orders");
        root.about("/orders");
        let trace = root.inside().clone();
        let weak = trace.downgrade();
        let mut statement = trace.span("SELECT", Kind::Client);
        statement.set("db.response.returned_rows", 3_usize);
        statement.fail("1213");
        drop(root);
        assert!(weak.upgrade().is_on());
        let ids = trace.ids();
        drop((trace, statement));
        assert!(!weak.upgrade().is_on());
        assert!(ids.is_some() && weak.ids() == ids);

        let trees = kept(&tracing);
        let [root, statement] = trees[0]["spans"].as_array().expect("spans").as_slice() else {
            panic!("{trees:?}")
        };
        assert_eq!(trees[0]["name"], "GET /orders");
        assert_eq!(trees[0]["route"], "/orders");
        assert_eq!(root["parent_id"], Json::Null);
        assert_eq!(statement["parent_id"], root["span_id"]);
        assert_eq!(statement["kind"], "client");
        assert_eq!(statement["error"], "1213");
        let rows = &statement["attributes"]["db.response.returned_rows"];
        assert_eq!(rows, 3);
    }

    #[test]
    fn a_method_that_nobody_knows_is_shown_as_it_came() {
        let tracing = tracing(Duration::ZERO);
        for (text, known, name, original) in [
            ("PATCH", "PATCH", "PATCH", Json::Null),
            ("CAT", "_OTHER", "HTTP", "CAT".into()),
        ] {
            let method = Method::from_bytes(text.as_bytes()).expect("a method");
            assert_eq!(known_method(&method), known);
            assert_eq!(method_in_name(known), name);
            let mut root = tracing.task(method_in_name(known));
            root.ask(known, &method, "https", http_version(Version::HTTP_2));
            drop(root);
            let tree = &kept(&tracing)[0];
            let attributes = &tree["spans"][0]["attributes"];
            assert_eq!(
                (&tree["name"], &tree["method"]),
                (&name.into(), &known.into())
            );
            assert_eq!(attributes["http.request.method_original"], original);
            assert_eq!(attributes["network.protocol.version"], "2");
            assert_eq!(attributes["url.scheme"], "https");
        }
    }

    #[test]
    fn a_description_is_made_at_once_only_of_a_long_text() {
        thread_local! {
            static MADE: Cell<u32> = const { Cell::new(0) };
        }
        fn describe(text: &str) -> Description {
            MADE.set(MADE.get() + 1);
            Description {
                target: Some("target".into()),
                attributes: vec![("words", text.split(' ').count().into())],
            }
        }
        let tracing = tracing(Duration::ZERO);
        for (text, made_at_once) in [("a b c", 0), (&*"x ".repeat(5000), 1)] {
            MADE.set(0);
            let root = tracing.task("root");
            let mut span = root.inside().span("span", Kind::Client);
            span.describe(text, describe);
            drop(span);
            assert_eq!(MADE.get(), made_at_once);
            drop(root);
            assert_eq!(MADE.get(), 1);
            let span = &kept(&tracing)[0]["spans"][1];
            assert_eq!(span["name"], "span target");
            assert_eq!(span["attributes"]["words"], text.split(' ').count());
        }
    }

    #[test]
    fn only_slow_and_failed_ones_are_kept() {
        let tracing = tracing(NEVER);
        let answered = |status| {
            let mut root = tracing.request("GET", Instant::now(), &HeaderMap::new(), false);
            root.answer(status);
        };
        answered(200);
        answered(404);
        assert_eq!(kept(&tracing).len(), 0);
        answered(503);
        let trees = kept(&tracing);
        assert_eq!(trees.len(), 1);
        assert_eq!(
            (&trees[0]["status"], &trees[0]["why"]),
            (&503.into(), &"failed".into())
        );
    }

    #[test]
    fn a_root_knows_before_its_end_whether_its_tree_may_be_kept() {
        const SLOW: Duration = Duration::from_secs(1);
        let tracing = tracing(SLOW);
        for (status, took, expected) in [
            (200, Duration::ZERO, false),
            (200, SLOW, true),
            (503, Duration::ZERO, true),
        ] {
            let mut root = tracing.request("GET", Instant::now(), &HeaderMap::new(), false);
            root.answer(status);
            assert_eq!(root.may_be_kept(took), expected, "{status} after {took:?}");
        }
        assert!(!Span::default().may_be_kept(Duration::MAX));
    }

    #[test]
    fn a_part_that_failed_keeps_the_whole() {
        let tracing = tracing(NEVER);
        let mut root = tracing.request("GET", Instant::now(), &HeaderMap::new(), false);
        root.inside().note_failure();
        root.answer(200);
        drop(root);
        let trees = kept(&tracing);
        assert_eq!((trees.len(), &trees[0]["why"]), (1, &"failed".into()));
        assert_eq!(trees[0]["spans"][0]["error"], Json::Null);
        Trace::off().note_failure();
    }

    #[test]
    fn histograms_name_those_that_are_kept() {
        let registry = Registry::new();
        let timings = Declare::new(&registry).timings("t", "of a test", &[1.0], &["of"]);
        let timings = timings.expect("a metric");
        let measured = |tracing: &Tracing, status| {
            let mut root = tracing.request("GET", Instant::now(), &HeaderMap::new(), false);
            root.answer(status);
            root.measure(&timings.of(&["x"]), Duration::from_millis(1));
            root.ids().map(|ids| ids.trace.to_string())
        };
        let named = |trace: Option<String>| {
            let text = render(&registry, &[&timings], Format::OpenMetrics).expect("renders");
            text.contains(&trace.expect("recorded"))
        };
        assert!(!named(measured(&tracing(NEVER), 200)));
        assert!(named(measured(&tracing(NEVER), 500)));
        assert!(named(measured(&tracing(Duration::ZERO), 200)));
        measured(&Tracing::default(), 200);
        let text = render(&registry, &[&timings], Format::Text).expect("renders");
        assert!(text.contains("t_count{of=\"x\"} 4"), "{text}");
    }

    #[test]
    fn a_span_that_follows_another_is_beside_it() {
        let tracing = tracing(Duration::ZERO);
        let root = tracing.task("root");
        let at = Instant::now() + Duration::from_secs(1);
        let wait = root.inside().span("wait", Kind::Internal);
        let mut run = wait.followed_by("run", Kind::Internal, at);
        let about = Description {
            target: Some("x".into()),
            attributes: Vec::new(),
        };
        run.share(&about.into());
        run.end_at(at + Duration::from_millis(5));
        drop(root);
        let tree = &kept(&tracing)[0];
        let [root, wait, run] = tree["spans"].as_array().expect("spans").as_slice() else {
            panic!("{tree}")
        };
        for (span, name) in [(wait, "wait"), (run, "run x")] {
            assert_eq!(span["name"], name);
            assert_eq!(span["parent_id"], root["span_id"]);
        }
        let number = |json: &Json| json.as_u64().expect("a number");
        let end = number(&wait["start_us"]) + number(&wait["duration_us"]);
        assert!(number(&run["start_us"]).abs_diff(end) <= 1, "{tree}");
        assert_eq!(run["duration_us"], 5000);
        let none = Span::default().followed_by("x", Kind::Internal, at);
        assert!(!none.is_on());
    }

    #[test]
    fn a_tree_takes_its_records_from_one_that_was_thrown_away() {
        let tracing = tracing(NEVER);
        let shared = SharedDescription::from(Description {
            target: Some("shared".into()),
            attributes: vec![("c", true.into())],
        });
        let request = || {
            let mut root = tracing.task("root");
            root.about("target");
            root.set("a", "b");
            drop(root.inside().span("span", Kind::Client));
            let other = root.inside().span("other", Kind::Client);
            let mut other = other.followed_by("next", Kind::Client, Instant::now());
            other.share(&shared);
            other.describe("text", |_| Description {
                target: Some("described".into()),
                attributes: vec![("d", 1_usize.into())],
            });
            other.fail("why");
        };
        let reuse = || {
            assert_eq!(spare::count(), 0);
            (0..10).for_each(|_| request());
            assert_eq!(spare::count(), 3);
            // This one is kept, as its root fails, with nothing of the others.
            let mut root = tracing.task("root");
            drop(root.inside().span("first", Kind::Client));
            drop(root.inside().span("second", Kind::Client));
            assert_eq!(spare::count(), 0);
            root.fail("");
        };
        // Records wait on the thread that has used them.
        let reused = std::thread::scope(|scope| scope.spawn(reuse).join());
        reused.expect("reused");
        let trees = kept(&tracing);
        assert_eq!(trees.len(), 1);
        let spans = trees[0]["spans"].as_array().expect("spans");
        let names: Vec<_> = spans.iter().map(|span| &span["name"]).collect();
        assert_eq!(names, ["root", "first", "second"]);
        for span in spans {
            assert_eq!(span["attributes"], Json::Object(Map::new()));
            assert_eq!(span["links"], Json::Null);
        }
        for span in &spans[1..] {
            assert_eq!(span["error"], Json::Null);
        }
    }

    #[test]
    fn requests_at_the_same_time_leave_all_their_records_to_the_next_ones() {
        const REQUESTS: usize = 16;
        let tracing = tracing(NEVER);
        let requests = || {
            let roots: Vec<_> = (0..REQUESTS).map(|_| tracing.task("root")).collect();
            for root in &roots {
                (0..3).for_each(|_| drop(root.inside().span("span", Kind::Client)));
            }
            assert_eq!(spare::count(), 0);
            drop(roots);
            assert_eq!(spare::count(), 4 * REQUESTS);
        };
        let reused = std::thread::scope(|scope| scope.spawn(requests).join());
        reused.expect("reused");
    }

    #[test]
    fn whom_is_not_trusted_begins_a_trace_of_its_own() {
        let tracing = tracing(Duration::ZERO);
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(parent));
        headers.insert("tracestate", HeaderValue::from_static("a=1"));
        let sent = |is_trusted| {
            let root = tracing.request("GET", Instant::now(), &headers, is_trusted);
            let mut onward = headers.clone();
            root.inside().downgrade().put(&mut onward);
            onward
        };
        let trusted = sent(true);
        let onward = trusted["traceparent"].to_str().expect("text");
        assert_eq!(onward[..36], parent[..36]);
        assert_ne!(onward[36..52], parent[36..52]);
        assert_eq!(onward[52..], parent[52..]);
        assert_eq!(trusted["tracestate"], "a=1");
        let stranger = sent(false);
        assert_ne!(
            stranger["traceparent"].to_str().expect("text")[..36],
            parent[..36]
        );
        assert!(!stranger.contains_key("tracestate"));
        let trees = kept(&tracing);
        assert_eq!(trees[1]["spans"][0]["parent_id"], parent[36..52]);
        let finished = {
            let root = tracing.request("GET", Instant::now(), &headers, true);
            root.inside().downgrade()
        };
        let mut late = headers.clone();
        finished.put(&mut late);
        assert_ne!(late["traceparent"], *parent);
        assert!(!late.contains_key("tracestate"));
    }

    #[test]
    fn links_are_of_the_span_they_were_made_in() {
        let tracing = tracing(Duration::ZERO);
        let (leader, member) = (tracing.task("leader"), tracing.task("member"));
        let run = leader.inside().span("run", Kind::Internal);
        run.inside().link(member.inside());
        drop((run, leader));
        let tree = &kept(&tracing)[0];
        let links = &tree["spans"][1]["links"];
        let ids = member.ids().expect("recorded");
        assert_eq!(links[0]["trace_id"], ids.trace.to_string());
        assert_eq!(links[0]["span_id"], ids.span.to_string());
    }

    /// Checks how many have passed since `began`.
    fn assert_limited(passed: usize, began: Instant) {
        let (passed, most) = (passed as u64, u64::from(BEYOND_THE_SAMPLE_PER_SECOND));
        let seconds = began.elapsed().as_secs() + 2;
        assert!((most..=most * seconds).contains(&passed), "{passed}");
    }

    #[test]
    fn when_all_fail_some_are_kept() {
        let tracing = tracing(NEVER);
        let tracer = tracing.0.expect("on");
        let began = Instant::now();
        let kept = (0..10_000).filter(|_| tracer.judge(false, Duration::ZERO, true).is_some());
        assert_limited(kept.count(), began);
    }

    #[test]
    fn when_all_are_slow_some_are_sent_and_the_slowest_and_failed_ones_are_kept() {
        let tracing = tracing(Duration::from_secs(1));
        let tracer = tracing.0.expect("on");
        let began = Instant::now();
        let slow = (0..10_000).map(|_| tracer.judge(false, Duration::from_secs(1), false));
        let judged = slow.map(|judged| judged.expect("there is room"));
        let sent = judged.filter(|judged| judged.is_sent);
        assert_limited(sent.count(), began);
        let failed = tracer.judge(false, Duration::ZERO, true);
        assert!(failed.is_some_and(|failed| failed.is_sent));
    }

    #[test]
    fn what_is_off_leaves_everything_as_it_is() {
        let tracing = Tracing::default();
        let mut root = tracing.request("GET", Instant::now(), &HeaderMap::new(), true);
        root.answer(500);
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static("as it came"));
        root.inside().downgrade().put(&mut headers);
        assert_eq!(headers["traceparent"], "as it came");
        assert!(!root.is_on() && !Trace::off().span("x", Kind::Client).is_on());
        assert_eq!(kept(&tracing).len(), 0);
    }

    #[test]
    fn an_answer_names_its_trace() {
        let tracing = tracing(NEVER);
        let root = tracing.task("x");
        let (name, value) = tracing.answer_line(root.ids()).expect("asked for");
        let ids = root.ids().expect("recorded");
        assert_eq!(name, "server-timing");
        assert_eq!(value, format!("traceparent;desc=\"{ids}\""));
        assert_eq!(tracing.answer_line(None), None);
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_user("http://a:b@c:1/d"), "http://c:1/d");
        assert_eq!(without_user("http://c:1/d"), "http://c:1/d");
    }
}
