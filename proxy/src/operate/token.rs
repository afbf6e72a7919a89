//! The admin token: whoever can read its file may change the proxy.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use store_server::Secret;
use store_server::token::{SHORTEST, bearer, is_open_to_others, is_same, read};
use uuid::Uuid;

use super::pid_file::beside;

/// The token that changes need.
pub(crate) struct Token(Secret);

impl Token {
    /// Reads the token in the file. If there is no file, creates it with a new token, readable by its owner only.
    ///
    /// # Errors
    /// The file can't be read or created, or its token is too short.
    pub(crate) fn load(file: &Path) -> Result<Self, String> {
        let failed = |what: &str, error| format!("{what} {}: {error}", file.display());
        if !file.exists() {
            make(file).map_err(|error| failed("can't make the admin token's file", error))?;
        }
        let token = read(file).map_err(|error| failed("can't read the admin token in", error))?;
        if token.0.len() < SHORTEST {
            return Err(format!(
                "{}: the admin token needs {SHORTEST} characters or more",
                file.display()
            ));
        }
        if is_open_to_others(file) {
            tracing::warn!(file = %file.display(), "The admin token's file is open to all users of this machine: `chmod o=` it");
        }
        Ok(Self(token))
    }

    /// Whether this value of `Authorization` has the right token.
    pub(crate) fn is_in(&self, authorization: &[u8]) -> bool {
        bearer(authorization).is_some_and(|given| is_same(&self.0, given))
    }
}

/// Creates the file with a new token. Another process may do so at the same time, so the file gets its name only when
/// it is complete.
fn make(file: &Path) -> std::io::Result<()> {
    let unfinished = beside(file);
    let random = [Uuid::new_v4(), Uuid::new_v4()].map(|part| part.simple().to_string());
    let mut new = OpenOptions::new();
    new.write(true).create(true).truncate(true).mode(0o600);
    new.open(&unfinished)?
        .write_all(format!("{}\n", random.concat()).as_bytes())?;
    let linked = std::fs::hard_link(&unfinished, file);
    std::fs::remove_file(&unfinished)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let made = Token::load(&file).expect("made");
        let found = Token::load(&file).expect("found");
        assert_eq!(made.0, found.0);
        assert_eq!(made.0.0.len(), 64);
        let mode = std::fs::metadata(&file).expect("there").mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder).expect("reads").count(), 1);
        std::fs::write(&file, "short\n").expect("writes");
        let refused = |file: &Path| Token::load(file).err().expect("refused");
        let short = refused(&file);
        assert!(short.ends_with("needs 16 characters or more"), "{short}");
        let nowhere = refused(Path::new("/nowhere/token"));
        assert!(nowhere.starts_with("can't make the admin token's file"));
    }
}
