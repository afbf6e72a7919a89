//! What can go wrong in the store, in the store's own terms.

/// Why a request was not carried out. The guest library gives each case its HTTP status.
///
/// The text of the first five is for the client and says what to do. The text of the others is for the log: the client
/// only learns that it may retry, that it has to look first, or that it can't.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The request can't be read: broken JSON, a wrong type, an unknown field.
    #[error("{0}")]
    Malformed(String),
    /// What the request names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts what is stored, or another request that is under way.
    #[error("{0}")]
    Conflict(String),
    /// The request was understood and can't be accepted as it is.
    #[error("{0}")]
    Unacceptable(String),
    /// Part of the work is done, and the same request goes on where this one ended.
    #[error("{0}")]
    Unfinished(String),
    /// A dependency is down or overloaded, or a setting is wrong: the same request may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The request may have been carried out or not, and it can't be found out.
    #[error("{0}")]
    OutcomeUnknown(String),
    /// A bug: something that can't happen did.
    #[error("{0}")]
    Internal(String),
}
