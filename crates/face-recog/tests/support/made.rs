//! Pictures that are made by hand: small files that ask for much memory or time.

use image::RgbImage;

use super::headers;

/// A grey PNG whose pixels are black, with `chunks` before them and `more` bytes of pixels than it has.
pub fn png(width: u32, height: u32, chunks: &[u8], more: usize) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let pixels = zeroes((width as usize + 1) * height as usize + more);
    [
        b"\x89PNG\r\n\x1a\n",
        &chunk(b"IHDR", &header)[..],
        chunks,
        &chunk(b"IDAT", &pixels),
        &chunk(b"IEND", b""),
    ]
    .concat()
}

/// A colour profile of so many zeroes.
pub fn profile(size: usize) -> Vec<u8> {
    chunk(b"iCCP", &[b"x\0\0", &zeroes(size)[..]].concat())
}

/// A text of so many zeroes.
pub fn text(size: usize) -> Vec<u8> {
    chunk(b"zTXt", &[b"x\0\0", &zeroes(size)[..]].concat())
}

/// A part of a PNG.
pub fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let content = [&kind[..], data].concat();
    let size = u32::try_from(data.len()).unwrap();
    [&size.to_be_bytes()[..], &content, &headers::crc32(&content).to_be_bytes()].concat()
}

/// A PNG whose first chunk of pixels says that it has `size` bytes.
pub fn png_chunk_of(size: u32) -> Vec<u8> {
    let whole = png(64, 64, &[], 0);
    let data = whole.windows(4).position(|window| window == b"IDAT").unwrap();
    [&whole[..data - 4], &size.to_be_bytes(), b"IDAT\x78\x9c"].concat()
}

/// `size` zeroes, compressed 158 times: a zlib stream of one block that repeats the byte before 258 times, and again.
pub fn zeroes(size: usize) -> Vec<u8> {
    let mut bits = Bits { bytes: vec![0x78, 0x9c], buffer: 0, count: 0 };
    bits.push(0b011, 3); // the last block, with the codes that the standard fixes
    for _ in 0..size % 258 {
        bits.push(0b0000_1100, 8); // a zero; Huffman codes begin with their highest bit
    }
    let mut left = size / 258;
    if left > 0 && size.is_multiple_of(258) {
        (0..258).for_each(|_| bits.push(0b0000_1100, 8)); // there must be something to repeat
        left -= 1;
    }
    for _ in 0..left {
        bits.push(0b1010_0011, 8); // 258 bytes
        bits.push(0, 5); // from one byte before
    }
    bits.push(0, 7); // the end
    bits.push(0, 7);
    let adler = (u32::try_from(size % 65_521).unwrap() << 16) | 1;
    [&bits.bytes[..], &adler.to_be_bytes()].concat()
}

/// Writes bits, the lowest first.
struct Bits {
    bytes: Vec<u8>,
    buffer: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, bits: u32, count: u32) {
        self.buffer |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.buffer as u8);
            self.buffer >>= 8;
            self.count -= 8;
        }
    }
}

/// A black JPEG of three colours in all their sharpness, with `scans` beside the first that say nothing.
pub fn progressive_jpeg(width: u16, height: u16, scans: usize) -> Vec<u8> {
    let segment = |kind: u8, data: &[u8]| {
        let length = u16::try_from(data.len() + 2).unwrap().to_be_bytes();
        [&[0xff, kind], &length[..], data].concat()
    };
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let frame = [&[8], &size[..], &[3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]].concat();
    // One code of one bit in each table: "no difference", and "nothing in the next 16,384 blocks and as many as 14 bits say".
    let table = |class: u8, symbol: u8| segment(0xc4, &[&[class, 1], &[0; 15][..], &[symbol]].concat());
    let blocks = usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8);
    let mut jpeg = [
        b"\xff\xd8".to_vec(),
        segment(0xdb, &[&[0], &[1; 64][..]].concat()),
        segment(0xc2, &frame),
        table(0, 0),
        table(0x10, 0xe0),
        segment(0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 0, 0]),
        vec![0; (3 * blocks).div_ceil(8)],
    ]
    .concat();
    for scan in 0..scans {
        let (component, coefficient) = (1 + scan % 3, 1 + scan / 3 % 63);
        let [component, coefficient] = [component, coefficient].map(|number| u8::try_from(number).unwrap());
        jpeg.extend(segment(0xda, &[1, component, 0, coefficient, coefficient, 0]));
        jpeg.extend(vec![0; (15 * blocks.div_ceil(1 << 14)).div_ceil(8)]);
    }
    jpeg.extend(b"\xff\xd9");
    jpeg
}

/// A PNG of seven passes that is not compressed.
pub fn interlaced_png(picture: &RgbImage) -> Vec<u8> {
    let mut rows = Vec::new();
    // First column and row, and the steps from one to the next.
    for (left, top, right, down) in
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    {
        for y in (top..picture.height()).step_by(down).filter(|_| left < picture.width()) {
            rows.push(0); // no filter
            (left..picture.width()).step_by(right).for_each(|x| rows.extend(picture[(x, y)].0));
        }
    }
    let (low, high) = rows.iter().fold((1, 0), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    let mut stored = b"\x78\x01".to_vec();
    for block in rows.chunks(0xffff) {
        let length = u16::try_from(block.len()).unwrap();
        stored.push(0);
        stored.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        stored.extend(block);
    }
    stored.extend(b"\x01\0\0\xff\xff"); // the last block is empty
    stored.extend([high, low].iter().flat_map(|sum| u16::try_from(*sum).unwrap().to_be_bytes()));
    let size = [picture.width().to_be_bytes(), picture.height().to_be_bytes()].concat();
    let header = [&size[..], &[8, 2, 0, 0, 1]].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], &chunk(b"IDAT", &stored), &chunk(b"IEND", b"")]
        .concat()
}
