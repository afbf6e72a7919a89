//! `Idempotency-Key`: the same key and body get the first answer again, and nothing happens twice.
//!
//! Keys and bodies are kept as SHA-256: a fixed size in the database, and nothing that a client wrote.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::StoreError;

/// Longest key that is accepted.
const MAX_KEY_LENGTH: usize = 255;

/// A key that a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    sha256: String,
}

impl IdempotencyKey {
    /// The key in a header's value.
    ///
    /// # Errors
    /// [`StoreError::Malformed`] unless it is 1 to 255 visible ASCII characters.
    pub fn parse(value: &[u8]) -> Result<Self, StoreError> {
        let visible = value.iter().all(u8::is_ascii_graphic);
        if !visible || !(1..=MAX_KEY_LENGTH).contains(&value.len()) {
            return Err(StoreError::Malformed(format!(
                "Idempotency-Key must be 1 to {MAX_KEY_LENGTH} visible ASCII characters"
            )));
        }
        Ok(Self {
            sha256: sha256(value),
        })
    }

    /// What the key stands for: this request, and only one with the same body.
    pub fn claim(self, body: &[u8]) -> Claim {
        Claim {
            key_sha256: self.sha256,
            body_sha256: sha256(body),
        }
    }
}

/// A request under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The key, hashed.
    pub key_sha256: String,
    /// The request's body, hashed.
    pub body_sha256: String,
}

/// What the database holds under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The first request's body, hashed.
    pub body_sha256: String,
    /// The order that the first request placed.
    pub order_id: i64,
    /// Whether it is older than keys are kept: 24 hours, judged by the database's clock.
    pub expired: bool,
}

/// What to do about a key that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recalled {
    /// Answer with the first request's order.
    Replay(i64),
    /// Forget the key and go on as if it were new.
    Forget,
}

impl Claim {
    /// Compares with what is remembered.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`] if the key stands for another body.
    pub fn recall(&self, remembered: &Remembered) -> Result<Recalled, StoreError> {
        if remembered.expired {
            return Ok(Recalled::Forget);
        }
        if remembered.body_sha256 != self.body_sha256 {
            return Err(StoreError::Unacceptable(
                "this Idempotency-Key was used for another body".into(),
            ));
        }
        Ok(Recalled::Replay(remembered.order_id))
    }
}

/// The SHA-256 of `bytes` in lower-case hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a `String` can't fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(body: &str) -> Claim {
        IdempotencyKey::parse(b"key-1")
            .expect("it is visible ASCII")
            .claim(body.as_bytes())
    }

    fn remembered(body: &str, expired: bool) -> Remembered {
        Remembered {
            body_sha256: claim(body).body_sha256,
            order_id: 7,
            expired,
        }
    }

    #[test]
    fn a_key_is_up_to_255_visible_characters() {
        assert!(IdempotencyKey::parse(&[b'~'; 255]).is_ok());
        for value in [&b""[..], b"a b", b"a\tb", "é".as_bytes(), &[b'x'; 256]] {
            assert!(IdempotencyKey::parse(value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn hashes_are_sha256_in_hexadecimal() {
        assert_eq!(
            claim("abc").body_sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(claim("abc").key_sha256, claim("abd").key_sha256);
    }

    #[test]
    fn the_same_body_is_replayed_and_another_refused() {
        assert_eq!(
            claim("a").recall(&remembered("a", false)),
            Ok(Recalled::Replay(7))
        );
        assert!(matches!(
            claim("b").recall(&remembered("a", false)),
            Err(StoreError::Unacceptable(_))
        ));
    }

    #[test]
    fn an_expired_key_is_forgotten_whatever_its_body() {
        assert_eq!(
            claim("b").recall(&remembered("a", true)),
            Ok(Recalled::Forget)
        );
    }
}
