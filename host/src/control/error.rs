//! The reasons why a change is not made.

use http::StatusCode;

use crate::answers::{BUSY, NO_CANARY};
use crate::rollout::Phase;

/// A step of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Receive,
    Digest,
    Signature,
    Compile,
    Link,
    Probe,
    Persist,
}

impl Step {
    /// The step's name in the admin API, the metrics and the audit log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Digest => "digest",
            Self::Signature => "signature",
            Self::Compile => "compile",
            Self::Link => "link",
            Self::Probe => "probe",
            Self::Persist => "persist",
        }
    }
}

/// Why a change was not made. What served before continues to serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("this app has no component `{0}`")]
    Unknown(String),
    /// Holds the name of a component in backticks, or `the app`.
    #[error("another change of {0} is under way; try again when it is done")]
    Busy(String),
    #[error("a canary of `{0}` is on trial; promote or abort it first")]
    OnTrial(String),
    #[error("`{0}` has no canary on trial")]
    NoCanary(String),
    /// The roll-out that a command leads is not the one on this host.
    #[error("`{0}` has no such roll-out here; was the host restarted without its state folder?")]
    NotLed(String),
    /// A single host must not promote in a roll-out over several hosts.
    #[error(
        "a command leads the roll-out of `{0}` over several hosts, and promotes on all of them or none; abort it, or let it go on"
    )]
    Led(String),
    /// The stable version of this host may have to be taken back.
    #[error(
        "this host has promoted a version of `{0}` that others of its roll-out may not have; try again when they have, or roll it back first"
    )]
    Unsettled(String),
    /// The command's message arrived too late: the roll-out has passed that phase.
    #[error("the roll-out of `{component}` is in {phase} here, and does not go back to {wanted}")]
    Passed {
        component: String,
        phase: Phase,
        wanted: Phase,
    },
    /// The roll-out that a command leads has ended on this host.
    #[error("the roll-out of `{component}` is over here: {how}")]
    Ended { component: String, how: String },
    #[error("`{component}` has no {wanted} to roll back to; kept are: {kept}")]
    NotKept {
        component: String,
        wanted: String,
        kept: String,
    },
    #[error("{reason}")]
    Failed {
        step: Step,
        status: StatusCode,
        reason: String,
    },
    /// The request for the change is invalid.
    #[error("{0}")]
    Malformed(String),
    /// The manifest, or a file that it names, can't be served.
    #[error("{0}")]
    Reload(String),
    /// The change panicked, or the host is ending.
    #[error("the change was interrupted; /status shows which version serves")]
    BrokenOff,
    #[error(
        "another host has been making the reports of `{0}` for too long; try again when it is done"
    )]
    RefreshedElsewhere(String),
    #[error("the reports of `{component}` can't be made: {reason}")]
    Refresh { component: String, reason: String },
}

impl ControlError {
    /// A failure of `step` that was caused by the uploaded bytes.
    pub(crate) fn at(step: Step, reason: impl Into<String>) -> Self {
        Self::Failed {
            step,
            status: StatusCode::UNPROCESSABLE_ENTITY,
            reason: reason.into(),
        }
    }

    pub(crate) fn step(&self) -> Option<Step> {
        match self {
            Self::Failed { step, .. } => Some(*step),
            _ => None,
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Busy(_)
            | Self::OnTrial(_)
            | Self::NoCanary(_)
            | Self::NotLed(_)
            | Self::Led(_)
            | Self::Unsettled(_)
            | Self::Passed { .. }
            | Self::Ended { .. }
            | Self::NotKept { .. }
            | Self::RefreshedElsewhere(_) => StatusCode::CONFLICT,
            Self::Failed { status, .. } => *status,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Reload(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BrokenOff => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Refresh { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The name of the error in metrics, in the audit log and in answers.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_component",
            Self::Led(_)
            | Self::Unsettled(_)
            | Self::Passed { .. }
            | Self::Busy(_)
            | Self::OnTrial(_)
            | Self::RefreshedElsewhere(_) => BUSY,
            Self::NoCanary(_) | Self::NotLed(_) | Self::Ended { .. } => NO_CANARY,
            Self::NotKept { .. } => "not_kept",
            Self::Failed { step, .. } => step.label(),
            Self::Malformed(_) => "malformed",
            Self::Reload(_) => "invalid",
            Self::BrokenOff => "broken_off",
            Self::Refresh { .. } => "failed",
        }
    }
}
