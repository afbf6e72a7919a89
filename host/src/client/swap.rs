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

use super::http::{Call, Caller};
use super::trial::Trial;
use super::{ClientError, Targets, say};
use crate::answers::Change;
use crate::config::{AdminUrl, duration};

/// The field with a body's digest (RFC 9530).
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The field with the text of a minisign signature, in base64 because it has several lines.
const SIGNATURE: HeaderName = HeaderName::from_static("store-signature");

/// What is swapped on which hosts, and how.
#[derive(Debug, Args)]
pub struct SwapArgs {
    /// The component's id in spin.toml
    pub component: String,

    /// The new version: a WebAssembly component
    pub file: PathBuf,

    /// Try it on this share of the component's requests first, as in `10%`
    #[arg(long, value_name = "SHARE", value_parser = percent)]
    pub canary: Option<Percent>,

    /// How long it is tried before it is promoted or withdrawn
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub trial: Duration,

    /// Do not wait for the end of the trial, and go on to the next host at once
    #[arg(long, requires = "canary")]
    pub no_wait: bool,

    /// Forget the new version when the host restarts
    #[arg(long)]
    pub ephemeral: bool,

    /// The file's minisign signature [default: the file's name with `.minisig`, if there is one]
    #[arg(long, value_name = "FILE")]
    pub signature: Option<PathBuf>,

    /// Which hosts.
    #[command(flatten)]
    pub targets: Targets,
}

/// A share of all requests, in percent: above 0, below 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent(f64);

fn percent(text: &str) -> Result<Percent, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    match number.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 100.0 => Ok(Percent(share)),
        _ => Err("write a share above 0 and below 100 percent, as in 10%".into()),
    }
}

pub(super) async fn run(args: SwapArgs) -> Result<(), ClientError> {
    let caller = args.targets.caller()?;
    let bytes = Bytes::from(read(&args.file)?);
    let headers = headers(&args, &bytes)?;
    let path = path(&args);
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
        Some(canary) if !args.no_wait => {
            let trial = Trial {
                component: &args.component,
                generation: change.generation,
                lasts: Duration::from_millis(canary.for_ms),
            };
            trial.wait(admin, caller).await
        }
        _ => Ok(()),
    }
}

/// What an operator reads of a change, line by line.
pub(super) fn lines(change: &Change) -> Vec<String> {
    let mut lines = vec![format!("  digest     {}", change.digest)];
    if let Some(compile_ms) = change.compile_ms {
        lines.push(format!("  compiled   in {compile_ms:.1} ms"));
    }
    if let Some(probe) = &change.probe {
        lines.push(format!(
            "  probe      {} answered {} in {:.1} ms",
            probe.path, probe.status, probe.elapsed_ms
        ));
    }
    let new = change.generation;
    let switch = format!("  switched   in {:.1} µs", change.switch_us);
    lines.push(match (&change.canary, change.replaced) {
        (Some(canary), _) => {
            let trial = Duration::from_millis(canary.for_ms);
            format!(
                "{switch}: generation {new} is tried on {} % of the requests for {}",
                (canary.share * 1000.0).round() / 10.0,
                humantime::format_duration(trial)
            )
        }
        (None, Some(old)) if old == new => format!("{switch}: generation {new} is withdrawn"),
        (None, Some(old)) => format!("{switch}: generation {new} replaces {old}"),
        (None, None) => format!("{switch}: generation {new} serves"),
    });
    if !change.persisted {
        lines.push("  forgotten  when the host restarts".into());
    }
    lines
}

fn path(args: &SwapArgs) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(Percent(share)) = args.canary {
        let trial = humantime::format_duration(args.trial).to_string();
        query
            .append_pair("canary", &share.to_string())
            // The API takes one word, `1m30s`; humantime writes two.
            .append_pair("for", &trial.replace(' ', ""));
    }
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

/// Percent-encodes what can't stand in a path.
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

/// The signature that was named, or the one beside the file, if any.
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
        ] {
            assert_eq!(path(&parse(flags)), expected);
        }
    }

    #[test]
    fn an_id_stays_one_segment() {
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
    }

    #[test]
    fn a_share_is_above_nothing_and_below_everything() {
        assert_eq!(percent("10%"), Ok(Percent(10.0)));
        assert_eq!(percent("0.5"), Ok(Percent(0.5)));
        for text in ["0%", "100%", "-1", "NaN", "inf", "%", "ten"] {
            assert!(percent(text).is_err(), "{text} was taken");
        }
    }
}
