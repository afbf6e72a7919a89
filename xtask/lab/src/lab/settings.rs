//! The settings that the results of a run depend on. Results are compared with, and completed by, results with the same
//! settings only.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use testbed::seed::{LAB, Size};

use xtask::paths;

/// The data of a quick run: all users and products that the load uses, but few orders.
const QUICK: Size = Size { orders: 500, ..LAB };

/// The settings that two stages of one run must share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) users: u32,
    /// New users per second.
    pub(crate) spawn_rate: f64,
    pub(crate) seconds: u64,
    /// The seed of the data and of the requests.
    pub(crate) seed: u64,
    pub(crate) quick: bool,
    /// Whether the highest rate is searched for.
    pub(crate) saturate: bool,
    pub(crate) reference: Option<String>,
    /// SHA-256 over the host, the proxy and the components.
    pub(crate) programs: String,
}

impl Settings {
    /// How many rows each stage starts with.
    pub(crate) fn size(&self) -> Size {
        if self.quick { QUICK } else { LAB }
    }

    /// How long the course's load lasts.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The settings that differ from `other`, for people: `users: 150 there, 50 here`.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let fields = |settings: &Self| -> Vec<(&'static str, String)> {
            let reference = settings.reference.clone();
            vec![
                ("users", settings.users.to_string()),
                ("spawn rate", settings.spawn_rate.to_string()),
                ("time", format!("{} s", settings.seconds)),
                ("seed", settings.seed.to_string()),
                ("quick", settings.quick.to_string()),
                ("search for the highest rate", settings.saturate.to_string()),
                ("reference", reference.unwrap_or_else(|| "none".into())),
                ("programs", settings.programs.chars().take(12).collect()),
            ]
        };
        let pairs = fields(other).into_iter().zip(fields(self));
        let differing = pairs.filter(|(there, here)| there.1 != here.1);
        differing
            .map(|((name, there), (_, here))| format!("{name}: {there} there, {here} here"))
            .collect()
    }
}

/// A digest of the measured programs.
pub(crate) fn fingerprint(host: &Path, proxy: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let components = ["orders", "stocks", "reports"].map(paths::component);
    let files = [host.to_owned(), proxy.to_owned()].into_iter();
    for file in files.chain(components) {
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        hash.update(Sha256::digest(bytes));
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
pub(crate) fn sample() -> Settings {
    Settings {
        users: 150,
        spawn_rate: 2.0,
        seconds: 120,
        seed: 42,
        quick: false,
        saturate: true,
        reference: None,
        programs: "abc".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_the_setting_and_both_values() {
        let there = sample();
        let here = Settings {
            users: 50,
            ..sample()
        };
        assert_eq!(here.differences(&there), ["users: 150 there, 50 here"]);
        assert!(there.differences(&there).is_empty());
    }
}
