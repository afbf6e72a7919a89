//! Formats numbers for people: with thousands separators and only significant digits, and changes in percent and as a
//! factor.

use super::document::{Note, Tone};

/// Smaller changes are within the difference between two runs of the same thing.
pub(crate) const NOISE: f64 = 0.10;

/// The text for an unknown number.
pub(crate) const UNKNOWN: &str = "–";

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// At least three digits, and none after the point from 100 on: `0.47`, `3.21`, `47.1`, `1,235`.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return UNKNOWN.into();
    }
    match value.abs() {
        0.0 => "0".into(),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ if value < 0.0 => format!("-{}", count(value.abs().round() as u64)),
        _ => count(value.round() as u64),
    }
}

/// `1,234 ms`; Locust's own resolution is one millisecond.
pub(crate) fn ms(value: f64) -> String {
    match value {
        _ if !value.is_finite() => UNKNOWN.into(),
        _ if value < 10.0 && value.fract() != 0.0 => format!("{value:.1} ms"),
        _ => format!("{} ms", count(value.round().max(0.0) as u64)),
    }
}

/// As [`ms`], or [`UNKNOWN`].
pub(crate) fn maybe_ms(value: Option<f64>) -> String {
    value.map_or_else(|| UNKNOWN.into(), ms)
}

/// `12.3/s`
pub(crate) fn per_second(value: f64) -> String {
    format!("{}/s", number(value))
}

/// A share of 1 as `12.3 %`. A small share is never shown as 0.
pub(crate) fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if !percent.is_finite() => UNKNOWN.into(),
        0.0 => "0 %".into(),
        percent if percent < 0.1 => "under 0.1 %".into(),
        percent if percent < 10.0 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// `failures` of `requests`, as a share of 1.
pub(crate) fn share(failures: u64, requests: u64) -> f64 {
    if requests == 0 {
        0.0
    } else {
        failures as f64 / requests as f64
    }
}

/// `+35 %`, `−97 %`, `±0 %`
pub(crate) fn change(from: f64, to: f64) -> Option<String> {
    let ratio = ratio(from, to)?;
    let percent = (ratio - 1.0) * 100.0;
    Some(match percent.round() {
        0.0 => "±0 %".into(),
        up if up > 0.0 => format!("+{} %", count(up as u64)),
        // Never −100 %, because something is left.
        down if down <= -99.0 => format!("−{:.1} %", (-percent).min(99.9)),
        down => format!("−{} %", count(-down as u64)),
    })
}

/// The factor between two values, with a word for its direction: `3.1× faster`.
pub(crate) fn factor(from: f64, to: f64, less: &str, more: &str) -> Option<String> {
    let ratio = ratio(from, to)?;
    let (size, word) = if ratio < 1.0 {
        (1.0 / ratio, less)
    } else {
        (ratio, more)
    };
    Some(format!("{}× {word}", short(size)))
}

/// A comparison of times: less is better.
pub(crate) fn compare_times(label: &str, from: Option<f64>, to: Option<f64>) -> Option<Note> {
    let (from, to) = (from?, to?);
    let text = format!(
        "{label}: {} ({})",
        change(from, to)?,
        factor(from, to, "faster", "slower")?
    );
    Some(Note {
        text,
        tone: tone(from, to),
    })
}

/// A comparison of rates: more is better.
pub(crate) fn compare_rates(label: &str, from: Option<f64>, to: Option<f64>) -> Option<Note> {
    let (from, to) = (from?, to?);
    let text = format!("{label}: {} ({}×)", change(from, to)?, short(to / from));
    Some(Note {
        text,
        tone: tone(to, from),
    })
}

/// Whether the change of a value that should be small is an improvement.
pub(crate) fn tone(from: f64, to: f64) -> Tone {
    match ratio(from, to) {
        Some(ratio) if ratio < 1.0 - NOISE => Tone::Better,
        Some(ratio) if ratio > 1.0 / (1.0 - NOISE) => Tone::Worse,
        _ => Tone::Even,
    }
}

/// The ratio of two values; `None` if they can't be compared.
fn ratio(from: f64, to: f64) -> Option<f64> {
    let known = from.is_finite() && to.is_finite() && from > 0.0 && to > 0.0;
    known.then(|| to / from)
}

fn short(factor: f64) -> String {
    if factor < 10.0 {
        format!("{factor:.1}")
    } else {
        count(factor.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let texts = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
        let texts = [0.0, 0.472, 47.12, 1234.6, f64::NAN].map(number);
        assert_eq!(texts, ["0", "0.47", "47.1", "1,235", "–"]);
    }

    #[test]
    fn changes_are_signed_and_never_all_of_it() {
        assert_eq!(change(100.0, 135.0).as_deref(), Some("+35 %"));
        assert_eq!(change(1000.0, 1.0).as_deref(), Some("−99.9 %"));
        assert_eq!(change(100.0, 100.2).as_deref(), Some("±0 %"));
        assert_eq!(change(0.0, 5.0), None);
    }

    #[test]
    fn comparisons_say_which_way_is_better() {
        let faster = compare_times("vs 1", Some(310.0), Some(100.0)).expect("comparable");
        assert_eq!(faster.text, "vs 1: −68 % (3.1× faster)");
        assert_eq!(faster.tone, Tone::Better);
        let fewer = compare_rates("vs 1", Some(310.0), Some(100.0)).expect("comparable");
        assert_eq!(
            (fewer.text.as_str(), fewer.tone),
            ("vs 1: −68 % (0.3×)", Tone::Worse)
        );
        let even = compare_times("vs 1", Some(100.0), Some(105.0)).expect("comparable");
        assert_eq!(even.tone, Tone::Even);
        assert_eq!(compare_times("vs 1", None, Some(1.0)), None);
    }

    #[test]
    fn a_small_share_is_not_nothing() {
        assert_eq!(percent(share(1, 100_000)), "under 0.1 %");
        assert_eq!(percent(share(0, 100)), "0 %");
        assert_eq!(percent(share(53, 100)), "53 %");
    }
}
