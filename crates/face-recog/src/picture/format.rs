//! What kind of picture a file holds, told from its first bytes: its name may say anything.

/// The formats that are read, in the words of every message.
pub(crate) const READ: &str = "JPEG, PNG, WebP, GIF, BMP, TIFF, HEIC or AVIF";

/// What kind of picture it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    /// A picture in the container of HEIF: what its kind is called.
    Heif(&'static str),
}

impl Format {
    /// As HTTP names it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Heif("AVIF") => "image/avif",
            Self::Heif(_) => "image/heic",
        }
    }

    /// `None` for what is no picture that anybody is likely to have.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Some(match bytes {
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'B', b'M', ..] => Self::Bmp,
            [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => Self::Tiff,
            [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => Self::Heif(match brand.first_chunk()? {
                b"avif" | b"avis" => "AVIF",
                b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1" => "HEIC",
                _ => return None,
            }),
            _ => return None,
        })
    }
}
