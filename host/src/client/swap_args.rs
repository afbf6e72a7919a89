//! What `store-host swap` is told, and the path of the request that it makes of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::form_urlencoded;

use super::Targets;
use super::rollout::{self, RolloutArgs};
use crate::rollout::{Course, lease};

/// What is swapped on which hosts, and how.
#[derive(Debug, Args)]
pub struct SwapArgs {
    /// The component's id in spin.toml
    pub component: String,

    /// The new version: a WebAssembly component
    pub file: PathBuf,

    /// How the new version is tried first.
    #[command(flatten)]
    pub rollout: RolloutArgs,

    /// Lead the roll-out over all hosts together: a step is a share of the whole traffic, and one verdict counts for all
    #[arg(long)]
    pub fleet: bool,

    /// With --fleet: how long a host goes on without a word from this command before it ends the roll-out by itself
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = lease)]
    pub lease: Duration,

    /// Do not wait for the end of the trial, and go on to the next host at once
    #[arg(long)]
    pub no_wait: bool,

    /// Forget the new version when the host restarts
    #[arg(long)]
    pub ephemeral: bool,

    /// The file's minisign signature [default: the file's name with `.minisig`, if there is one]
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,

    /// The hosts.
    #[command(flatten)]
    pub targets: Targets,
}

/// The path and query of a swap. `more` holds the parameters of a roll-out over several hosts.
pub(super) fn path(args: &SwapArgs, course: Option<&Course>, more: &[(&str, String)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(course.map(rollout::query).unwrap_or_default());
    query.extend_pairs(more);
    if args.ephemeral {
        query.append_pair("ephemeral", "true");
    }
    let query = query.finish();
    let divider = if query.is_empty() { "" } else { "?" };
    format!(
        "/components/{}/swap{divider}{query}",
        segment(&args.component)
    )
}

/// Percent-encodes text for one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20")
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        swap: SwapArgs,
    }

    pub(in super::super) fn parse(flags: &[&str]) -> SwapArgs {
        let command = ["swap", "reports", "reports.wasm"];
        Cli::try_parse_from(command.iter().chain(flags))
            .expect("valid flags")
            .swap
    }

    #[test]
    fn flags_become_the_query() {
        for (flags, expected) in [
            (&[][..], "/components/reports/swap"),
            (&["--ephemeral"], "/components/reports/swap?ephemeral=true"),
            (
                &["--canary", "12.5%", "--for", "90s"],
                "/components/reports/swap?canary=12.5&for=1m30s",
            ),
            (
                &[
                    "--steps",
                    "0.1%,33.3%",
                    "--step-for",
                    "5s",
                    "--mirror",
                    "100%",
                    "--sticky",
                    "cookie:id",
                ],
                "/components/reports/swap?steps=0.1%2C33.3&step_for=5s&mirror=100&sticky=cookie%3Aid",
            ),
            (
                &["--mirror", "10%", "--when", "x-tester: yes"],
                "/components/reports/swap?mirror=10&when=x-tester%3Ayes",
            ),
        ] {
            let args = parse(flags);
            let course = args.rollout.course().expect("they fit together");
            assert_eq!(path(&args, course.as_ref(), &[]), expected);
        }
    }

    #[test]
    fn an_id_stays_one_segment() {
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
    }
}
