//! The admin token. A client that sends it may change what serves.

use std::path::Path;

use store_server::token::{self, SHORTEST, bearer, is_same};

use crate::config::{Secret, SwapSettings};

/// The environment variable that may hold the token. There is no flag for the token itself, because every user of a
/// machine can read the flags of its processes.
const VARIABLE: &str = "STORE_HOST_ADMIN_TOKEN";

/// The admin token, if the host has one.
#[derive(Debug)]
pub(crate) struct Token(Option<Secret>);

/// Why a client may not make a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    #[error(
        "this host has no admin token, so nobody may change it: start it with --admin-token-file FILE"
    )]
    NoneSet,
    #[error("send the admin token as `Authorization: Bearer TOKEN`")]
    Missing,
    #[error("the admin token is wrong")]
    Wrong,
}

impl Token {
    /// Reads the token from the file that the settings name, or else from the environment.
    ///
    /// # Errors
    /// The file can't be read, or the token is too short.
    pub(crate) fn load(settings: &SwapSettings) -> Result<Self, String> {
        let token = match &settings.admin_token_file {
            Some(path) => Some(read(path)?),
            // An empty variable means that there is no token, as scripts may set it.
            None => std::env::var(VARIABLE)
                .ok()
                .map(|text| Secret(text.trim().to_owned()))
                .filter(|token| !token.0.is_empty()),
        };
        if token.as_ref().is_some_and(|token| token.0.len() < SHORTEST) {
            return Err(format!(
                "--admin-token-file or {VARIABLE}: the admin token needs {SHORTEST} characters or more"
            ));
        }
        Ok(Self(token))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Checks the value of a client's `Authorization` header.
    ///
    /// # Errors
    /// The host has no token, or the client sent no token or a wrong one.
    pub(crate) fn check(&self, authorization: Option<&str>) -> Result<(), Denial> {
        let Some(token) = &self.0 else {
            return Err(Denial::NoneSet);
        };
        let given = authorization.and_then(|value| bearer(value.as_bytes()));
        if is_same(token, given.ok_or(Denial::Missing)?) {
            Ok(())
        } else {
            Err(Denial::Wrong)
        }
    }
}

/// Reads the token from a file. Logs a warning if everybody may read or write the file.
fn read(path: &Path) -> Result<Secret, String> {
    let token = token::read(path).map_err(|error| {
        format!(
            "--admin-token-file {}: can't be read: {error}",
            path.display()
        )
    })?;
    if token::is_open_to_others(path) {
        tracing::warn!(
            "--admin-token-file {}: it is open to all users of this machine: `chmod o=` it",
            path.display()
        );
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_is_let_through() {
        let token = Token(Some(Secret("correct horse".into())));
        assert_eq!(token.check(Some("Bearer correct horse")), Ok(()));
        assert_eq!(token.check(Some("bearer correct horse")), Ok(()));
        for wrong in ["Bearer correct", "Bearer correct horses", "Bearer "] {
            assert_eq!(token.check(Some(wrong)), Err(Denial::Wrong), "{wrong}");
        }
        for missing in [None, Some("correct horse"), Some("Basic correct horse")] {
            assert_eq!(token.check(missing), Err(Denial::Missing));
        }
        assert_eq!(Token(None).check(Some("Bearer x")), Err(Denial::NoneSet));
    }
}
