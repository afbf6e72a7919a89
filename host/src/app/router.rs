//! Finds the component that serves a path, by Spin's rules: the same matcher, the same precedence. There is one
//! difference: `//` stays an empty segment, because proxies and components keep it too.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use routefinder::RouteSpec;

use super::manifest::Route;
use crate::metrics::{RequestMetrics, RouteMetrics};

/// All routes of an app.
pub(crate) struct Router {
    routes: routefinder::Router<Arc<Target>>,
}

/// What a route leads to.
pub(crate) struct Target {
    /// The id of the component.
    pub(crate) component: String,
    /// The metrics of the route's requests.
    pub(crate) metrics: RouteMetrics,
}

impl Router {
    /// Builds the table of routes.
    ///
    /// # Errors
    /// A pattern is malformed or stands twice; the error names the first such pattern.
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

    /// Creates the series of all routes that alerts watch, before the first requests.
    pub(crate) fn announce(&self) {
        for (_, target) in &self.routes {
            target.metrics.announce();
        }
    }

    /// The most specific route for `path`: a literal segment takes precedence over `:name`, and `:name` over `/...`. An
    /// empty segment matches neither a literal nor `:name`.
    pub(crate) fn find(&self, path: &str) -> Option<Arc<Target>> {
        let path = plain(path);
        if !path.contains("//") {
            let found = self.routes.best_match(&path)?;
            return Some(found.handler().clone());
        }
        let path = path.replace("//", SHOWN).replace("//", SHOWN);
        let mut matches = self.routes.match_iter(&path);
        let found = matches.find(|found| found.captures().iter().all(|(_, value)| value != EMPTY));
        found.map(|found| found.handler().clone())
    }
}

/// Stands for an empty segment, which the matcher would otherwise merge with its neighbour. No path has this character.
const EMPTY: &str = "\0";
const SHOWN: &str = "/\0/";

/// Decodes those percent-encoded characters that need no encoding (RFC 3986, section 6.2.2.2): `%31` becomes `1`.
fn plain(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let decoded = after
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
        match decoded {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Translates a pattern to the matcher's form: Spin writes a trailing wildcard as `/...`, the matcher as `/*`.
fn spec(pattern: &str) -> Result<RouteSpec, String> {
    let fixed = pattern.strip_suffix("/...").unwrap_or(pattern);
    if fixed.contains('*') {
        // The matcher would read `*` as a wildcard, which it can't have in the middle of a pattern.
        return Err(format!(
            "the route `{pattern}` has a `*`; write `/...` at its end for whatever follows"
        ));
    }
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

    /// A router in which each route leads to a component of the same name.
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
    fn a_path_is_what_it_is_for_everyone_else() {
        let patterns = ["/orders", "/orders/:id", "/orders/:id/items", "/static/..."];
        let router = router(&patterns).expect("valid routes");
        let found = |path| router.find(path).map(|target| target.component.clone());
        let cases = [
            ("/%6Frders/%31", Some("/orders/:id")),
            ("/orders%2F7", None),
            ("/orders/%2e%2E", Some("/orders/:id")),
            ("/orders/%", Some("/orders/:id")),
            ("/orders/%zz%3", Some("/orders/:id")),
            ("//orders/7", None),
            ("/orders//7", None),
            ("/orders//", None),
            ("/orders///items", None),
            ("//", None),
            ("/static//a", Some("/static/...")),
            ("//static/a", None),
        ];
        for (path, expected) in cases {
            assert_eq!(found(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_star_in_a_route_is_refused() {
        for pattern in ["/a/*/b", "/a*", "/*"] {
            let message = router(&[pattern]).err().expect(pattern);
            assert!(message.contains("`/...`"), "{message}");
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
