//! MySQL instead of MariaDB for the tests: `cargo xtask test --mysql`.

use std::env;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};

/// The environment variable that passes a [`TestMysql`] to the tests.
pub const VARIABLE: &str = "STORE_TEST_MYSQL";

/// The paths of `mysqld` in the folder of an unpacked MySQL tarball, or in a folder that directly contains `mysqld`.
const IN_FOLDER: [&str; 3] = ["bin/mysqld", "sbin/mysqld", "mysqld"];

/// The scheme of a server's URL.
const SCHEME: &str = "mysql://";

/// The MySQL that tests run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestMysql {
    /// A `mysqld` program, which tests start as often as they need one.
    Program(PathBuf),
    /// A server at this `mysql://user:password@host:port` that already runs, only for the tests.
    Server(String),
}

impl TestMysql {
    /// The choice in the environment, if there is one.
    ///
    /// # Errors
    /// If the variable names neither a program nor a server. No error repeats a URL, which may contain a password.
    pub fn chosen() -> Result<Option<Self>> {
        match env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => Ok(Some(text.parse::<Self>().context(VARIABLE)?)),
            _ => Ok(None),
        }
    }

    /// The program. A server that runs already is refused: the caller starts servers of its own, and kills them.
    ///
    /// # Errors
    /// If this is the URL of a server; the message doesn't repeat it, because it may contain a password.
    pub fn into_program(self) -> Result<PathBuf> {
        match self {
            Self::Program(program) => Ok(program),
            Self::Server(_) => bail!(
                "a server that runs already can't be used here, because servers are started and killed: name a mysqld, \
                 or the folder that MySQL was unpacked to"
            ),
        }
    }

    /// The text of the variable, which [`TestMysql::chosen`] reads.
    #[must_use]
    pub fn to_variable(&self) -> String {
        match self {
            Self::Program(program) => program.display().to_string(),
            Self::Server(url) => url.clone(),
        }
    }
}

impl FromStr for TestMysql {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The rest of a URL may contain a password, so it is not repeated.
        if let Some(server) = text.strip_prefix(SCHEME) {
            let server = server.trim_end_matches('/');
            if server.is_empty() || server.contains(['/', '?', '#']) {
                bail!(
                    "write the server as {SCHEME}user:password@host:port and nothing after it: each test has a \
                     database of its own (`/`, `?` and `#` in a password are %2F, %3F and %23)"
                );
            }
            return Ok(Self::Server(format!("{SCHEME}{server}")));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            bail!("a URL of MySQL begins with {SCHEME}, this one with {scheme}://");
        }
        let path = Path::new(text);
        let path = std::path::absolute(path).with_context(|| format!("finding `{text}`"))?;
        let in_folder = IN_FOLDER.iter().map(|place| path.join(place));
        let program = std::iter::once(path.clone())
            .chain(in_folder)
            .find(|candidate| candidate.is_file());
        let program = program.with_context(|| {
            format!(
                "there is no mysqld at `{text}`: name the program, the folder that MySQL was unpacked to, or a running \
                 server as {SCHEME}user:password@host:port"
            )
        })?;
        Ok(Self::Program(program))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(path: &Path) -> Result<TestMysql> {
        path.display().to_string().parse()
    }

    #[test]
    fn a_program_is_found_by_its_path_and_in_the_folder_of_a_tarball() {
        let base = env::temp_dir().join(format!("store-mysql-{}", std::process::id()));
        let program = base.join("bin/mysqld");
        fs::create_dir_all(base.join("bin")).expect("a folder");
        fs::write(&program, "").expect("a file");
        let expected = TestMysql::Program(program.clone());
        for named in [&program, &base, &base.join("bin")] {
            let found = read(named).expect("it is there");
            assert_eq!(found, expected);
            assert_eq!(
                found.to_variable().parse::<TestMysql>().expect("the same"),
                expected
            );
        }
        let refusal = read(&base.join("lib")).expect_err("it is not there");
        assert!(
            refusal.to_string().contains("there is no mysqld at"),
            "{refusal}"
        );
        fs::remove_dir_all(&base).expect("removed");
    }

    #[test]
    fn a_running_server_is_named_by_its_url() {
        let url = "mysql://root:secret@127.0.0.1:3306";
        let expected = TestMysql::Server(url.to_owned());
        for text in [url.to_owned(), format!("{url}/")] {
            assert_eq!(text.parse::<TestMysql>().expect("a URL"), expected);
        }
        let refusal = expected.into_program().expect_err("it is no program");
        assert!(refusal.to_string().contains("name a mysqld"), "{refusal}");
        for (other, said) in [
            ("https://me:secret@example.com/mysql.tar.xz", "https://"),
            ("mysql://me:secret@127.0.0.1:3306/store", "nothing after it"),
            ("mysql://me:secret@127.0.0.1?ssl=1", "nothing after it"),
            ("mysql://", "host:port"),
        ] {
            let refusal = other.parse::<TestMysql>().expect_err(other);
            let refusal = format!("{refusal:#}");
            assert!(refusal.contains(said), "{refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }
}
