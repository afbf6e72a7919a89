//! `Idempotency-Key`: a repeated request with the same key, route and body gets the first answer, and nothing is done
//! twice.
//!
//! Keys and bodies are stored as SHA-256: a fixed size in the database, and nothing that a client wrote.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::StoreError;

/// The longest key that is accepted, in bytes.
const MAX_KEY_LENGTH: usize = 255;

/// A key that a client sent, as its SHA-256.
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

    /// Ties the key to this request: only a request to the same route with the same body may use it.
    pub fn claim(self, route: Route, body: &[u8]) -> Claim {
        Claim {
            key_sha256: self.sha256,
            request_sha256: sha256(&[route.mark(), body].concat()),
        }
    }
}

/// A route that honours keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /orders`
    Orders,
    /// `POST /users`
    Users,
    /// `POST /products`
    Products,
    /// `POST /stocks`
    Stocks,
}

impl Route {
    /// The bytes that are hashed before a body. None for orders: orders had keys before other routes did, and keys
    /// stored then are still valid. No other mark can be the beginning of an order's body.
    const fn mark(self) -> &'static [u8] {
        match self {
            Self::Orders => b"",
            Self::Users => b"POST /users\n",
            Self::Products => b"POST /products\n",
            Self::Stocks => b"POST /stocks\n",
        }
    }
}

/// A request together with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The SHA-256 of the key.
    pub key_sha256: String,
    /// The SHA-256 of the request's route and body.
    pub request_sha256: String,
}

/// What the database stores for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The SHA-256 of the first request's route and body.
    pub request_sha256: String,
    /// The number that the first request was answered with: the id of its order, user or product. For a stock, the
    /// product id if a row was added, and 0 otherwise.
    pub answer: i64,
    /// Whether the key is older than 24 hours, which is how long keys are kept, by the database's clock.
    pub expired: bool,
}

/// What to do with a key that was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recall {
    /// Answer with the answer of the first request.
    Replay(i64),
    /// Delete the old key and treat this key as new.
    Forget,
}

impl Claim {
    /// Compares the request with the stored key.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`] if the key was used for another request.
    pub fn recall(&self, remembered: &KeyRecord) -> Result<Recall, StoreError> {
        if remembered.expired {
            return Ok(Recall::Forget);
        }
        if remembered.request_sha256 != self.request_sha256 {
            return Err(StoreError::Unacceptable(
                "this Idempotency-Key was used for another body or route".into(),
            ));
        }
        Ok(Recall::Replay(remembered.answer))
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
        claim_of(Route::Orders, body)
    }

    fn claim_of(route: Route, body: &str) -> Claim {
        IdempotencyKey::parse(b"key-1")
            .expect("it is visible ASCII")
            .claim(route, body.as_bytes())
    }

    fn remembered(body: &str, expired: bool) -> KeyRecord {
        KeyRecord {
            request_sha256: claim(body).request_sha256,
            answer: 7,
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
    fn an_order_s_body_is_hashed_alone_in_hexadecimal() {
        assert_eq!(
            claim("abc").request_sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(claim("abc").key_sha256, claim("abd").key_sha256);
    }

    #[test]
    fn the_same_body_is_replayed_and_another_refused() {
        assert_eq!(
            claim("a").recall(&remembered("a", false)),
            Ok(Recall::Replay(7))
        );
        assert!(matches!(
            claim("b").recall(&remembered("a", false)),
            Err(StoreError::Unacceptable(_))
        ));
    }

    #[test]
    fn the_same_body_on_another_route_is_refused() {
        for route in [Route::Users, Route::Products, Route::Stocks] {
            assert!(matches!(
                claim_of(route, "a").recall(&remembered("a", false)),
                Err(StoreError::Unacceptable(_))
            ));
        }
    }

    #[test]
    fn an_expired_key_is_forgotten_whatever_its_body() {
        assert_eq!(
            claim("b").recall(&remembered("a", true)),
            Ok(Recall::Forget)
        );
    }
}
