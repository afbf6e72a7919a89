//! `store-host swap`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::change::{is_without_end, lines};
use super::fleet::Leader;
use super::http::{Call, Caller};
use super::swap_args::{SwapArgs, path};
use super::trial::Trial;
use super::{ClientError, say};
use crate::answers::Change;
use crate::config::AdminUrl;
use crate::rollout::Course;

/// The header with the digest of the body (RFC 9530).
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// The header with the text of a minisign signature. It has several lines, so it is sent in base64.
const SIGNATURE: HeaderName = HeaderName::from_static("store-signature");

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
    use super::super::swap_args::tests::parse;
    use super::*;

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
