//! The folder for a run's results.

use std::fs;
use std::io::ErrorKind;
use std::path::{self, Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::Options;
use xtask::paths;

/// The most runs that begin in one second.
const MAX_IN_A_SECOND: u32 = 100;

/// The given folder, or one named after the time (UTC): `loadtest/results/2026-11-23T14-05-09Z`. Either must be new.
pub(super) fn make(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = given {
        let folder = path::absolute(folder).context("reading --results")?;
        fs::create_dir(&folder).with_context(|| {
            format!(
                "--results {}: no new folder can be made there",
                folder.display()
            )
        })?;
        return Ok(folder);
    }
    let results = paths::root().join("loadtest/results");
    fs::create_dir_all(&results).with_context(|| format!("creating {}", results.display()))?;
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let name = now.replace(':', "-");
    for number in 1..=MAX_IN_A_SECOND {
        let folder = if number == 1 {
            results.join(&name)
        } else {
            results.join(format!("{name}-{number}"))
        };
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("creating {}", folder.display()));
            }
        }
    }
    bail!(
        "{} has {MAX_IN_A_SECOND} results of {now}",
        results.display()
    )
}

/// Writes the options of the run next to its results.
pub(super) fn write_settings(folder: &Path, options: &Options) -> Result<()> {
    let settings = json!({
        "url": options.url,
        "profile": options.profile,
        "users": options.users,
        "spawn_rate": options.spawn_rate,
        "seconds": options.time.as_secs(),
        "seed": options.seed,
    });
    let file = folder.join("settings.json");
    fs::write(&file, format!("{settings:#}\n"))
        .with_context(|| format!("writing {}", file.display()))
}
