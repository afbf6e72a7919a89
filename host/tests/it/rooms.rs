//! The rooms of `host/src` import only what lies below them.

use std::collections::BTreeSet;
use std::path::Path;

use testbed::rooms::{Rule, check, circles};

/// From the bottom up: nothing that serves imports `control`, `admin` or `client`.
const RULES: [Rule; 19] = [
    ("answers", &["rollout"]),
    ("config", &[]),
    ("durable", &[]),
    ("metrics", &[]),
    ("rollout", &["config"]),
    ("migrate", &["config", "mysql", "outbound"]),
    ("message", &[]),
    ("outbound", &["config"]),
    ("clients", &["config", "message"]),
    (
        "mysql",
        &[
            "clients", "config", "durable", "instance", "metrics", "outbound",
        ],
    ),
    (
        "redis",
        &["clients", "config", "instance", "metrics", "outbound"],
    ),
    (
        "instance",
        &[
            "clients", "config", "message", "metrics", "mysql", "outbound", "redis",
        ],
    ),
    (
        "app",
        &[
            "config", "instance", "metrics", "migrate", "mysql", "outbound", "redis", "rollout",
        ],
    ),
    (
        "http",
        &[
            "app", "clients", "instance", "message", "metrics", "rollout",
        ],
    ),
    ("client", &["answers", "config", "rollout"]),
    (
        "control",
        &[
            "answers", "app", "client", "config", "durable", "instance", "message", "metrics",
            "mysql", "rollout",
        ],
    ),
    (
        "admin",
        &[
            "answers", "config", "control", "http", "instance", "rollout",
        ],
    ),
    ("cli", &["client", "config"]),
    ("fuzz", &["app"]),
];

/// What the benchmarks see of the insides is there for them only, and serves nobody.
const FOR_BENCHES: Rule = (
    "micro",
    &[
        "app", "cli", "config", "instance", "message", "metrics", "mysql", "outbound",
    ],
);

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

#[test]
fn each_room_imports_only_what_lies_below_it() {
    let rules: Vec<Rule> = RULES.into_iter().chain([FOR_BENCHES]).collect();
    assert_eq!(check(src(), &rules), [""; 0]);
}

/// Wasmtime calls the functions of `mysql` and `redis` with the state of an instance, which holds their connections.
#[test]
fn one_circle_is_left_and_wasmtime_draws_it() {
    let forced = BTreeSet::from(["instance", "mysql", "redis"]);
    assert_eq!(circles(&RULES), BTreeSet::from([forced]));
}
