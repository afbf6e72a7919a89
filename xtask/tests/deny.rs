//! `cargo xtask deny` with lists of advisories of our own, which git is led to instead of GitHub's.
#![expect(
    clippy::unwrap_used,
    reason = "a failed step of a test is that test's failure"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An advisory against what this workspace depends on.
const ADVISORY: &str = r#"```toml
[advisory]
id = "RUSTSEC-2026-9999"
package = "anyhow"
date = "2026-01-01"
[versions]
patched = []
```
# A hole that the test made up
Nothing is wrong with it.
"#;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A new folder for one test's files.
fn folder() -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tempfile::Builder::new().tempdir_in(parent).unwrap().keep()
}

/// Runs it where git takes the list of advisories from `list`.
fn deny(list: &Path) -> (bool, String) {
    let folder = folder();
    let git = folder.join("gitconfig");
    let url = list.display();
    let led =
        format!("[url \"file://{url}\"]\ninsteadOf = https://github.com/RustSec/advisory-db\n");
    fs::write(&git, led).unwrap();
    // Not where the real list is kept.
    let accepted = fs::read_to_string(repository().join("deny.toml")).unwrap();
    let kept = format!(
        "[advisories]\ndb-path = \"{}\"\n",
        folder.join("kept").display()
    );
    let config = folder.join("deny.toml");
    fs::write(&config, accepted.replace("[advisories]\n", &kept)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["deny", "--config"])
        .arg(config)
        .env("GIT_CONFIG_GLOBAL", git)
        .output()
        .unwrap();
    let Output { status, stderr, .. } = output;
    (status.success(), String::from_utf8(stderr).unwrap())
}

/// A list as RustSec's, with the files given.
fn list_with(files: &[(&str, &str)]) -> PathBuf {
    let list = folder();
    for (path, text) in files {
        let path = list.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "."],
        &[
            "-c",
            "user.name=test",
            "-c",
            "user.email=t@t",
            "commit",
            "--quiet",
            "-m",
            "advisories",
        ],
    ] {
        let mut git = Command::new("git");
        assert!(
            git.args(args)
                .current_dir(&list)
                .status()
                .unwrap()
                .success()
        );
    }
    list
}

#[test]
fn a_known_hole_in_a_dependency_is_an_error() {
    let list = list_with(&[("crates/anyhow/RUSTSEC-2026-9999.md", ADVISORY)]);
    let (passed, said) = deny(&list);
    assert!(
        !passed && said.contains("A hole that the test made up"),
        "{said}"
    );
}

#[test]
fn a_list_of_advisories_that_is_out_of_reach_is_a_warning() {
    let (passed, said) = deny(&folder().join("nothing-here"));
    assert!(
        passed && said.contains("warning: the list of advisories can't be fetched"),
        "{said}"
    );
    assert!(said.contains("✓ licences, bans and sources"), "{said}");
}
