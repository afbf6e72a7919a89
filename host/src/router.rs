//! From a request's path to the component that serves it, by the rules of Spin: the same matcher, the same precedence.

use std::collections::HashSet;
use std::sync::Arc;

use routefinder::RouteSpec;

use crate::manifest::Route;
use crate::metrics::{RequestMetrics, RouteMetrics};

/// All routes of an app.
pub(crate) struct Router {
    routes: routefinder::Router<Arc<Target>>,
}

/// Where a route leads.
pub(crate) struct Target {
    /// Id of the component.
    pub(crate) component: String,
    /// What is counted of its requests.
    pub(crate) metrics: RouteMetrics,
}

impl Router {
    /// Builds the table.
    ///
    /// # Errors
    /// The first pattern that is malformed or stands twice.
    pub(crate) fn new(routes: &[Route], metrics: &Arc<RequestMetrics>) -> Result<Self, String> {
        let mut table = routefinder::Router::new();
        let mut patterns = HashSet::new();
        for route in routes {
            if !patterns.insert(route.pattern.trim_end_matches('/')) {
                return Err(format!("the route `{}` stands twice", route.pattern));
            }
            let Route { pattern, component } = route;
            let target = Target {
                component: component.clone(),
                metrics: RouteMetrics::new(metrics.clone(), component, pattern),
            };
            table
                .add(spec(pattern)?, Arc::new(target))
                .map_err(|error| format!("the route `{pattern}` is malformed: {error}"))?;
        }
        Ok(Self { routes: table })
    }

    /// The most exact route for `path`: a literal segment goes before `:name`, and that before `/...`.
    pub(crate) fn find(&self, path: &str) -> Option<Arc<Target>> {
        self.routes
            .best_match(path)
            .map(|found| found.handler().clone())
    }
}

/// Spin writes a trailing wildcard as `/...`, the matcher as `/*`.
fn spec(pattern: &str) -> Result<RouteSpec, String> {
    let translated = match pattern.strip_suffix("/...") {
        Some(prefix) => format!("{prefix}/*"),
        None => pattern.to_owned(),
    };
    translated
        .as_str()
        .parse()
        .map_err(|error| format!("the route `{pattern}` is malformed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    /// Each route leads to a component of its own name.
    fn router(patterns: &[&str]) -> Result<Router, String> {
        let routes: Vec<_> = patterns
            .iter()
            .map(|pattern| Route {
                pattern: (*pattern).into(),
                component: (*pattern).into(),
            })
            .collect();
        let metrics = Metrics::new().expect("names are unique");
        Router::new(&routes, &metrics.requests)
    }

    #[test]
    fn the_most_exact_route_wins() {
        let router = router(&[
            "/...",
            "/orders",
            "/orders/:id",
            "/orders/reports/best-sellers",
            "/static/...",
        ])
        .expect("valid routes");
        let cases = [
            ("/orders", "/orders"),
            ("/orders/", "/orders"),
            ("/orders/7", "/orders/:id"),
            (
                "/orders/reports/best-sellers",
                "/orders/reports/best-sellers",
            ),
            ("/orders/7/items", "/..."),
            ("/static/a/b.css", "/static/..."),
            ("/", "/..."),
        ];
        for (path, pattern) in cases {
            assert_eq!(router.find(path).expect(path).component, pattern, "{path}");
        }
    }

    #[test]
    fn an_unknown_path_has_no_route() {
        assert!(
            router(&["/orders"])
                .expect("valid routes")
                .find("/users")
                .is_none()
        );
    }

    #[test]
    fn a_route_may_not_stand_twice() {
        let message = router(&["/orders", "/orders"]).err().expect("duplicate");
        assert!(message.contains("`/orders` stands twice"), "{message}");
    }
}
