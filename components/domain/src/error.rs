//! What can go wrong in the store, in the store's own terms.

/// Why a request was not carried out. The guest library gives each case its HTTP status.
///
/// The text of the first five cases is for the client and says what to do. The text of the other cases is only for the
/// log; the client learns only that it may retry, that it has to check first, or that the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The request can't be parsed: broken JSON, a wrong type, an unknown field.
    #[error("{0}")]
    Malformed(String),
    /// The request names something that does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The request contradicts the stored data, or another request that is under way.
    #[error("{0}")]
    Conflict(String),
    /// The request is well formed, but its values can't be accepted.
    #[error("{0}")]
    Unacceptable(String),
    /// Part of the work is done. The same request, sent again, continues from there.
    #[error("{0}")]
    Unfinished(String),
    /// A dependency is down or overloaded, or a setting is wrong: the same request may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The request may or may not have been carried out, and the store can't find out which.
    #[error("{0}")]
    OutcomeUnknown(String),
    /// A bug: something that can't happen did.
    #[error("{0}")]
    Internal(String),
}
