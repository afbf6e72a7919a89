//! Checksums of all files that were made, and a signature of the checksums: to trust every file, one signature is
//! enough.

use std::fs::{self, File};
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minisign::{SecretKey, SecretKeyBox};
use sha2::{Digest, Sha256};

use crate::release::Release;

/// The file with the checksums.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// The file with the signature of [`SUMS`].
pub(crate) const SIGNATURE: &str = "SHA256SUMS.minisig";

/// A key that signs.
pub(crate) struct Key {
    path: PathBuf,
    secret: SecretKey,
}

impl Key {
    /// Reads a minisign key file. If the key is encrypted, its password is asked for in the terminal.
    ///
    /// # Errors
    /// If the file can't be read or holds no key, or the password is wrong.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let read = fs::read_to_string(path).map_err(anyhow::Error::from);
        Ok(Self {
            path: path.to_owned(),
            secret: read
                .and_then(|text| secret(&text))
                .with_context(|| format!("--key {}", path.display()))?,
        })
    }
}

/// Writes the checksums of `made` to `SHA256SUMS` in the folder `out`, and signs it if there is a `key`.
///
/// # Errors
/// If a file can't be read or written, or the key can't be used.
pub(crate) fn write(
    made: &[PathBuf],
    release: &Release,
    key: Option<&Key>,
    out: &Path,
) -> Result<Vec<PathBuf>> {
    let sums = out.join(SUMS);
    let mut lines: Vec<String> = made.iter().map(|path| line(path)).collect::<Result<_>>()?;
    lines.sort_unstable_by(|one, other| one[SUM..].cmp(&other[SUM..]));
    let text = lines.concat();
    fs::write(&sums, &text).with_context(|| format!("writing {}", sums.display()))?;
    let Some(key) = key else {
        return Ok(vec![sums]);
    };
    let signature = out.join(SIGNATURE);
    // minisign's default comment contains the current time, which would differ in each build.
    let comment = format!(
        "store-manager {}\ttimestamp:{}",
        release.version, release.epoch
    );
    let signed = sign(&key.secret, &text, &comment)
        .with_context(|| format!("signing with {}", key.path.display()))?;
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

/// The secret key in the text of a minisign key file.
fn secret(text: &str) -> Result<SecretKey> {
    let boxed = SecretKeyBox::from_string(text)?;
    let bytes = text.lines().nth(1).unwrap_or_default().trim();
    let bytes = BASE64_STANDARD.decode(bytes).unwrap_or_default();
    let is = |range: Range<usize>, byte| {
        let part = bytes.get(range);
        part.is_some_and(|part| part.iter().all(|own| *own == byte))
    };
    if !is(KEY_DERIVATION, 0) {
        // The key is encrypted; minisign asks for its password in the terminal.
        return Ok(boxed.into_secret_key(None)?);
    }
    if is(KEY_CHECKSUM, 0) {
        // minisign 0.11 and earlier write no checksum into a key without a password.
        return Ok(SecretKey::from_bytes(&bytes)?);
    }
    Ok(boxed.into_unencrypted_secret_key()?)
}

/// Where in a secret key it says how the key is encrypted: two bytes, 0 if it is not
/// (<https://jedisct1.github.io/minisign/#secret-key-format>).
const KEY_DERIVATION: Range<usize> = 2..4;

/// Where in a secret key its checksum is.
const KEY_CHECKSUM: Range<usize> = 126..158;

fn sign(key: &SecretKey, text: &str, comment: &str) -> Result<String> {
    let signed = minisign::sign(None, key, Cursor::new(text), Some(comment), None)?;
    Ok(signed.into_string())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use minisign::{KeyPair, SignatureBox};
    use xtask::paths;
    use xtask::pgo::Rustc;
    use xtask::programs::find_program;

    use super::*;
    use crate::release::Profile;

    #[test]
    fn what_is_signed_is_verified_and_nothing_else_is() -> Result<()> {
        let pair = KeyPair::generate_unencrypted_keypair()?;
        let key = secret(&pair.sk.to_box(None)?.into_string())?;
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

    /// The program is what DEPLOY.md tells people to use. Where it is not installed, the test above has to do.
    #[test]
    fn the_program_minisign_believes_the_signature() -> Result<()> {
        let Some(minisign) = find_program("minisign") else {
            return Ok(());
        };
        let folder = paths::target().join(format!("tmp/ship-seal-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let (key, public) = (folder.join("store.key"), folder.join("store-manager.pub"));
        let mut making = Command::new(&minisign);
        making.args(["-G", "-W", "-f", "-s"]).arg(&key);
        let made = making.arg("-p").arg(&public).output()?;
        assert!(made.status.success(), "{made:?}");
        let package = folder.join("package");
        fs::write(&package, "its bytes")?;
        let release = Release {
            version: "1.0.0".to_owned(),
            profile: Profile::Dist,
            epoch: 7,
            rustc: Rustc {
                release: String::new(),
                host: String::new(),
            },
        };
        write(&[package], &release, Some(&Key::read(&key)?), &folder)?;
        let verify = || {
            let mut command = Command::new(&minisign);
            command.arg("-Vm").arg(folder.join(SUMS));
            command.arg("-p").arg(&public).output()
        };
        let believed = verify()?;
        let said = String::from_utf8_lossy(&believed.stdout);
        assert!(believed.status.success(), "{believed:?}");
        assert!(said.contains("store-manager 1.0.0"), "{said}");
        fs::write(folder.join(SUMS), "other sums")?;
        assert!(!verify()?.status.success());
        fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn a_key_without_a_password_needs_no_checksum() -> Result<()> {
        let pair = KeyPair::generate_unencrypted_keypair()?;
        let mut bytes = pair.sk.to_bytes();
        bytes[KEY_CHECKSUM].fill(0);
        let text = format!(
            "untrusted comment: key\n{}\n",
            BASE64_STANDARD.encode(bytes)
        );
        let signed = sign(&secret(&text)?, "the sums", "store-manager 1.0.0")?;
        let signature = SignatureBox::from_string(&signed)?;
        let sums = Cursor::new("the sums".to_owned());
        minisign::verify(&pair.pk, &signature, sums, true, false, false)?;
        Ok(())
    }

    #[test]
    fn a_damaged_key_signs_nothing() -> Result<()> {
        let pair = KeyPair::generate_unencrypted_keypair()?;
        let mut bytes = pair.sk.to_bytes();
        bytes[KEY_CHECKSUM.start] ^= 1;
        let text = format!(
            "untrusted comment: key\n{}\n",
            BASE64_STANDARD.encode(bytes)
        );
        assert!(secret(&text).is_err());
        Ok(())
    }

    #[test]
    fn what_is_no_key_signs_nothing() {
        assert!(secret("no key").is_err());
        let missing = Key::read(Path::new("/no/such.key")).err();
        let said = missing.map(|error| error.to_string());
        assert_eq!(said.as_deref(), Some("--key /no/such.key"));
    }
}
