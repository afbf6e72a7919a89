//! Metrics of requests. The series of a route are looked up once for each method and status, not for each request.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use parking_lot::RwLock;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use store_server::metrics::{Timing, Timings};
use store_server::trace::Span;

use super::{Declare, GaugeGuard};

/// The bucket bounds of request histograms, in seconds. A cached report takes less than a millisecond, and the usual
/// limit is 30 s.
pub(super) const REQUEST_SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// The calls that the course demands counters for: the counter's name, the method and the route.
const COURSE_COUNTERS: [(&str, &str, &str); 3] = [
    ("orders_total", "POST", "/orders"),
    (
        "highest_spenders_total",
        "GET",
        "/orders/reports/highest-spenders",
    ),
    ("best_sellers_total", "GET", "/orders/reports/best-sellers"),
];

/// The methods that become labels. Clients can invent others, so the last label stands for all other methods.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other",
];

/// Statuses that alerts watch. Their series are created at once, because an alert sees no increase in a new series.
const FAILURES: [u16; 3] = [500, 503, 504];

/// The methods for which these series are created before a route's first request. Nothing says which of them a route
/// takes, and a few series that stay at zero cost little.
const USUAL_METHODS: [&str; 3] = ["GET", "POST", "DELETE"];

/// The metrics of the requests to all routes.
pub(crate) struct RequestMetrics {
    answered: IntCounterVec,
    seconds: Timings,
    in_flight: IntGaugeVec,
    /// Counters of the course, each with the method and the route of the calls that it counts.
    course: Vec<(IntCounter, &'static str, &'static str)>,
}

impl RequestMetrics {
    pub(super) fn declare(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            answered: declare.counters(
                "http_requests_total",
                "Requests answered; the status is 499 when the client left first",
                &["component", "route", "method", "status"],
            )?,
            seconds: declare.timings(
                "http_request_duration_seconds",
                "Time from a request's headers to the end of its answer",
                &REQUEST_SECONDS,
                &["component", "route", "method"],
            )?,
            in_flight: declare.gauges(
                "store_requests_in_flight",
                "Requests not fully answered",
                &["component"],
            )?,
            course: course(declare)?,
        })
    }

    /// The histograms with exemplars.
    pub(super) fn timings(&self) -> &Timings {
        &self.seconds
    }

    /// Creates the series of a component before its first request.
    pub(super) fn announce(&self, component: &str) {
        self.in_flight.with_label_values(&[component]);
    }
}

fn course(
    declare: &Declare<'_>,
) -> prometheus::Result<Vec<(IntCounter, &'static str, &'static str)>> {
    COURSE_COUNTERS
        .iter()
        .map(|&(name, method, route)| {
            let help = format!("Calls to {method} {route}");
            Ok((declare.counter(name, &help)?, method, route))
        })
        .collect()
}

/// The series of one route.
pub(crate) struct RouteMetrics {
    all: Arc<RequestMetrics>,
    component: String,
    route: String,
    /// The series by method, in the order of [`METHODS`]; each is created at its first request.
    by_method: [OnceLock<Arc<MethodMetrics>>; METHODS.len()],
}

impl RouteMetrics {
    pub(crate) fn new(all: Arc<RequestMetrics>, component: &str, route: &str) -> Self {
        Self {
            all,
            component: component.to_owned(),
            route: route.to_owned(),
            by_method: Default::default(),
        }
    }

    /// Creates the series that alerts watch, before the route's first request. Its histograms begin with that request:
    /// each has as many series as buckets.
    pub(crate) fn announce(&self) {
        for method in USUAL_METHODS {
            for status in FAILURES {
                self.answered(method, status);
            }
        }
    }

    fn answered(&self, method: &str, status: u16) -> IntCounter {
        let status = status.to_string();
        let labels = [self.component.as_str(), &self.route, method, &status];
        self.all.answered.with_label_values(&labels)
    }

    /// The series of requests with `method`.
    pub(crate) fn of(&self, method: &Method) -> &Arc<MethodMetrics> {
        let usual = METHODS.iter().position(|usual| *usual == method.as_str());
        let index = usual.unwrap_or(METHODS.len() - 1);
        self.by_method[index].get_or_init(|| Arc::new(self.look_up(METHODS[index])))
    }

    fn look_up(&self, method: &'static str) -> MethodMetrics {
        let Self {
            all,
            component,
            route,
            ..
        } = self;
        let course = all.course.iter();
        let answered = |status| (status, self.answered(method, status));
        MethodMetrics {
            all: all.clone(),
            component: component.clone(),
            route: route.as_str().into(),
            method,
            calls: course
                .filter(|(_, counted, of)| *counted == method && of == route)
                .map(|(counter, ..)| counter.clone())
                .next(),
            in_flight: all.in_flight.with_label_values(&[component]),
            seconds: all.seconds.of(&[component, route, method]),
            by_status: RwLock::new(Vec::from(FAILURES.map(answered))),
        }
    }
}

