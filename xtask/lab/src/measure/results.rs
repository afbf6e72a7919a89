//! The files of results.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// The file that the user chose for results, or else the usual one with this name.
pub(crate) fn results_file(chosen: Option<&Path>, name: &str) -> PathBuf {
    match chosen {
        Some(file) => file.to_owned(),
        None => format!("loadtest/results/{name}.json").into(),
    }
}

/// Writes all samples of a run, and prints the file's path.
pub(crate) fn write_json(path: &Path, json: &Value) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(path, format!("{json:#}\n"))
        .with_context(|| format!("writing {}", path.display()))?;
    eprintln!("✓ every sample is in {}", path.display());
    Ok(())
}
