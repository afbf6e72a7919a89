//! The store that a command works on: the one whose URLs are given, or the one that `cargo xtask up` started last.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use testbed::Addresses;

use xtask::paths;

/// The flags that choose the store.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store's MySQL, as mysql://user:password@host:port/database [default: what `up` used last]
    #[arg(long, value_name = "URL", value_parser = mysql_url)]
    mysql_url: Option<String>,
    /// The store's Redis, as redis://user:password@host:port; in a Redis Cluster, the primary that holds the slot of the
    /// store's keys [default: what `up` used last]
    #[arg(long, value_name = "URL", value_parser = redis_url)]
    redis_url: Option<String>,
    /// What the store's keys in Redis begin with, as the app's variable redis_key_prefix says it
    #[arg(
        long,
        value_name = "PREFIX",
        env = "SPIN_VARIABLE_REDIS_KEY_PREFIX",
        default_value = "",
        hide_default_value = true,
        value_parser = key_prefix
    )]
    redis_key_prefix: String,
}

impl StoreArgs {
    /// The addresses given, or those that `up` saved, with the prefix given.
    pub(crate) fn addresses(&self) -> Result<Addresses> {
        let mysql = given_or_saved(self.mysql_url.as_deref(), "MYSQL_URL", "--mysql-url")?;
        let redis = given_or_saved(self.redis_url.as_deref(), "REDIS_URL", "--redis-url")?;
        Addresses::new(&mysql, &redis)?.with_key_prefix(&self.redis_key_prefix)
    }

    /// Names the store, for the error message of a command that used these addresses.
    pub(crate) fn subject(&self) -> &'static str {
        if self.mysql_url.is_some() && self.redis_url.is_some() {
            "the store given"
        } else {
            "the store that `cargo xtask up` ran last"
        }
    }
}

/// Writes the addresses to a file that a shell can read: `. .store/urls.env`.
pub(crate) fn save(addresses: &Addresses) -> Result<()> {
    let path = file();
    // Only the owner may read the file, because it may contain a password.
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    let text = format!(
        "MYSQL_URL='{}'\nREDIS_URL='{}'\n",
        addresses.mysql_url(),
        addresses.redis_url()
    );
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// Reads a flag's MySQL URL.
pub(crate) fn mysql_url(text: &str) -> Result<String> {
    Addresses::check_mysql_url(text).map(|()| text.to_owned())
}

/// Reads a flag's Redis URL.
pub(crate) fn redis_url(text: &str) -> Result<String> {
    Addresses::check_redis_url(text).map(|()| text.to_owned())
}

fn key_prefix(text: &str) -> Result<String> {
    Addresses::check_key_prefix(text).map(|()| text.to_owned())
}

fn given_or_saved(given: Option<&str>, name: &str, flag: &str) -> Result<String> {
    if let Some(url) = given {
        return Ok(url.to_owned());
    }
    let saved = fs::read_to_string(file())
        .ok()
        .and_then(|text| value_of(&text, name));
    saved.with_context(|| format!("which store? Start one with `cargo xtask up`, or give {flag}"))
}

fn value_of(text: &str, name: &str) -> Option<String> {
    let values = text.lines().filter_map(|line| line.split_once('='));
    let mut found = values
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('\'').to_owned());
    found.next()
}

/// The file in which `up` saves the addresses.
pub(crate) fn file() -> PathBuf {
    paths::store().join("urls.env")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        store: StoreArgs,
    }

    #[test]
    fn a_wrong_prefix_of_keys_is_one_clear_line() {
        let parse =
            |prefix: &str| Command::try_parse_from(["verify", "--redis-key-prefix", prefix]);
        for right in ["", "{store}:"] {
            let command = parse(right).expect("it is plain");
            assert_eq!(command.store.redis_key_prefix, right);
        }
        let error = parse("a b").expect_err("it has a space").to_string();
        let line = error.lines().next().unwrap_or_default();
        for part in ["'a b'", "--redis-key-prefix", "visible ASCII characters"] {
            assert!(line.contains(part), "no {part} in {error}");
        }
    }

    #[test]
    fn a_saved_url_is_found_by_its_name() {
        let text = "MYSQL_URL='mysql://a:b=c@d/e'\nREDIS_URL='redis://f'\n";
        assert_eq!(
            value_of(text, "MYSQL_URL").as_deref(),
            Some("mysql://a:b=c@d/e")
        );
        assert_eq!(value_of(text, "REDIS_URL").as_deref(), Some("redis://f"));
        assert_eq!(value_of(text, "URL"), None);
    }
}
