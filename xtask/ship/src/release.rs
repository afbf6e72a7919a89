//! The release that is made: its version, its commit and its profile.

use std::env;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use xtask::pgo::Rustc;
use xtask::programs::output_of;

/// How the programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// As shipped: with link-time optimisation, and the host optimised by its profile.
    Dist,
    /// As in everyday work.
    Dev,
}

/// One release.
pub(crate) struct Release {
    pub(crate) version: String,
    pub(crate) profile: Profile,
    /// The commit's time in Unix seconds; every file that is made has this time.
    pub(crate) epoch: u64,
    pub(crate) rustc: Rustc,
}

impl Release {
    /// The release of the commit that is checked out.
    ///
    /// # Errors
    /// If there is no commit, and `SOURCE_DATE_EPOCH` doesn't give a time instead.
    pub(crate) async fn of_this_commit(profile: Profile) -> Result<Self> {
        let rustc = Rustc::ask().await?;
        ensure!(
            rustc.host == "x86_64-unknown-linux-gnu",
            "packages are made for x86_64-unknown-linux-gnu, and this compiler is for {}",
            rustc.host
        );
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            profile,
            epoch: epoch().await?,
            rustc,
        })
    }

    /// The commit's time in the format of RFC 3339.
    pub(crate) fn time(&self) -> String {
        let time = UNIX_EPOCH + Duration::from_secs(self.epoch);
        humantime::format_rfc3339_seconds(time).to_string()
    }
}

/// The value of `SOURCE_DATE_EPOCH`, or else the commit's time:
/// <https://reproducible-builds.org/specs/source-date-epoch/>
async fn epoch() -> Result<u64> {
    let text = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => output_of("git", &["log", "-1", "--format=%ct"]).await,
    };
    text.parse().with_context(|| {
        format!("the commit's time is `{text}`: is there no git? SOURCE_DATE_EPOCH can say it")
    })
}
