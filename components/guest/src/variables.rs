//! The application's variables.

use std::cell::RefCell;

use spin_sdk::variables;
use store_domain::StoreError;
use store_domain::settings::Setting;

thread_local! {
    /// The variables that were read so far. An instance reads each variable once, because hosts make new instances when
    /// variables change. There are so few that a linear search is fastest.
    static KNOWN: RefCell<Vec<(&'static str, String)>> = const { RefCell::new(Vec::new()) };
}

/// Applies `of` to the value of a variable.
///
/// # Errors
/// [`StoreError::Unavailable`] if the manifest does not give the component this variable.
async fn with_value<T>(name: &'static str, of: impl Fn(&str) -> T) -> Result<T, StoreError> {
    let known = KNOWN.with_borrow(|known| {
        let mut known = known.iter();
        let (_, value) = known.find(|(known, _)| *known == name)?;
        Some(of(value))
    });
    if let Some(made) = known {
        return Ok(made);
    }
    let value = variables::get(name)
        .await
        .map_err(|error| StoreError::Unavailable(format!("variable {name}: {error}")))?;
    let made = of(&value);
    KNOWN.with_borrow_mut(|known| {
        // Another request may have read the variable at the same time.
        if !known.iter().any(|(known, _)| *known == name) {
            known.push((name, value));
        }
    });
    Ok(made)
}

/// The setting in its variable.
///
/// # Errors
/// [`StoreError::Unavailable`], naming the variable, its value and the allowed values, if the value is not allowed.
pub async fn setting<S: Setting>() -> Result<S, StoreError> {
    with_value(S::VARIABLE, |value| {
        S::parse(value).ok_or_else(|| {
            StoreError::Unavailable(format!(
                "variable {} is {value:?}, allowed: {}",
                S::VARIABLE,
                S::ALLOWED
            ))
        })
    })
    .await?
}

/// The URL of MySQL.
///
/// # Errors
/// [`StoreError::Unavailable`] if the manifest does not say.
pub async fn mysql_url() -> Result<String, StoreError> {
    with_value("mysql_url", str::to_owned).await
}

/// The URL of Redis.
///
/// # Errors
/// [`StoreError::Unavailable`] if the manifest does not say.
pub async fn redis_url() -> Result<String, StoreError> {
    with_value("redis_url", str::to_owned).await
}
