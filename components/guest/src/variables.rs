//! The application's variables, read anew for each request so that nothing is stale.

use spin_sdk::variables;
use store_domain::StoreError;
use store_domain::settings::Setting;

/// The value of a variable.
///
/// # Errors
/// [`StoreError::Unavailable`] if the manifest does not give the component this variable.
pub async fn text(name: &str) -> Result<String, StoreError> {
    variables::get(name)
        .await
        .map_err(|error| StoreError::Unavailable(format!("variable {name}: {error}")))
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
