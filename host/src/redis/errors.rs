//! The errors of a link, and what its users must tell apart.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Redis's error codes for a wrong password, for no password, and for a user without the right to a command.
const REFUSALS: [&str; 3] = ["WRONGPASS", "NOAUTH", "NOPERM"];

/// Whether a server refuses the user or the password, or does not let the user run the command.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || error.code().is_some_and(|code| REFUSALS.contains(&code))
}

/// Whether Redis can't be reached, as opposed to answering with an error.
pub(super) fn is_outage(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// Whether Redis says that it is not the server that takes writes, or has lost contact with that server.
pub(super) fn is_read_only(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
    )
}

/// The beginning of the error text for a reply that was too large. [`is_too_large`] recognises the error by it.
const TOO_LARGE: &str = "a reply is larger than the host holds for the component";

pub(super) fn too_large(most: usize) -> RedisError {
    let detail = format!("{most} bytes at most, which is a part of its memory limit");
    RedisError::from((ErrorKind::Client, TOO_LARGE, detail))
}

/// Whether an error says that a reply was too large.
pub(super) fn is_too_large(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Client && error.to_string().contains(TOO_LARGE)
}

/// The error text for a command that came to a link that had ended. [`was_not_sent`] recognises the error by it.
const NOT_SENT: &str = "the server is not used any more, because it holds no keys";

pub(super) fn not_sent() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, NOT_SENT).into()
}

/// Whether a command was not sent because its link had ended. A question for a value that is kept near may have been
/// sent, and may be sent again.
pub(super) fn was_not_sent(error: &RedisError) -> bool {
    error.is_io_error() && error.to_string().contains(NOT_SENT)
}

/// The error text for a command over a handle whose connection has ended. [`is_of_ended_handle`] recognises the error
/// by it.
const HANDLE_ENDED: &str =
    "this connection to Redis has ended, and another server may answer now; open another one";

pub(super) fn handle_ended() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::NotConnected, HANDLE_ENDED).into()
}

/// Whether a command failed because the connection that had answered its handle before has ended. It says nothing of
/// the connection that is open now.
pub(super) fn is_of_ended_handle(error: &RedisError) -> bool {
    error.is_io_error() && error.to_string().contains(HANDLE_ENDED)
}

pub(super) fn timed_out(reason: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link that ended is an outage for a component, and the only one after which a command may be sent again.
    #[test]
    fn an_ended_link_is_told_from_other_outages() {
        assert!(is_outage(&not_sent()) && was_not_sent(&not_sent()));
        let silent = timed_out("no connection in time");
        assert!(is_outage(&silent) && !was_not_sent(&silent));
    }

    #[test]
    fn an_ended_handle_is_told_from_other_outages() {
        assert!(is_outage(&handle_ended()) && is_of_ended_handle(&handle_ended()));
        assert!(!was_not_sent(&handle_ended()));
        assert!(!is_of_ended_handle(&not_sent()));
    }
}
