//! EXIF: how the camera was held, and when. In every format it is a TIFF, and a TIFF is its own.
//!
//! It is read where it lies, the few fields that matter and nothing else: a TIFF may have 64 MiB, and general readers copy
//! it, or every field that it claims to have. What cannot be read is left out: it is never a reason to refuse a picture.

use chrono::{FixedOffset, NaiveDateTime};
use common::taken::{self, Taken};
use image::metadata::Orientation;

const ORIENTATION: u16 = 0x0112;

/// Where the directory with the other fields is.
const EXIF: u16 = 0x8769;

/// When the picture was taken or, of a scan, made digital; and its offset from UTC. (There is a third date: when the file was changed.)
const DATES: [(u16, u16); 2] = [(0x9003, 0x9011), (0x9004, 0x9012)];

/// The offset of a camera that tells but one.
const OFFSET: u16 = 0x9010;

/// Most bytes of a date: it has 19, and a zero.
const DATE_LENGTH: usize = 32;

/// What the fields say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exif {
    pub orientation: Orientation,
    pub taken: Option<Taken>,
}

impl Exif {
    /// What there is to read, if there is EXIF.
    pub fn read(exif: Option<&[u8]>) -> Self {
        let mut read = Self { orientation: Orientation::NoTransforms, taken: None };
        let Some(tiff) = exif.and_then(Tiff::of) else { return read };
        for field in tiff.first_directory() {
            match field.tag {
                ORIENTATION => {
                    let number = tiff.short(field.value).and_then(|number| u8::try_from(number).ok());
                    if let Some(orientation) = number.and_then(Orientation::from_exif) {
                        read.orientation = orientation;
                    }
                }
                EXIF => read.taken = tiff.long(field.value).and_then(|directory| taken(&tiff, directory)),
                _ => {}
            }
        }
        read
    }
}

/// The first date that can be right.
fn taken(tiff: &Tiff<'_>, directory: u32) -> Option<Taken> {
    let text = |wanted: u16| {
        tiff.directory(directory).find(|field| field.tag == wanted).and_then(|field| tiff.text(&field))
    };
    DATES.into_iter().find_map(|(date, offset)| {
        let local = read_date(text(date)?)?;
        let offset =
            text(offset).or_else(|| text(OFFSET)).and_then(|offset| offset.parse::<FixedOffset>().ok());
        Taken::plausible(local, offset.map(taken::minutes))
    })
}

/// `2024:05:17 09:30:00`; some programs write the date with hyphens.
fn read_date(text: &str) -> Option<NaiveDateTime> {
    ["%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
}

/// The bytes of a TIFF.
pub(super) struct Tiff<'a> {
    bytes: &'a [u8],
    is_little: bool,
}

/// A field of a directory.
pub(super) struct Field {
    pub tag: u16,
    pub count: u32,
    /// Where its value stands, or if it has more than four bytes, where it is told where that is.
    pub value: usize,
}

impl<'a> Tiff<'a> {
    /// `None` if it does not begin like one.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        let is_little = match bytes.first_chunk()? {
            b"II\x2a\0" => true,
            b"MM\0\x2a" => false,
            _ => return None,
        };
        Some(Self { bytes, is_little })
    }

    /// The fields of the first directory, as far as the file goes.
    pub fn first_directory(&self) -> impl Iterator<Item = Field> {
        self.directory(self.long(4).unwrap_or(u32::MAX))
    }

    fn directory(&self, at: u32) -> impl Iterator<Item = Field> {
        // No file is as long as numbers can be.
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let fields = self.short(at).unwrap_or_default();
        (0..usize::from(fields)).map_while(move |nth| {
            let field = at + 2 + 12 * nth;
            Some(Field { tag: self.short(field)?, count: self.long(field + 4)?, value: field + 8 })
        })
    }

    /// The beginning of a text, without what fills it up.
    fn text(&self, field: &Field) -> Option<&'a str> {
        let length = usize::try_from(field.count).unwrap_or(usize::MAX);
        let at = if length > 4 { usize::try_from(self.long(field.value)?).ok()? } else { field.value };
        let text = std::str::from_utf8(self.bytes.get(at..)?.get(..length.min(DATE_LENGTH))?).ok()?;
        Some(text.split('\0').next().unwrap_or_default().trim())
    }

    pub fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}
