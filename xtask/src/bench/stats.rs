//! Medians, of single calls and of rounds.

use std::time::Duration;

/// The middle of some values; the lower one of two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// The middle of some durations, in microseconds.
pub(crate) fn median_micros(values: &[Duration]) -> Option<f64> {
    let micros: Vec<_> = values.iter().map(|value| value.as_secs_f64() * 1e6).collect();
    median(&micros)
}

/// The value that only one in a hundred of some durations is above, in microseconds.
pub(crate) fn p99_micros(values: &[Duration]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * 99).div_ceil(100).checked_sub(1)?;
    sorted.get(at).map(|value| value.as_secs_f64() * 1e6)
}

/// The smallest and the largest of some values.
pub(crate) fn range(values: &[f64]) -> Option<(f64, f64)> {
    let low = values.iter().copied().min_by(f64::total_cmp)?;
    let high = values.iter().copied().max_by(f64::total_cmp)?;
    Some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        for (values, expect) in [
            (&[][..], None),
            (&[3.0][..], Some(3.0)),
            (&[9.0, 1.0, 2.0][..], Some(2.0)),
            (&[4.0, 1.0, 3.0, 2.0][..], Some(2.0)),
        ] {
            assert_eq!(median(values), expect, "{values:?}");
        }
        assert_eq!(median_micros(&[Duration::from_nanos(1_500)]), Some(1.5));
    }

    #[test]
    fn one_in_a_hundred_is_above() {
        let values: Vec<_> = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(p99_micros(&values), Some(198.0));
        assert_eq!(p99_micros(&[Duration::from_micros(7)]), Some(7.0));
        assert_eq!(p99_micros(&[]), None);
    }

    #[test]
    fn the_range_holds_all() {
        assert_eq!(range(&[2.0, 1.0, 3.0]), Some((1.0, 3.0)));
        assert_eq!(range(&[]), None);
    }
}
