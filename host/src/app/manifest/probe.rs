//! The request that a component must answer before it serves.

use http::Method;

use super::{ComponentManifest, Manifest, Route};
use crate::instance::Probe;

impl Manifest {
    /// The probe that a component's entry names, or else a default one.
    pub(crate) fn probe_of(&self, id: &str, entry: &ComponentManifest) -> Probe {
        let named = entry.probe.clone();
        named.unwrap_or_else(|| usual_probe(id, &self.routes))
    }
}

/// The probe of a component whose entry names none: `GET` of its first route without a parameter. If all its routes
/// have parameters, `GET` of the first one with `0` for each parameter.
fn usual_probe(component: &str, routes: &[Route]) -> Probe {
    let own = || routes.iter().filter(|route| route.component == component);
    let pattern = own()
        .find(|route| !route.pattern.contains("/:") && !route.pattern.ends_with("/..."))
        .or_else(|| own().next())
        .map_or("/", |route| &route.pattern);
    let path: Vec<&str> = pattern
        .split('/')
        .map(|segment| match segment {
            "..." => "",
            _ if segment.starts_with(':') => "0",
            _ => segment,
        })
        .collect();
    Probe {
        method: Method::GET,
        path: path.join("/"),
        status: None,
        contains: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(patterns: &[(&str, &str)]) -> String {
        let routes: Vec<Route> = patterns
            .iter()
            .map(|(pattern, component)| Route {
                pattern: (*pattern).into(),
                component: (*component).into(),
            })
            .collect();
        usual_probe("c", &routes).path
    }

    #[test]
    fn the_usual_probe_is_a_route_of_the_component() {
        assert_eq!(usual(&[("/a", "x"), ("/b/:id", "c"), ("/c", "c")]), "/c");
        assert_eq!(usual(&[("/b/:id/d", "c")]), "/b/0/d");
        assert_eq!(usual(&[("/s/...", "c")]), "/s/");
        assert_eq!(usual(&[("/...", "c")]), "/");
    }
}
