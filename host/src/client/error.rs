//! The errors of operators' commands.

use std::path::PathBuf;

use crate::config::AdminUrl;

/// Why an operator's command failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file on the command line can't be read.
    #[error("{path}: can't be read: {source}")]
    File {
        /// The path as it was given.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A setting is invalid.
    #[error("{0}")]
    Setting(String),
    /// A host gave no answer.
    #[error("{admin}: {reason}{}", left_alone(.untouched))]
    NoAnswer {
        /// The address of the host's admin interface.
        admin: AdminUrl,
        /// What happened instead.
        reason: String,
        /// The remaining hosts, which were not tried.
        untouched: Vec<AdminUrl>,
    },
    /// A host refused the change, so nothing has changed on it.
    #[error(
        "{admin} refused ({status}){}: {detail}{}",
        at_step(.step.as_deref()),
        left_alone(.untouched)
    )]
    Refused {
        /// The address of the host's admin interface.
        admin: AdminUrl,
        /// The HTTP status of its answer.
        status: u16,
        /// The step of a swap that failed.
        step: Option<Box<str>>,
        /// The host's reason as one word.
        cause: Option<Box<str>>,
        /// The host's reason as text.
        detail: String,
        /// The remaining hosts, which were not tried.
        untouched: Vec<AdminUrl>,
    },
    /// A process that was told by a signal to reload its app has refused.
    #[error("{admin}: nothing is reloaded: {reason}")]
    NotReloaded {
        /// The address of its admin interface.
        admin: AdminUrl,
        /// The host's reason as text.
        reason: String,
    },
    /// A host withdrew a canary.
    #[error("{admin}: generation {generation} was not promoted: {reason}{}", left_alone(.untouched))]
    Withdrawn {
        /// The address of the host's admin interface.
        admin: AdminUrl,
        /// The generation number of the canary.
        generation: u64,
        /// The host's reason as text.
        reason: String,
        /// The remaining hosts, which were not tried.
        untouched: Vec<AdminUrl>,
    },
    /// A roll-out over several hosts failed.
    #[error("the roll-out of `{component}`: {reason}")]
    Rollout {
        /// The id of the component.
        component: String,
        /// What happened, and the state of the hosts afterwards.
        reason: String,
    },
    /// All hosts were tried, and these failed.
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
            | Self::NotReloaded { .. }
            | Self::Withdrawn { .. }
            | Self::Rollout { .. }
            | Self::Several(_) => 1,
        }
    }

    /// Adds to the error the remaining hosts, which were not tried because of it.
    pub(super) fn before(mut self, rest: &[AdminUrl]) -> Self {
        match &mut self {
            Self::NoAnswer { untouched, .. }
            | Self::Refused { untouched, .. }
            | Self::Withdrawn { untouched, .. } => *untouched = rest.to_vec(),
            Self::File { .. }
            | Self::Setting(_)
            | Self::NotReloaded { .. }
            | Self::Rollout { .. }
            | Self::Several(_) => {}
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
