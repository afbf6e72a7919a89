//! Admin tokens: whoever knows a server's token may change the server.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use http::HeaderValue;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Secret;

/// Fewest bytes of a token; a shorter token could be guessed.
pub const SHORTEST: usize = 16;

/// Reads the token in a file.
///
/// # Errors
/// The file can't be read.
pub fn read(file: &Path) -> io::Result<Secret> {
    Ok(Secret(std::fs::read_to_string(file)?.trim().to_owned()))
}

/// Whether users outside the file's owner and group may read or write it. Its group may read it, because that is how a
/// service gets a file that it can't change: root owns it, and the service's group reads it.
#[must_use]
pub fn is_open_to_others(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|metadata| lets_others_in(metadata.mode()))
}

fn lets_others_in(mode: u32) -> bool {
    mode & 0o006 != 0
}

/// The token in a value of `Authorization` with the scheme `Bearer` (RFC 6750, section 2.1); `None` for other schemes.
#[must_use]
pub fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, given) = authorization.split_at_checked(b"bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| given.trim_ascii())
}

/// The value of `Authorization` that carries the token.
///
/// # Errors
/// The token has characters that a header can't contain.
pub fn authorization(token: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.0))
        .map_err(|_| "the admin token has characters that can't be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether `given` is the token. The time of the comparison reveals nothing about the token, not even its length.
#[must_use]
pub fn is_same(token: &Secret, given: &[u8]) -> bool {
    let digest = |bytes: &[u8]| Sha256::digest(bytes);
    digest(given).ct_eq(&digest(token.0.as_bytes())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_everybody_may_read_or_write_are_open_to_others() {
        // A Debian package's 0640 for root and the service's group, and the 0440 of a Kubernetes secret.
        for mode in [0o100_600, 0o100_640, 0o100_440, 0o100_400] {
            assert!(!lets_others_in(mode), "{mode:o}");
        }
        for mode in [0o100_644, 0o100_604, 0o100_602, 0o100_666] {
            assert!(lets_others_in(mode), "{mode:o}");
        }
    }

    #[test]
    fn only_the_whole_token_is_the_same() {
        let token = &Secret("0123456789abcdef".into());
        for good in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            let given = bearer(good.as_bytes()).expect("a token");
            assert!(is_same(token, given), "{good}");
        }
        for wrong in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeg",
            "Bearer ",
        ] {
            let given = bearer(wrong.as_bytes()).expect("something");
            assert!(!is_same(token, given), "{wrong}");
        }
        for none in ["Basic 0123456789abcdef", "0123456789abcdef", ""] {
            assert_eq!(bearer(none.as_bytes()), None, "{none}");
        }
    }
}
