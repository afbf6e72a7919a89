//! Secrets that are made once and kept in a file that only its owner can read.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// 128 bits, which nobody guesses. MySQL takes no more than 32 characters as the password of a replication user.
const RANDOM_BYTES: usize = 16;

/// A password or token: 32 hexadecimal digits, which need no quoting anywhere. `Debug` doesn't show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret in the file `path`. Makes the file if it does not exist.
    ///
    /// # Errors
    /// When the file can't be read or written.
    pub fn kept_in(path: &Path) -> Result<Self> {
        if !path.exists() {
            make(path).with_context(|| format!("writing {}", path.display()))?;
        }
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self(text.trim().to_owned()))
    }

    /// The secret itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Only the owner can ever read the file, and the final name never shows an unfinished file.
fn make(path: &Path) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    write_private(&unfinished, &format!("{}\n", random()?))?;
    fs::rename(&unfinished, path)
}

/// Writes a new file that only its owner can read. Replaces an existing file.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}

fn random() -> std::io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_is_its_owner_s_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        let secret = Secret::kept_in(&path).expect("it is made");
        assert_eq!(secret.as_str().len(), 32);
        assert_eq!(Secret::kept_in(&path).expect("it is read"), secret);
        let mode = fs::metadata(&path).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(format!("{secret:?}"), "***");
    }
}
