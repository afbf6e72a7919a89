//! Statistics of samples.

/// The median of some samples, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The one in the middle, or the mean of the two there.
    pub median: f64,
    /// The lowest of them.
    pub lowest: f64,
    /// The highest of them.
    pub highest: f64,
}

/// The spread of the samples; `None` if there are none.
pub fn spread(samples: impl IntoIterator<Item = f64>) -> Option<Spread> {
    let mut sorted: Vec<f64> = samples.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
    let (left, right) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    Some(Spread {
        median: (left + right) / 2.0,
        lowest,
        highest,
    })
}

/// The median of the samples; `None` if there are none.
pub fn median(samples: impl IntoIterator<Item = f64>) -> Option<f64> {
    spread(samples).map(|spread| spread.median)
}

/// The mean of the samples; `None` if there are none.
pub fn mean(samples: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut count, mut sum) = (0_u32, 0.0);
    for sample in samples {
        count += 1;
        sum += sample;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// The quantile of sorted samples, with 0.99 as `part` for the 99th percentile; `None` if there are none.
pub fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), Some(3.0));
        let ends = spread([4.0, 1.0]).map(|spread| (spread.lowest, spread.highest));
        assert_eq!(ends, Some((1.0, 4.0)));
    }

    #[test]
    fn quantiles_are_samples() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&hundred, 0.99), Some(99.0));
        assert_eq!(quantile(&hundred, 0.5), Some(50.0));
        assert_eq!(quantile(&hundred, 1.0), Some(100.0));
    }

    #[test]
    fn means_count_every_sample() {
        assert_eq!(mean([]), None);
        assert_eq!(mean([9.0, 1.0, 2.0]), Some(4.0));
    }
}
