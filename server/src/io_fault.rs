//! Errors of the system about a file or an address that the settings name.

use std::io::{Error, ErrorKind};

/// Whether an error stands until somebody changes a setting or a right, so that another start would find it again. An
/// address that this machine does not have may come with its network, and a full disk may be emptied.
#[must_use]
pub fn stands(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::ReadOnlyFilesystem
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those of Linux: EACCES, ENOENT and EROFS, then EADDRNOTAVAIL, ENOSPC and EMFILE.
    #[test]
    fn what_may_pass_is_told_from_what_stands() {
        for number in [13, 2, 30] {
            let error = Error::from_raw_os_error(number);
            assert!(stands(&error), "{error}");
        }
        for number in [99, 28, 24] {
            let error = Error::from_raw_os_error(number);
            assert!(!stands(&error), "{error}");
        }
    }
}
