//! Which paths of another member's admin listener are passed on, and with which methods.

use http::Method;

/// Paths for reading from a member.
const READS: [&str; 7] = [
    "/status", "/history", "/traces", "/events", "/fleet", "/metrics", "/healthz",
];

/// Paths for changing a member, except for those of its components.
const CHANGES: [&str; 6] = [
    "/token",
    "/reload",
    "/refresh",
    "/drain",
    "/undrain",
    "/cache/purge",
];

/// The methods of a path at another member; empty if the path is not passed on.
pub(super) fn methods(path: &str) -> &'static [Method] {
    if READS.contains(&path) {
        return &[Method::GET, Method::HEAD];
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let is_change = match *segments.as_slice() {
        ["components", id, action] => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            let is_known = ["swap", "rollback", "promote", "abort"].contains(&action);
            is_known && !id.is_empty() && id.bytes().all(fits)
        }
        _ => CHANGES.contains(&path),
    };
    if is_change { &[Method::POST] } else { &[] }
}

/// Whether a request for this path has a component as its body.
pub(super) fn carries_component(path: &str) -> bool {
    path.ends_with("/swap")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_an_admin_listener_are_passed_on() {
        assert_eq!(methods("/status"), [Method::GET, Method::HEAD]);
        assert_eq!(methods("/components/orders/swap"), [Method::POST]);
        for not in [
            "/",
            "/console",
            "/fleet/a/status",
            "/components/../swap",
            "/components/a%2Fb/swap",
            "/components/a/delete",
            "/status/",
        ] {
            assert!(methods(not).is_empty(), "{not}");
        }
    }
}
