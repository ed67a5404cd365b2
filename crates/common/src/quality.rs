//! How well a face has to be seen before others are compared with it, as an example of somebody known or as the first of a
//! cluster. Whatever was found is compared with these; but what is small, blurred or turned away resembles many.

/// Least height of a face that is compared with others, in pixels. Of lower ones the embedding says nothing: only their
/// boxes are kept. Measured: of faces 20 pixels high 58 % are recognised beside a sharp reference, of those 16 pixels
/// high 8 %.
pub const MIN_COMPARED_HEIGHT: i32 = 20;

/// Least height of a reference photo's face, in pixels. Measured: of two lower faces, some resemble each other although
/// they are of different people; from here on none did.
pub const MIN_REFERENCE_HEIGHT: i32 = 48;

/// How much nearer a face has to be to a known one than MATCH_TOLERANCE when it is lower than [`MIN_REFERENCE_HEIGHT`].
/// Measured: a face 32 pixels high, saved as a JPEG of quality 50, was at 0.595 from somebody else's; none below 0.57.
pub const SMALL_FACE_MARGIN: f64 = 0.05;

/// Greatest distance at which a face of [`MIN_REFERENCE_HEIGHT`] or more may show the nearest person, so that it is worth asking.
/// Measured: faces of other people begin at 0.61 to 0.65.
pub const SUGGESTION_TOLERANCE: f64 = 0.65;

/// Distance to a reference photo from which on a name is doubtful until somebody confirms it: 0.1 nearer than the default of
/// MATCH_TOLERANCE.
pub const DOUBTFUL: f64 = 0.5;

/// A face is in the background of its picture when another one is more than so many times as high.
pub const BACKGROUND: i32 = 2;

/// Least sharpness: the variance of the Laplacian.
pub const MIN_SHARPNESS: f32 = 30.0;

/// How far it may be turned to a side: 0 looks straight ahead, 1 is a profile.
pub const MAX_YAW: f32 = 0.7;

/// Greatest distance of two faces of one cluster, if one of them is lower than [`MIN_REFERENCE_HEIGHT`]. Measured: of faces
/// 20 to 40 pixels high, up to 4 % of others are within 0.6 of each other, and none within 0.5.
pub const SMALL_FACES_TOLERANCE: f64 = 0.5;

/// Whether an unknown face is seen well enough to belong to a cluster.
pub fn can_be_grouped(height: i32, sharpness: f32, turned: f32) -> bool {
    height >= MIN_COMPARED_HEIGHT && sharpness >= MIN_SHARPNESS && turned <= MAX_YAW
}

/// Whether a face of this height, in pixels, resembles others more than a large one does.
pub fn is_small(height: i32) -> bool {
    height < MIN_REFERENCE_HEIGHT
}

/// Greatest distance at which a face of this height matches a known one; `tolerance` is that of a large face.
pub fn match_tolerance(height: i32, tolerance: f64) -> f64 {
    if is_small(height) { tolerance - SMALL_FACE_MARGIN } else { tolerance }
}

/// Why a face is no good example, in words; `None` when it is one.
pub fn fault(height: i32, sharpness: f32, turned: f32) -> Option<String> {
    if height < MIN_REFERENCE_HEIGHT {
        Some(format!("it is too small: {height} pixels high, and {MIN_REFERENCE_HEIGHT} are needed"))
    } else if sharpness < MIN_SHARPNESS {
        Some(format!("it is blurred: its sharpness is {sharpness:.0}, and {MIN_SHARPNESS:.0} is needed"))
    } else if turned > MAX_YAW {
        Some(format!("it looks to the side: it is turned by {turned:.1}, and {MAX_YAW} is the most"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_named_with_what_would_be_good_enough() {
        assert_eq!(fault(48, 30.0, 0.7), None);
        assert!(fault(47, 30.0, 0.7).is_some_and(|words| words.contains("47 pixels high, and 48")));
        assert!(fault(90, 29.0, 0.7).is_some_and(|words| words.contains("sharpness is 29, and 30")));
        assert!(fault(90, 30.0, 0.8).is_some_and(|words| words.contains("turned by 0.8, and 0.7")));
    }
}
