//! The paths in this repository.

use std::path::{Path, PathBuf};

/// The repository's folder.
pub fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("this crate lies in the repository's folder `xtask`")
}

/// The folder that cargo builds in. It is always this one, because `spin.toml` names files in it.
pub fn target() -> PathBuf {
    root().join("target")
}

/// The compiled component `name`.
pub fn component(name: &str) -> PathBuf {
    target()
        .join("wasm32-wasip2/release")
        .join(format!("{name}.wasm"))
}

/// One of our programs, in the profile that tests and `up` use.
pub fn program(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// The `store-proxy` program as it is shipped.
pub fn dist_proxy_binary() -> PathBuf {
    target().join("dist/store-proxy")
}

/// The app's manifest.
pub fn app() -> PathBuf {
    root().join("spin.toml")
}

/// The recording and alert rules for Prometheus.
pub fn prometheus_rules() -> Vec<PathBuf> {
    let folder = root().join("loadtest/prometheus");
    ["rules.yml", "slo.yml"]
        .map(|file| folder.join(file))
        .to_vec()
}

/// The folder that `cargo xtask up` keeps between runs: data, logs, addresses.
pub fn store() -> PathBuf {
    root().join(".store")
}
