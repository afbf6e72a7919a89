//! Users: the rules for a new one.

use serde::{Deserialize, Serialize};

use crate::email::is_email;
use crate::{StoreError, text};

/// The width of `users.name` and `products.name`.
pub(crate) const MAX_NAME_CHARS: usize = 255;

/// The body of `POST /users`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The user's name.
    pub name: String,
    /// The user's e-mail address; no two users may have the same address.
    pub email: String,
}

impl NewUser {
    /// Checks name and e-mail address.
    ///
    /// # Errors
    /// [`StoreError::Unacceptable`], saying which of the two is wrong.
    pub fn check(&self) -> Result<(), StoreError> {
        text::check("name", &self.name, MAX_NAME_CHARS)?;
        if !is_email(&self.email) {
            return Err(StoreError::Unacceptable(
                "email must be an address such as ada@example.com".into(),
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
    /// The user's name.
    pub name: String,
    /// The user's e-mail address.
    pub email: String,
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
        for name in ["", "  ", "\u{200b}", "\0\u{1}", &"x".repeat(256)] {
            assert!(user(name, "a@b").check().is_err(), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for email in ["", "ada", "<x>@b", "a@b..c"] {
            assert!(user("Ada", email).check().is_err(), "{email:?}");
        }
    }
}
