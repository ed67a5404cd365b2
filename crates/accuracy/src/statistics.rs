//! How sure a share is that was counted.

/// The 95 % interval of a share of which `hits` of `all` were seen (Wilson, "Probable inference", JASA 1927), as
/// percentages. Of nothing everything is possible.
pub fn interval(hits: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 100.0);
    }
    let (hits, all) = (hits as f64, all as f64);
    let z = 1.96;
    let share = hits / all;
    let middle = (share + z * z / (2.0 * all)) / (1.0 + z * z / all);
    let half = z / (1.0 + z * z / all) * (share * (1.0 - share) / all + z * z / (4.0 * all * all)).sqrt();
    (100.0 * (middle - half).max(0.0), 100.0 * (middle + half).min(1.0))
}

/// A share and its interval, for a table.
pub fn share(hits: usize, all: usize) -> String {
    let (low, high) = interval(hits, all);
    let percent = 100.0 * hits as f64 / all.max(1) as f64;
    format!("{percent:.2} % ({hits} of {all}; 95 %: {low:.2} to {high:.2})")
}

/// The greatest distance at which at most `share` of the `others`, in rising order, count as the same person.
pub fn tolerance_for(others: &[f64], share: f64) -> Option<f64> {
    // Truncation is the wish: rather fewer.
    let allowed = (others.len() as f64 * share) as usize;
    // Just below the first that must not match.
    others.get(allowed).map(|distance| distance.next_down())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_interval_narrows_with_the_number_of_cases_and_stays_possible() {
        let (low, high) = interval(299, 300);
        assert!((low - 98.14).abs() < 0.02 && (high - 99.94).abs() < 0.02, "{low} {high}");
        assert_eq!(interval(0, 0), (0.0, 100.0));
        let (low, high) = interval(0, 10);
        assert!(low == 0.0 && (high - 27.75).abs() < 0.02, "{high}");
    }

    #[test]
    fn a_tolerance_lets_no_more_than_the_share_of_others_match() {
        let others: Vec<f64> = (0..1_000).map(|number| f64::from(number) / 1_000.0).collect();
        for (share, most) in [(0.01, 10), (0.001, 1), (0.0, 0)] {
            let tolerance = tolerance_for(&others, share).unwrap();
            assert_eq!(others.iter().filter(|distance| **distance <= tolerance).count(), most);
        }
        assert_eq!(tolerance_for(&[], 0.01), None);
    }
}
