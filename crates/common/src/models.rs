//! An image and what can be said about it, as stored in the table `images` and sent over the queue.

use std::fmt;

/// Identifies an image: the `id` of its row.
///
/// On the queue it travels as 8 bytes, little-endian and unsigned, as the original writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub u64);

impl ImageId {
    /// The body of the message that announces this image.
    pub fn to_message(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// Reads a message's body. Anything but 8 bytes was not sent by a receiver or a redeemer.
    pub fn from_message(body: &[u8]) -> Result<Self, NotAnImageId> {
        body.try_into().map(|bytes| Self(u64::from_le_bytes(bytes))).map_err(|_| NotAnImageId(body.len()))
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message whose body is no image id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {0} bytes is no image id: 8 bytes, little-endian, were expected")]
pub struct NotAnImageId(pub usize);

/// The `person` of an image on which nobody was named; the original cannot read NULL.
pub const NOBODY: i32 = -1;

/// How far along an image is; the numbers are the original's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// Stored, and waiting for a processor.
    Pending = 0,
    /// Recognition ran, whether or not somebody was named.
    Processed = 1,
    /// Recognition failed for this image as often as it may.
    FailedProcessing = 2,
    /// Claimed by one processor.
    Processing = 3,
}

impl Status {
    /// The number in the column `status`.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Reads the column `status`; `None` for a number that neither the original nor this port writes.
    pub fn from_code(code: i32) -> Option<Self> {
        [Self::Pending, Self::Processed, Self::FailedProcessing, Self::Processing]
            .into_iter()
            .find(|status| status.code() == code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "Pending",
            Self::Processed => "Processed",
            Self::FailedProcessing => "Failed",
            Self::Processing => "Processing",
        })
    }
}

/// Somebody who can be recognised.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Person {
    /// The `id` of the row in `person`.
    pub id: i32,
    /// The name shown to users.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_travels_as_the_originals_eight_bytes() {
        assert_eq!(ImageId(4).to_message(), [4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(ImageId(0x0102_0304_0506_0708).to_message(), [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(ImageId::from_message(&[255, 255, 255, 255, 0, 0, 0, 0]), Ok(ImageId(u32::MAX.into())));
        assert_eq!(ImageId::from_message(&[0xff; 8]), Ok(ImageId(u64::MAX)));
    }

    #[test]
    fn a_body_of_another_length_is_refused() {
        for length in [0, 7, 9] {
            assert_eq!(ImageId::from_message(&vec![1; length]), Err(NotAnImageId(length)));
        }
    }

    #[test]
    fn statuses_have_the_originals_numbers() {
        assert_eq!(Status::from_code(0), Some(Status::Pending));
        assert_eq!(Status::from_code(1), Some(Status::Processed));
        assert_eq!(Status::from_code(2), Some(Status::FailedProcessing));
        assert_eq!(Status::from_code(3), Some(Status::Processing));
        assert_eq!(Status::from_code(4), None);
    }
}
