//! `store-host swap`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::change::{is_without_end, lines};
use super::fleet::Leader;
use super::http::{Call, Caller};
use super::rollout::{self, RolloutArgs};
use super::trial::Trial;
use super::{ClientError, Targets, say};
use crate::answers::Change;
use crate::config::AdminUrl;
use crate::rollout::{Course, lease};

/// The header with the digest of the body (RFC 9530).
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The header with the text of a minisign signature. It has several lines, so it is sent in base64.
const SIGNATURE: HeaderName = HeaderName::from_static("store-signature");

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

pub(super) async fn run(args: SwapArgs) -> Result<(), ClientError> {
    let course = args.rollout.course()?;
    check(&args, course.as_ref())?;
    let caller = args.targets.caller()?;
    let bytes = Bytes::from(read(&args.file)?);
    let headers = headers(&args, &bytes)?;
    if let Some(course) = course.clone().filter(|_| args.fleet) {
        let leader = Leader::new(&args, course, &caller);
        return leader.lead(&caller, &bytes, &headers).await;
    }
    let path = path(&args, course.as_ref(), &[]);
    args.targets
        .each(async |admin| {
            let call = Call {
                headers: headers.clone(),
                body: bytes.clone(),
                ..Call::post(&path)
            };
            swap(&args, admin, &caller, call).await
        })
        .await
}

/// Checks flags that depend on one another in ways that clap can't express.
fn check(args: &SwapArgs, course: Option<&Course>) -> Result<(), ClientError> {
    let wrong = |text: &str| Err(ClientError::Setting(text.into()));
    if args.no_wait && course.is_none() {
        return wrong(
            "--no-wait: needs --canary, --steps or --mirror, or there is nothing to wait for",
        );
    }
    if args.fleet && course.is_none_or(|course| course.steps.is_empty()) {
        return wrong("--fleet: needs --steps, the shares to go through on all hosts");
    }
    if args.fleet && args.no_wait {
        return wrong("--fleet: this command leads the roll-out to its end; leave out --no-wait");
    }
    Ok(())
}

async fn swap(
    args: &SwapArgs,
    admin: &AdminUrl,
    caller: &Caller,
    call: Call<'_>,
) -> Result<(), ClientError> {
    let size = call.body.len().div_ceil(1024);
    say(&format!("{admin}: `{}`, {size} KiB", args.component));
    let change: Change = caller.call(admin, call).await?;
    lines(&change).iter().for_each(|line| say(line));
    match &change.canary {
        Some(canary) if !args.no_wait && !is_without_end(canary) => {
            let trial = Trial {
                component: &args.component,
                generation: change.generation,
                step_for: Duration::from_millis(canary.for_ms),
            };
            trial.wait(admin, caller).await
        }
        _ => Ok(()),
    }
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

fn headers(args: &SwapArgs, bytes: &[u8]) -> Result<HeaderMap, ClientError> {
    let mut headers = HeaderMap::new();
    let digest = BASE64_STANDARD.encode(Sha256::digest(bytes));
    headers.insert(CONTENT_DIGEST, value(format!("sha-256=:{digest}:"))?);
    if let Some(signature) = signature(args)? {
        headers.insert(SIGNATURE, value(BASE64_STANDARD.encode(signature))?);
    }
    Ok(headers)
}

/// The named signature, or the one beside the file, if any.
fn signature(args: &SwapArgs) -> Result<Option<Vec<u8>>, ClientError> {
    if let Some(path) = &args.signature {
        return read(path).map(Some);
    }
    let mut beside = OsString::from(&args.file);
    beside.push(".minisig");
    let beside = PathBuf::from(beside);
    if beside.exists() {
        return read(&beside).map(Some);
    }
    Ok(None)
}

fn value(text: String) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(&text).map_err(|error| ClientError::Setting(error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, ClientError> {
    std::fs::read(path).map_err(|source| ClientError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        swap: SwapArgs,
    }

    fn parse(flags: &[&str]) -> SwapArgs {
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

    #[test]
    fn flags_that_do_not_belong_together_are_named() {
        for (flags, part) in [
            (&["--no-wait"][..], "--no-wait: needs --canary"),
            (&["--fleet"], "--fleet: needs --steps"),
            (&["--fleet", "--mirror", "5"], "--fleet: needs --steps"),
            (
                &["--fleet", "--steps", "5", "--no-wait"],
                "leave out --no-wait",
            ),
        ] {
            let args = parse(flags);
            let course = args.rollout.course().expect("they fit together");
            let error = check(&args, course.as_ref()).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(
            parse(&["--steps", "1,5", "--canary", "1"])
                .rollout
                .course()
                .is_err()
        );
    }
}
