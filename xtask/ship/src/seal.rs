//! Checksums of all that was made, and a signature of those: who trusts the one file trusts the rest.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use minisign::{SecretKey, SecretKeyBox};
use sha2::{Digest, Sha256};

use crate::release::Release;

/// Writes `SHA256SUMS` of `made` to the folder `out`, signed if there is a `key`.
///
/// # Errors
/// If a file can't be read or written, or the key can't be used.
pub(crate) fn write(
    made: &[PathBuf],
    release: &Release,
    key: Option<&Path>,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    let sums = out.join("SHA256SUMS");
    let mut lines: Vec<String> = made.iter().map(|path| line(path)).collect::<Result<_>>()?;
    lines.sort_unstable_by(|one, other| one[SUM..].cmp(&other[SUM..]));
    let text = lines.concat();
    fs::write(&sums, &text).with_context(|| format!("writing {}", sums.display()))?;
    let Some(key) = key else {
        return Ok(vec![sums]);
    };
    let signature = out.join("SHA256SUMS.minisig");
    let signed =
        sign(key, &text, release).with_context(|| format!("signing with {}", key.display()))?;
    fs::write(&signature, signed).with_context(|| format!("writing {}", signature.display()))?;
    Ok(vec![sums, signature])
}

/// Where the name begins in a line.
const SUM: usize = 64;

/// In the form of `sha256sum`.
fn line(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).with_context(|| format!("reading {}", path.display()))?;
    let sum: String = hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{sum}  {name}\n"))
}

fn sign(key: &Path, text: &str, release: &Release) -> Result<String> {
    let boxed = fs::read_to_string(key)?;
    let boxed = SecretKeyBox::from_string(&boxed)?;
    let secret: SecretKey = match boxed.clone().into_unencrypted_secret_key() {
        Ok(secret) => secret,
        // It is encrypted; the terminal is asked.
        Err(_) => boxed.into_secret_key(None)?,
    };
    // The usual comment is the time at which it was signed, which would be another each time.
    let comment = format!(
        "store-manager {}\ttimestamp:{}",
        release.version, release.epoch
    );
    let signed = minisign::sign(None, &secret, Cursor::new(text), Some(&comment), None)?;
    Ok(signed.into_string())
}
