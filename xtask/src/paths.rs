//! Where things are in this repository.

use std::path::{Path, PathBuf};

/// The repository's folder.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask
        .parent()
        .expect("this crate lies in the repository's folder `xtask`")
}

/// Where cargo builds. `spin.toml` names files in it, so no other folder will do.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// The compiled component `name`.
pub(crate) fn component(name: &str) -> PathBuf {
    target()
        .join("wasm32-wasip2/release")
        .join(format!("{name}.wasm"))
}

/// The `store-host` program.
pub(crate) fn host_binary() -> PathBuf {
    target().join("debug/store-host")
}

/// The `store-proxy` program.
pub(crate) fn proxy_binary() -> PathBuf {
    target().join("debug/store-proxy")
}

/// The `store-proxy` program as it is shipped.
pub(crate) fn dist_proxy_binary() -> PathBuf {
    target().join("dist/store-proxy")
}

/// The app.
pub(crate) fn app() -> PathBuf {
    root().join("spin.toml")
}

/// What `cargo xtask up` keeps between runs: data, logs, addresses.
pub(crate) fn store() -> PathBuf {
    root().join(".store")
}
