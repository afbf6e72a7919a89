//! Why an operator's command failed.

use std::path::PathBuf;

use crate::config::AdminUrl;

/// Why an operator's command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file that was named on the command line can't be read.
    #[error("{path}: can't be read: {source}")]
    File {
        /// As it was given.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A setting that makes no sense.
    #[error("{0}")]
    Setting(String),
    /// A host gave no answer.
    #[error("{admin}: {reason}{}", left_alone(.untouched))]
    NoAnswer {
        /// The host's admin interface.
        admin: AdminUrl,
        /// What happened instead.
        reason: String,
        /// The hosts after it.
        untouched: Vec<AdminUrl>,
    },
    /// A host refused, and changed nothing.
    #[error(
        "{admin} refused ({status}){}: {detail}{}",
        at_step(.step.as_deref()),
        left_alone(.untouched)
    )]
    Refused {
        /// Which host.
        admin: AdminUrl,
        /// Its HTTP status.
        status: u16,
        /// The step of a swap that failed.
        step: Option<Box<str>>,
        /// Why, in one word of the host's.
        cause: Option<Box<str>>,
        /// Why, in the host's words.
        detail: String,
        /// The hosts after it.
        untouched: Vec<AdminUrl>,
    },
    /// A host withdrew a canary.
    #[error("{admin}: generation {generation} was not promoted: {reason}{}", left_alone(.untouched))]
    Withdrawn {
        /// Which host.
        admin: AdminUrl,
        /// The canary's.
        generation: u64,
        /// Why, in the host's words.
        reason: String,
        /// The hosts after it.
        untouched: Vec<AdminUrl>,
    },
    /// A roll-out over several hosts did not end as it should.
    #[error("the roll-out of `{component}`: {reason}")]
    Rollout {
        /// Of which component.
        component: String,
        /// What happened, and where that leaves the hosts.
        reason: String,
    },
    /// Each host was asked, and these failed.
    #[error("{}", one_line(.0))]
    Several(Vec<ClientError>),
}

impl ClientError {
    /// The process's exit code: 2 if the command was wrong, 1 if a host failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::Setting(_) => 2,
            Self::NoAnswer { .. }
            | Self::Refused { .. }
            | Self::Withdrawn { .. }
            | Self::Rollout { .. }
            | Self::Several(_) => 1,
        }
    }

    /// The same failure, with the hosts that were not asked because of it.
    pub(super) fn before(mut self, rest: &[AdminUrl]) -> Self {
        match &mut self {
            Self::NoAnswer { untouched, .. }
            | Self::Refused { untouched, .. }
            | Self::Withdrawn { untouched, .. } => *untouched = rest.to_vec(),
            Self::File { .. } | Self::Setting(_) | Self::Rollout { .. } | Self::Several(_) => {}
        }
        self
    }
}

fn one_line(errors: &[ClientError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn at_step(step: Option<&str>) -> String {
    step.map(|step| format!(" at step `{step}`"))
        .unwrap_or_default()
}

fn left_alone(untouched: &[AdminUrl]) -> String {
    if untouched.is_empty() {
        return String::new();
    }
    let hosts: Vec<String> = untouched.iter().map(ToString::to_string).collect();
    format!("; not tried: {}", hosts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_step_and_the_hosts_left_alone() {
        let url = |port: u16| AdminUrl::Tcp(format!("127.0.0.1:{port}"));
        let error = ClientError::Refused {
            admin: url(1),
            status: 422,
            step: Some("probe".into()),
            cause: Some("probe".into()),
            detail: "GET /x answered 500".into(),
            untouched: Vec::new(),
        };
        assert_eq!(
            error.before(&[url(2), url(3)]).to_string(),
            "http://127.0.0.1:1 refused (422) at step `probe`: GET /x answered 500; \
             not tried: http://127.0.0.1:2, http://127.0.0.1:3"
        );
    }
}
