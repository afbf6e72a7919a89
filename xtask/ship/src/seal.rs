//! Checksums of all files that were made, and a signature of the checksums: to trust every file, one signature is
//! enough.

use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use minisign::{SecretKey, SecretKeyBox};
use sha2::{Digest, Sha256};

use crate::release::Release;

/// Writes the checksums of `made` to `SHA256SUMS` in the folder `out`, and signs it if there is a `key`.
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
    // minisign's default comment contains the current time, which would differ in each build.
    let comment = format!(
        "store-manager {}\ttimestamp:{}",
        release.version, release.epoch
    );
    let signed = fs::read_to_string(key)
        .map_err(anyhow::Error::from)
        .and_then(|boxed| sign(&boxed, &text, &comment))
        .with_context(|| format!("signing with {}", key.display()))?;
    fs::write(&signature, signed).with_context(|| format!("writing {}", signature.display()))?;
    Ok(vec![sums, signature])
}

/// The length of a checksum in a line; the file's name follows.
const SUM: usize = 64;

/// A line in the format of `sha256sum`.
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

/// Signs with the secret key of a minisign key file.
fn sign(key: &str, text: &str, comment: &str) -> Result<String> {
    let boxed = SecretKeyBox::from_string(key)?;
    let secret: SecretKey = match boxed.clone().into_unencrypted_secret_key() {
        Ok(secret) => secret,
        // The key is encrypted; minisign asks for its password in the terminal.
        Err(_) => boxed.into_secret_key(None)?,
    };
    let signed = minisign::sign(None, &secret, Cursor::new(text), Some(comment), None)?;
    Ok(signed.into_string())
}

#[cfg(test)]
mod tests {
    use minisign::{KeyPair, SignatureBox};

    use super::*;

    #[test]
    fn what_is_signed_is_verified_and_nothing_else_is() -> Result<()> {
        let pair = KeyPair::generate_unencrypted_keypair()?;
        let key = pair.sk.to_box(None)?.into_string();
        let signed = sign(&key, "the sums", "store-manager 1.0.0")?;
        assert!(signed.contains("store-manager 1.0.0"), "{signed}");
        let signature = SignatureBox::from_string(&signed)?;
        let verify = |text: &str| {
            let text = Cursor::new(text.to_owned());
            minisign::verify(&pair.pk, &signature, text, true, false, false)
        };
        verify("the sums")?;
        assert!(verify("other sums").is_err());
        Ok(())
    }

    #[test]
    fn what_is_no_key_signs_nothing() {
        assert!(sign("no key", "the sums", "").is_err());
    }
}
