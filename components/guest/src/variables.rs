//! The application's variables.

use std::cell::RefCell;
use std::collections::HashMap;

use spin_sdk::variables;
use store_domain::StoreError;
use store_domain::settings::Setting;

thread_local! {
    /// Each is asked for once in the life of an instance. Hosts make new instances when variables change.
    static KNOWN: RefCell<HashMap<&'static str, String>> = RefCell::default();
}

/// The value of a variable.
///
/// # Errors
/// [`StoreError::Unavailable`] if the manifest does not give the component this variable.
async fn text(name: &'static str) -> Result<String, StoreError> {
    if let Some(value) = KNOWN.with_borrow(|known| known.get(name).cloned()) {
        return Ok(value);
    }
    let value = variables::get(name)
        .await
        .map_err(|error| StoreError::Unavailable(format!("variable {name}: {error}")))?;
    KNOWN.with_borrow_mut(|known| known.insert(name, value.clone()));
    Ok(value)
}

/// The setting that a variable holds.
///
/// # Errors
/// [`StoreError::Unavailable`], naming variable, value and the allowed values, if it holds none.
pub async fn setting<S: Setting>() -> Result<S, StoreError> {
    let value = text(S::VARIABLE).await?;
    S::parse(&value).ok_or_else(|| {
        StoreError::Unavailable(format!(
            "variable {} is {value:?}, allowed: {}",
            S::VARIABLE,
            S::ALLOWED
        ))
    })
}

/// Where MySQL is.
///
/// # Errors
/// [`StoreError::Unavailable`] if the manifest does not say.
pub async fn mysql_url() -> Result<String, StoreError> {
    text("mysql_url").await
}

/// Where Redis is.
///
/// # Errors
/// [`StoreError::Unavailable`] if the manifest does not say.
pub async fn redis_url() -> Result<String, StoreError> {
    text("redis_url").await
}
