//! Pictures that are next to nothing but a header: they promise far more pixels than they have bytes.
//!
//! The tests of refusals send them, and the fuzzer begins with them.

/// A PNG that says how large it is, in 16-bit RGBA, and ends.
pub fn png(width: u32, height: u32) -> Vec<u8> {
    let header = [&b"IHDR"[..], &width.to_be_bytes(), &height.to_be_bytes(), &[16, 6, 0, 0, 0]].concat();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for chunk in [&header[..], b"IDAT\x78\x9c", b"IEND"] {
        png.extend(narrow(chunk.len() - 4).to_be_bytes());
        png.extend(chunk);
        png.extend(crc32(chunk).to_be_bytes());
    }
    png
}

/// Every chunk here is tiny.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The checksum at the end of every chunk of a PNG.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// A GIF whose screen and only frame are huge.
pub fn gif(width: u16, height: u16) -> Vec<u8> {
    let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
    [
        b"GIF89a",
        &size[..],
        &[0x80, 0, 0, 0, 0, 0, 255, 255, 255],
        &[0x2c, 0, 0, 0, 0],
        &size,
        &[0, 2, 2, 0x44, 1, 0, 0x3b],
    ]
    .concat()
}

/// A lossless WebP that says how large it is (at most 16,384 on a side), and ends.
pub fn webp(width: u32, height: u32) -> Vec<u8> {
    let size = ((width - 1) | ((height - 1) << 14)).to_le_bytes();
    let data = [&[0x2f][..], &size, &[0; 11]].concat();
    let chunk = [b"WEBPVP8L", &narrow(data.len()).to_le_bytes()[..], &data].concat();
    [b"RIFF", &narrow(chunk.len()).to_le_bytes()[..], &chunk].concat()
}

/// A grey JPEG that says how large it is, and ends in its scan.
pub fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    [
        &[0xff, 0xd8, 0xff, 0xc0, 0, 11, 8][..],
        &height,
        &width,
        &[1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0xff, 0xd9],
    ]
    .concat()
}