/// The series of the requests to one route with one method.
pub(crate) struct MethodMetrics {
    all: Arc<RequestMetrics>,
    component: String,
    route: Arc<str>,
    method: &'static str,
    /// Present if the course demands a counter for these calls.
    calls: Option<IntCounter>,
    in_flight: IntGauge,
    seconds: Timing,
    /// A counter for each status that was answered so far, and for [`FAILURES`]. They are few.
    by_status: RwLock<Vec<(u16, IntCounter)>>,
}

impl MethodMetrics {
    /// Counts a client's call, if the course demands a counter for it.
    pub(crate) fn count_call(&self) {
        if let Some(calls) = &self.calls {
            calls.inc();
        }
    }

    /// The id of the component.
    pub(crate) fn component(&self) -> &str {
        &self.component
    }

    /// The pattern of the route.
    pub(crate) fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn in_flight(&self) -> GaugeGuard {
        GaugeGuard::new(self.in_flight.clone())
    }

    /// Counts a request that has ended. `root` is the root span of its trace.
    pub(crate) fn leave(&self, status: u16, took: Duration, root: &Span) {
        root.measure(&self.seconds, took);
        let known = self.by_status.read();
        if let Some((_, answered)) = known.iter().find(|(known, _)| *known == status) {
            return answered.inc();
        }
        drop(known);
        let status_label = status.to_string();
        let labels = [&*self.component, &self.route, self.method, &status_label];
        let answered = self.all.answered.with_label_values(&labels);
        answered.inc();
        // Two requests that get here at the same time add the counter twice, which does no harm.
        let mut known = self.by_status.write();
        known.push((status, answered));
    }
}

#[cfg(test)]
mod tests {
    use store_server::metrics::Format;

    use super::*;
    use crate::metrics::Metrics;

    const TOOK: Duration = Duration::from_millis(100);

    fn has(metrics: &Metrics, line: &str) {
        let text = metrics.render(Format::Text).expect("renders");
        let found = text.lines().any(|found| found == line);
        assert!(found, "no `{line}` in\n{text}");
    }

    #[test]
    fn only_the_course_s_own_calls_move_its_counters() {
        let metrics = Metrics::new().expect("names are unique");
        for (method, route) in [
            (Method::POST, "/orders"),
            (Method::GET, "/orders"),
            (Method::GET, "/orders/reports/best-sellers"),
        ] {
            let route = RouteMetrics::new(metrics.requests.clone(), "orders", route);
            route.of(&method).count_call();
        }
        has(&metrics, "orders_total 1");
        has(&metrics, "best_sellers_total 1");
        has(&metrics, "highest_spenders_total 0");
    }

    #[test]
    fn a_failure_s_series_is_there_before_the_first_one() {
        let metrics = Metrics::new().expect("names are unique");
        let route = RouteMetrics::new(metrics.requests.clone(), "orders", "/orders");
        let series = |method: &str, status: u16| {
            let labels = format!("component=\"orders\",method=\"{method}\",route=\"/orders\"");
            format!("http_requests_total{{{labels},status=\"{status}\"}}")
        };
        route.announce();
        for status in FAILURES {
            has(&metrics, &format!("{} 0", series("POST", status)));
        }
        let text = metrics.render(Format::Text).expect("renders");
        for unused in ["method=\"PUT\"", "http_request_duration_seconds"] {
            assert!(!text.contains(unused), "{text}");
        }
        for method in [Method::POST, Method::PUT] {
            route.of(&method).leave(503, TOOK, &Span::default());
            has(&metrics, &format!("{} 1", series(method.as_str(), 503)));
            has(&metrics, &format!("{} 0", series(method.as_str(), 504)));
        }
    }

    #[test]
    fn requests_count_by_method_and_status_whatever_counted_them_before() {
        let metrics = Metrics::new().expect("names are unique");
        let route = || RouteMetrics::new(metrics.requests.clone(), "orders", "/orders");
        let before_a_reload = route();
        let cat = Method::from_bytes(b"CAT").expect("a method");
        for (method, status) in [
            (&Method::GET, 200),
            (&Method::GET, 200),
            (&Method::GET, 404),
            (&cat, 405),
        ] {
            before_a_reload
                .of(method)
                .leave(status, TOOK, &Span::default());
        }
        route().of(&Method::GET).leave(200, TOOK, &Span::default());
        let labels = r#"component="orders",method="GET",route="/orders""#;
        has(
            &metrics,
            &format!("http_requests_total{{{labels},status=\"200\"}} 3"),
        );
        has(
            &metrics,
            &format!("http_requests_total{{{labels},status=\"404\"}} 1"),
        );
        has(
            &metrics,
            &format!("http_request_duration_seconds_count{{{labels}}} 4"),
        );
        let other = labels.replace("GET", "other");
        has(
            &metrics,
            &format!("http_requests_total{{{other},status=\"405\"}} 1"),
        );
    }
}
