//! Tells the crate the commit and the profile that it is built from.
//!
//! The commit comes from the variable `STORE_COMMIT`, which `xtask/src/cargo.rs` sets for what is shipped, and not from git:
//! each commit would make cargo compile host and proxy again, and the sources may be a tarball.

use std::ffi::OsStr;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=STORE_COMMIT");
    let commit = std::env::var("STORE_COMMIT").unwrap_or_default();
    let commit = match commit.trim() {
        "" => "unknown",
        commit => commit,
    };
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    let profile = profile(Path::new(&out)).unwrap_or("unknown");
    println!("cargo::rustc-env=STORE_BUILD_COMMIT={commit}");
    println!("cargo::rustc-env=STORE_BUILD_PROFILE={profile}");
}

/// The name of the profile. Cargo's variable `PROFILE` has only the one that it inherits from, but the folder that cargo
/// builds in has its name: `target/dist/build/…`. The folder of the profile `dev` is called `debug`.
fn profile(out: &Path) -> Option<&str> {
    let build = out
        .ancestors()
        .find(|folder| folder.file_name() == Some(OsStr::new("build")))?;
    match build.parent()?.file_name()?.to_str()? {
        "debug" => Some("dev"),
        name => Some(name),
    }
}
