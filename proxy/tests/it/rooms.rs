//! The rooms of `proxy/src` import only what lies below them.

use std::path::Path;

use testbed::rooms::{Rule, check, circles};

/// From the bottom up: nothing that serves imports `operate` or `server`.
const RULES: [Rule; 13] = [
    ("answers", &["config"]),
    ("metrics", &[]),
    ("message", &["metrics"]),
    ("config", &["message"]),
    ("clients", &["config"]),
    ("names", &["config", "metrics"]),
    ("cache", &["config", "message", "metrics"]),
    ("upstream", &["cache", "config", "metrics"]),
    (
        "table",
        &[
            "answers", "cache", "clients", "config", "message", "metrics", "names", "upstream",
        ],
    ),
    (
        "request",
        &[
            "cache", "clients", "config", "message", "metrics", "table", "upstream",
        ],
    ),
    (
        "downstream",
        &[
            "cache", "clients", "config", "message", "metrics", "request", "table",
        ],
    ),
    (
        "operate",
        &[
            "answers",
            "config",
            "downstream",
            "message",
            "metrics",
            "request",
            "table",
        ],
    ),
    (
        "server",
        &[
            "config",
            "downstream",
            "metrics",
            "names",
            "operate",
            "request",
            "table",
        ],
    ),
];

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

#[test]
fn each_room_imports_only_what_lies_below_it() {
    assert_eq!(check(src(), &RULES), [""; 0]);
    assert_eq!(circles(&RULES), [].into());
}
