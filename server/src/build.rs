//! The build of a server: for `--version`, `status` and a metric.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metrics::Declare;

/// The text that `--version` prints after the name of the program.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("STORE_BUILD_COMMIT"),
    ", profile ",
    env!("STORE_BUILD_PROFILE"),
    ")"
);

/// A build of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The version in `Cargo.toml`.
    pub version: String,
    /// The shortened commit, with `-dirty` at its end if files had been changed since. `unknown` if the build did not
    /// name a commit.
    pub commit: String,
    /// Cargo's profile: `dev`, or `dist` in releases.
    pub profile: String,
}

impl Build {
    /// The running build.
    #[must_use]
    pub fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: env!("STORE_BUILD_COMMIT").to_owned(),
            profile: env!("STORE_BUILD_PROFILE").to_owned(),
        }
    }

    /// Declares the metric `name`, which is 1 for the running build.
    ///
    /// # Errors
    /// There already is a metric of this name.
    pub fn declare(&self, declare: &Declare<'_>, name: &str) -> prometheus::Result<()> {
        let help = "Always 1: the build that runs";
        let labels = ["version", "commit", "profile"];
        let info = declare.gauges(name, help, &labels)?;
        info.with_label_values(&[&self.version, &self.commit, &self.profile])
            .set(1);
        Ok(())
    }
}

impl fmt::Display for Build {
    /// In the form of [`VERSION`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            commit,
            profile,
        } = self;
        write!(f, "{version} (commit {commit}, profile {profile})")
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::metrics::{Format, render};

    #[test]
    fn a_build_is_named_in_the_same_way_everywhere() {
        let build = Build::this();
        assert_eq!(build.to_string(), VERSION);
        // Tests are built in one of cargo's usual profiles.
        assert!(["dev", "release", "dist"].contains(&build.profile.as_str()));
        let registry = Registry::new();
        let declare = Declare::new(&registry);
        build.declare(&declare, "x_build_info").expect("a metric");
        let Build {
            version,
            commit,
            profile,
        } = build;
        let line = format!(
            "x_build_info{{commit=\"{commit}\",profile=\"{profile}\",version=\"{version}\"}} 1"
        );
        let text = render(&registry, &[], Format::Text).expect("renders");
        assert!(text.lines().any(|found| found == line), "{text}");
    }
}
