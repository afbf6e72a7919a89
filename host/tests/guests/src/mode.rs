//! What a version does to every request: read from a fixed place in the component's data.

use std::hint::black_box;

/// Overwritten in the built file.
static MODE: [u8; 48] = *b"test-guest mode=well............................";

/// How a version behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Answers.
    Well,
    /// Is refused by the probe: traps on it.
    TrapOnProbe,
    /// Is refused by the probe: never answers it.
    LoopOnProbe,
    /// Passes the probe and traps on everything else.
    TrapUnlessProbe,
    /// Passes the probe and answers 500 to everything else.
    FailUnlessProbe,
    /// Passes the probe, and begins answers to everything else that it does not end.
    BreakUnlessProbe,
    /// Passes the probe and keeps everything else waiting.
    Slow {
        /// For this long.
        milliseconds: u64,
    },
}

impl Mode {
    /// The mode of this version.
    pub(crate) fn current() -> Self {
        Self::parse(marked(&MODE, "test-guest mode="))
    }

    fn parse(text: &str) -> Self {
        match text {
            "well" => Self::Well,
            "trap-on-probe" => Self::TrapOnProbe,
            "loop-on-probe" => Self::LoopOnProbe,
            "trap-unless-probe" => Self::TrapUnlessProbe,
            "fail-unless-probe" => Self::FailUnlessProbe,
            "break-unless-probe" => Self::BreakUnlessProbe,
            _ => match text.strip_prefix("slow-").map(str::parse) {
                Some(Ok(milliseconds)) => Self::Slow { milliseconds },
                _ => panic!("the test asks for a mode that does not exist: {text}"),
            },
        }
    }
}

/// The text between `prefix` and the dots of `place`. The compiler must not know its content, or it would not be read
/// from where a test has written it.
pub(crate) fn marked<const N: usize>(place: &'static [u8; N], prefix: &str) -> &'static str {
    let text = std::str::from_utf8(black_box(place)).unwrap_or_default();
    text.get(prefix.len()..)
        .unwrap_or_default()
        .trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_up_to_its_dots() {
        static PLACE: [u8; 16] = *b"place=a.b.......";
        assert_eq!(marked(&PLACE, "place="), "a.b");
    }

    #[test]
    fn a_mode_may_carry_a_number() {
        assert_eq!(Mode::current(), Mode::Well);
        assert_eq!(Mode::parse("slow-250"), Mode::Slow { milliseconds: 250 });
    }
}
