//! Passwords and tokens, which must never be printed.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A password or a token. Its `Debug` output is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Ok(Self(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let printed = format!("{:?}", Some(Secret("correct horse".into())));
        assert_eq!(printed, "Some(***)");
    }
}
