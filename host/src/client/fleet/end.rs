//! The end of a roll-out over several hosts: promoted on all of them, or withdrawn.

use std::time::Duration;

use futures::future::join_all;

use super::member::{Member, PAUSE, TRIES};
use super::{Failure, LOOK, Leader};
use crate::answers::{BUSY, Change, NO_CANARY};
use crate::client::http::Call;
use crate::client::{ClientError, say};
use crate::config::AdminUrl;
use crate::rollout::Phase;

impl Leader<'_> {
    /// Promotes on all hosts. A host that gives no answer will promote by itself when it finds that another host has.
    pub(super) async fn promote(&mut self) -> Result<(), Failure> {
        let last = Phase::Step(self.course.steps.len().saturating_sub(1));
        // All leases must be fresh, so that no host gives up while others are told to promote.
        while !self.is_fresh() {
            tokio::time::sleep(LOOK).await;
            self.round(last).await?;
        }
        let path = self.path("promote");
        let (caller, component, id) = (&self.caller, &self.args.component, &self.id);
        let members = self.members.iter_mut();
        let told = members.map(|member| member.promote(caller, &path, component, id));
        let refused = join_all(told).await.into_iter().find_map(Result::err);
        match refused {
            Some(reason) => Err(reason.into()),
            None if self.members.iter().any(|member| member.is_promoted) => Ok(()),
            None => {
                let reason = "no host gave an answer when it was told to promote";
                Err(reason.to_owned().into())
            }
        }
    }

    /// Tells all hosts that all have promoted.
    pub(super) async fn settle(&self) -> Result<(), ClientError> {
        let silent = self.members.iter().filter(|member| !member.is_promoted);
        let silent: Vec<String> = silent.map(|member| member.admin.to_string()).collect();
        if !silent.is_empty() {
            return Err(self.failure(format!(
                "promoted, but {} gave no answer and will ask the others when it can",
                silent.join(", ")
            )));
        }
        let path = self.path("settle");
        let told = self.members.iter().map(async |member: &Member<'_>| {
            // A host that misses this message asks the others.
            _ = self
                .caller
                .call::<Change>(member.admin, Call::post(&path))
                .await;
        });
        join_all(told).await;
        say(&format!("promoted on all {} hosts", self.members.len()));
        Ok(())
    }

    /// Takes the version out of service on all hosts. Returns a text that says so, and names hosts where this failed.
    pub(super) async fn withdraw(&self, failure: &Failure) -> String {
        let mut path = self.path("abort");
        path.push_str("&reason=");
        path.extend(url::form_urlencoded::byte_serialize(
            failure.reason.as_bytes(),
        ));
        if failure.is_verdict {
            path.push_str("&failed=true");
        }
        let path = &path;
        let told = self
            .members
            .iter()
            .map(|member| self.withdraw_from(member.admin, path));
        let left: Vec<ClientError> = join_all(told).await.into_iter().flatten().collect();
        withdrawn(&left, self.args.lease)
    }

    /// The last error, if the version may still serve on that host.
    async fn withdraw_from(&self, admin: &AdminUrl, path: &str) -> Option<ClientError> {
        let mut tries = 0;
        loop {
            let told = self.caller.call::<Change>(admin, Call::post(path)).await;
            let error = told.err().filter(|error| !is_over(error))?;
            tries += 1;
            if tries == TRIES || !may_pass(&error) {
                return Some(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Whether the host says that it has nothing to withdraw.
fn is_over(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { cause, .. } if cause.as_deref() == Some(NO_CANARY))
}

/// Whether a later attempt may succeed: there was no answer, another change is under way, or a disk is full.
fn may_pass(error: &ClientError) -> bool {
    match error {
        ClientError::NoAnswer { .. } => true,
        ClientError::Refused {
            status,
            step,
            cause,
            ..
        } => *status >= 500 || step.is_some() || cause.as_deref() == Some(BUSY),
        _ => false,
    }
}

/// Where a version was withdrawn, in words for operators. `left` are the errors of hosts where that failed.
fn withdrawn(left: &[ClientError], lease: Duration) -> String {
    if left.is_empty() {
        return "withdrawn on all hosts".into();
    }
    let lease = humantime::format_duration(lease);
    let left = left.iter().map(|error| match error {
        ClientError::NoAnswer { admin, .. } => format!(
            "{admin} gave no answer and will withdraw within two times {lease}, or when it is back"
        ),
        error => error.to_string(),
    });
    let left: Vec<String> = left.collect();
    format!("withdrawn on all hosts, but {}", left.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, cause: &str, step: Option<&str>) -> ClientError {
        ClientError::Refused {
            admin: AdminUrl::Tcp("h:1".into()),
            status,
            step: step.map(Into::into),
            cause: Some(cause.into()),
            detail: "no".into(),
            untouched: Vec::new(),
        }
    }

    #[test]
    fn only_a_host_that_has_nothing_to_withdraw_has_withdrawn() {
        for (error, over, again) in [
            (refused(409, "no_canary", None), true, false),
            (refused(409, "busy", None), false, true),
            (refused(409, "not_kept", None), false, false),
            (refused(401, "unauthorized", None), false, false),
            (refused(422, "persist", Some("persist")), false, true),
            (refused(500, "broken_off", None), false, true),
        ] {
            assert_eq!(
                (is_over(&error), may_pass(&error)),
                (over, again),
                "{error}"
            );
        }
    }

    #[test]
    fn hosts_that_have_not_withdrawn_are_named() {
        let lease = Duration::from_secs(30);
        assert_eq!(withdrawn(&[], lease), "withdrawn on all hosts");
        let silent = ClientError::NoAnswer {
            admin: AdminUrl::Tcp("h:2".into()),
            reason: "gone".into(),
            untouched: Vec::new(),
        };
        assert_eq!(
            withdrawn(&[silent, refused(409, "not_kept", None)], lease),
            "withdrawn on all hosts, but http://h:2 gave no answer and will withdraw within two times 30s, or when it is \
             back; http://h:1 refused (409): no"
        );
    }
}
