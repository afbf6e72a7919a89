//! Users: what a new one must look like.

use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The width of `users.name` and `products.name`.
pub(crate) const MAX_NAME_CHARS: usize = 255;

/// Bounds of an e-mail address: `a@b`, and RFC 3696 erratum 1690 (64 + 1 + 255), the width of `users.email`.
const EMAIL_CHARS: std::ops::RangeInclusive<usize> = 3..=320;

/// The body of `POST /users`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// What to call the user.
    pub name: String,
    /// Where to write to the user; no other user may have the same one.
    pub email: String,
}

impl NewUser {
    /// Checks name and e-mail address.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`], saying which of the two is wrong.
    pub fn check(&self) -> Result<(), StoreError> {
        check_text("name", &self.name, MAX_NAME_CHARS)?;
        if !is_email(&self.email) {
            return Err(StoreError::Unacceptable(
                "email must be an address of 3 to 320 characters".into(),
            ));
        }
        Ok(())
    }
}

/// A user, as `GET /users/{id}` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct User {
    /// The user's number.
    pub id: i64,
    /// What to call the user.
    pub name: String,
    /// Where to write to the user.
    pub email: String,
}

/// Only a message to the address proves it, so this refuses no more than what can't be one.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    EMAIL_CHARS.contains(&text.chars().count())
        && !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Checks that a text is neither blank nor longer than its column.
pub(crate) fn check_text(field: &str, text: &str, max_chars: usize) -> Result<(), StoreError> {
    if text.trim().is_empty() {
        return Err(StoreError::Unacceptable(format!(
            "{field} must not be empty"
        )));
    }
    if text.chars().count() > max_chars {
        return Err(StoreError::Unacceptable(format!(
            "{field} must have at most {max_chars} characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, email: &str) -> NewUser {
        NewUser {
            name: name.into(),
            email: email.into(),
        }
    }

    #[test]
    fn a_user_with_name_and_email_is_accepted() {
        assert!(user("Ada", "ada@example.com").check().is_ok());
        assert!(user(&"é".repeat(255), "a@b").check().is_ok());
    }

    #[test]
    fn an_empty_or_long_name_is_refused() {
        for name in ["", "  ", &"x".repeat(256)] {
            assert!(user(name, "a@b").check().is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "x".repeat(320));
        for email in ["", "ada", "@b", "a@", "a@b@c", "a b@c", "a\n@b", &long] {
            assert!(user("Ada", email).check().is_err(), "{email:?}");
        }
    }
}
