//! The admin token of `up`'s hosts: made once, and kept beside the data.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::paths;

/// As many as a 256-bit key has.
const RANDOM_BYTES: usize = 32;

/// The file with the token, which is made if there is none.
pub(super) fn file() -> Result<PathBuf> {
    let path = paths::store().join("admin-token");
    // Readable by its owner alone from the start; an unfinished one is never seen under this name.
    let unfinished = path.with_extension("unfinished");
    if path.exists() {
        return Ok(path);
    }
    let token = random().context("reading /dev/urandom")?;
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| writeln!(file, "{token}"))
        .and_then(|()| fs::rename(&unfinished, &path))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn random() -> std::io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
