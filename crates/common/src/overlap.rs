//! How far boxes overlap, and so which face is which when a picture is looked at again.

/// Left edge, top edge, width and height.
type Area = [i32; 4];

/// Least overlap of two boxes of the same face: intersection over union. The boxes of different detectors differ in shape
/// and place: the square of 0.92 · √(w · h), 0.08 · h further down, that the earlier detector drew overlaps today's box
/// w × h by 0.6 to 0.8, and the steps of its image pyramid take some of that. The boxes of people side by side overlap less.
const LEAST_OVERLAP: f64 = 0.3;

/// For each of `new`, which of `old` it is: its position there. Each is paired once at most, those that overlap most first.
pub(crate) fn pair(old: &[Area], new: &[Area]) -> Vec<Option<usize>> {
    let mut candidates: Vec<(f64, usize, usize)> = Vec::new();
    for (new_at, &new) in new.iter().enumerate() {
        for (old_at, &old) in old.iter().enumerate() {
            let overlap = overlap(old, new);
            if overlap >= LEAST_OVERLAP {
                candidates.push((overlap, old_at, new_at));
            }
        }
    }
    // The sort is stable: of equal ones the surer faces come first.
    candidates.sort_by(|one, other| other.0.total_cmp(&one.0));
    let mut is_taken = vec![false; old.len()];
    let mut pairs = vec![None; new.len()];
    for (_, old_at, new_at) in candidates {
        if !is_taken[old_at] && pairs[new_at].is_none() {
            is_taken[old_at] = true;
            pairs[new_at] = Some(old_at);
        }
    }
    pairs
}

/// Intersection over union of two boxes, each of them left edge, top edge, width and height: 1 for the same box, 0 for boxes
/// that do not touch.
pub fn overlap<L: Into<f64>>(one: [L; 4], other: [L; 4]) -> f64 {
    let (one, other) = (one.map(L::into), other.map(L::into));
    let along = |start: usize, length: usize| {
        let end = |area: [f64; 4]| area[start] + area[length];
        (end(one).min(end(other)) - one[start].max(other[start])).max(0.0)
    };
    let size = |area: [f64; 4]| area[2] * area[3];
    let both = along(0, 2) * along(1, 3);
    let either = size(one) + size(other) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The square that the earlier detector drew for a face with this box.
    fn earlier([x, y, width, height]: Area) -> Area {
        let (x, y, width, height) = (f64::from(x), f64::from(y), f64::from(width), f64::from(height));
        let side = 0.9224 * (width * height).sqrt();
        let left = x + (width - side) / 2.0 + 0.006 * width;
        let top = y + (height - side) / 2.0 + 0.0784 * height;
        [left, top, side, side].map(|length| length.round() as i32)
    }

    #[test]
    fn the_same_box_overlaps_whole_and_a_distant_one_not_at_all() {
        assert_eq!(overlap([-3, 4, 50, 60], [-3, 4, 50, 60]), 1.0);
        assert_eq!(overlap([0, 0, 10, 10], [10, 0, 10, 10]), 0.0);
        assert_eq!(overlap([0, 0, 10, 10], [5, 0, 10, 10]), 50.0 / 150.0);
        assert_eq!(overlap([0, 0, 0, 0], [0, 0, 0, 0]), 0.0);
        assert_eq!(overlap([i32::MIN, 0, i32::MAX, 9], [i32::MAX, 0, i32::MAX, 9]), 0.0);
    }

    #[test]
    fn a_face_is_found_again_by_a_detector_that_draws_other_boxes() {
        // Of a crowd: in two rows, a face's width apart.
        let new: Vec<Area> = (0..20).map(|n| [n % 10 * 60, n / 10 * 90, 30, 40]).collect();
        let old: Vec<Area> = new.iter().rev().map(|&area| earlier(area)).collect();
        let expected: Vec<_> = (0..20).rev().map(Some).collect();
        assert_eq!(pair(&old, &new), expected);
        assert!(new.iter().zip(old.iter().rev()).all(|(&new, &old)| overlap(old, new) > 0.65));
    }

    #[test]
    fn a_face_goes_with_the_one_that_overlaps_it_most_and_with_no_other() {
        let old = [[0, 0, 100, 100], [40, 0, 100, 100]];
        assert_eq!(pair(&old, &[[38, 0, 100, 100]]), [Some(1)]);
        assert_eq!(pair(&old, &[[38, 0, 100, 100], [42, 0, 100, 100]]), [Some(1), Some(0)]);
        assert_eq!(pair(&old[..1], &[[10, 0, 100, 100], [0, 0, 100, 100]]), [None, Some(0)]);
        assert_eq!(pair(&old, &[[60, 60, 100, 100]]), [None], "they hardly touch");
        assert_eq!(pair(&[], &[[0, 0, 9, 9]]), [None]);
        assert!(pair(&old, &[]).is_empty());
    }

    #[test]
    fn of_boxes_that_are_equal_the_surest_go_together() {
        let box_of = [[5, 5, 50, 50]; 3];
        assert_eq!(pair(&box_of[..2], &box_of), [Some(0), Some(1), None]);
    }
}
