//! Chooses the traces that are sent even if their request is neither slow nor failed, as `OTEL_TRACES_SAMPLER` says.

use opentelemetry::trace::TraceId;

use super::context::Caller;

/// Decides for each trace whether it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sampler {
    /// Whether the caller decides, if there is one.
    follows_caller: bool,
    /// How many of 2^63 traces are sent.
    share: u64,
}

/// The value of `share` that sends all traces.
const ALL: u64 = 1 << 63;

impl Sampler {
    /// OpenTelemetry's default: all traces that begin here, and those of callers who have them in their sample.
    pub(super) const USUAL: Self = Self {
        follows_caller: true,
        share: ALL,
    };

    /// The sampler with this name and argument.
    ///
    /// # Errors
    /// No sampler has this name, or the argument is no share. The error says what to write instead.
    pub(super) fn named(name: &str, argument: Option<&str>) -> Result<Self, String> {
        let (follows_caller, kind) = match name.strip_prefix("parentbased_") {
            Some(kind) => (true, kind),
            None => (false, name),
        };
        let share = match kind {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => share(argument)?,
            _ => {
                return Err(format!(
                    "OTEL_TRACES_SAMPLER: `{name}` is none of always_on, always_off, traceidratio, and the same after \
                     parentbased_"
                ));
            }
        };
        Ok(Self {
            follows_caller,
            share,
        })
    }

    /// Whether the trace is sent.
    pub(super) fn takes(self, trace: TraceId, caller: Option<&Caller>) -> bool {
        match caller {
            Some(caller) if self.follows_caller => caller.is_sampled,
            // Compares the lower half of the trace's id, without its last bit. All programs that sample by id must do
            // the same.
            _ => u128::from_be_bytes(trace.to_bytes()) as u64 >> 1 < self.share,
        }
    }
}

fn share(argument: Option<&str>) -> Result<u64, String> {
    // The specification defines this default for a missing argument.
    let Some(text) = argument else { return Ok(ALL) };
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok((share * ALL as f64) as u64),
        _ => Err(format!(
            "OTEL_TRACES_SAMPLER_ARG: `{text}` is no share; write a number from 0 to 1, for example 0.01"
        )),
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, SpanKind};
    use opentelemetry_sdk::trace::{
        IdGenerator, RandomIdGenerator, Sampler as Sdk, SamplingDecision, ShouldSample,
    };

    use super::*;

    fn caller(is_sampled: bool) -> Caller {
        Caller {
            trace: TraceId::from(1),
            span: SpanId::from(1),
            is_sampled,
            state: None,
        }
    }

    #[test]
    fn a_share_is_chosen_as_everyone_else_chooses_it() {
        let ours = Sampler::named("traceidratio", Some("0.25")).expect("valid");
        let theirs = Sdk::TraceIdRatioBased(0.25);
        let mut taken = 0;
        for _ in 0..4_000 {
            let trace = RandomIdGenerator::default().new_trace_id();
            let kind = SpanKind::Server;
            let expected = theirs
                .should_sample(None, trace, "", &kind, &[], &[])
                .decision;
            let takes = ours.takes(trace, None);
            assert_eq!(takes, expected == SamplingDecision::RecordAndSample);
            taken += usize::from(takes);
        }
        assert!((800..1200).contains(&taken), "{taken} of 4000");
    }

    #[test]
    fn the_caller_decides_only_where_it_is_asked_for() {
        let trace = TraceId::from(1);
        let takes = |name, is_sampled: Option<bool>| {
            let sampler = Sampler::named(name, None).expect(name);
            sampler.takes(trace, is_sampled.map(caller).as_ref())
        };
        assert!(takes("parentbased_always_off", Some(true)));
        assert!(!takes("parentbased_always_off", None));
        assert!(!takes("parentbased_always_on", Some(false)));
        assert!(takes("parentbased_traceidratio", None));
        assert!(takes("always_on", Some(false)));
        assert!(!takes("always_off", Some(true)));
    }

    #[test]
    fn what_is_no_sampler_is_refused() {
        for (name, argument) in [
            ("", None),
            ("xray", None),
            ("parentbased_", None),
            ("traceidratio", Some("1 %")),
            ("traceidratio", Some("1.5")),
            ("traceidratio", Some("-0.1")),
            ("traceidratio", Some("NaN")),
        ] {
            assert!(
                Sampler::named(name, argument).is_err(),
                "{name} {argument:?}"
            );
        }
    }
}
