//! Tells the crate what it is built from: the commit, if whoever builds says so, and the profile.
//!
//! The commit is not asked of git. It would be another with each commit, and host and proxy would be compiled again for
//! nothing; and the sources may be a tarball. What is shipped is built with `STORE_COMMIT` set (`xtask/src/cargo.rs`).

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

/// Cargo tells its name to nobody (`PROFILE` is that of which it inherits), but what it builds is in a folder of that
/// name: `target/dist/build/…`. That of the profile `dev` is called `debug`.
fn profile(out: &Path) -> Option<&str> {
    let build = out
        .ancestors()
        .find(|folder| folder.file_name() == Some(OsStr::new("build")))?;
    match build.parent()?.file_name()?.to_str()? {
        "debug" => Some("dev"),
        name => Some(name),
    }
}
