//! A fuzz target: the configuration file.

use std::path::Path;

use super::read;

/// Settings that are printed and read again are the same, and a mistake is reported in one line, with a line number
/// that exists in the file.
#[test]
fn file() {
    store_fuzz::target("proxy-toml", |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        match read::parse(text, Path::new("/etc")) {
            Ok(config) => {
                let printed = toml::to_string(&config).expect("what was read can be written");
                let again = read::parse(&printed, Path::new("/etc"));
                assert_eq!(again.as_ref(), Ok(&config), "{printed}");
            }
            Err((line, reason)) => {
                assert!(
                    (1..=text.matches('\n').count() + 1).contains(&line),
                    "{line}"
                );
                assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
            }
        }
    });
}
