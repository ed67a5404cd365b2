//! PNG, row by row. Texts and colour profiles are skipped, not unpacked: nothing here looks at them.
//!
//! A picture of which all rows are there is one, also when the file ends right behind them.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Reader, Transformations};

use super::{
    Decoded, Exif, PictureError,
    canvas::{Canvas, Layout, drawing},
    check_size,
    memory::hold,
};

/// Most bytes that the decoder holds beside rows: palette and EXIF. Each takes a few kilobytes where it means anything.
const METADATA: usize = 2 << 20;

/// Decodes all of it.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, PictureError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: METADATA });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let (width, height) = decoder.read_header_info().map_err(PictureError::damaged)?.size();
    check_size(width, height)?;
    let mut reader = decoder.read_info().map_err(PictureError::damaged)?;
    let exif = Exif::read(reader.info().exif_metadata.as_deref());
    let interlaced = reader.info().interlaced;
    let whole = if interlaced { 3 * u64::from(width) * u64::from(height) } else { 0 };
    let held = hold(METADATA as u64 + whole + drawing(width, height, exif.orientation))?;
    let canvas = if interlaced { put_together(&mut reader) } else { straight(&mut reader) }?;
    Ok(Decoded { pixels: canvas.finish(), size: (width, height), exif, held })
}

fn straight(reader: &mut Reader<Cursor<&[u8]>>) -> Result<Canvas, PictureError> {
    let (width, height) = reader.info().size();
    let layout = layout(reader)?;
    let mut canvas = Canvas::new(width, height);
    for _ in 0..height {
        let row = reader.next_row().map_err(PictureError::damaged)?;
        let row = row.ok_or_else(|| PictureError::damaged("rows are missing"))?;
        layout.draw(row.data(), canvas.row());
        canvas.row_is_drawn();
    }
    Ok(canvas)
}

/// Every row comes in several parts, of which the last ones come last: all of it is kept until then.
fn put_together(reader: &mut Reader<Cursor<&[u8]>>) -> Result<Canvas, PictureError> {
    let (width, height) = reader.info().size();
    let layout = layout(reader)?;
    let stride = 3 * width as usize;
    let (mut whole, mut drawn) = (vec![0; stride * height as usize], vec![0; stride]);
    while let Some(part) = reader.next_interlaced_row().map_err(PictureError::damaged)? {
        let drawn = &mut drawn[..3 * (part.data().len() / layout.channels())];
        layout.draw(part.data(), drawn);
        if let png::InterlaceInfo::Adam7(place) = part.interlace() {
            png::expand_interlaced_row(&mut whole, stride, drawn, place, 24);
        }
    }
    let mut canvas = Canvas::new(width, height);
    for row in whole.chunks_exact(stride) {
        canvas.row().copy_from_slice(row);
        canvas.row_is_drawn();
    }
    Ok(canvas)
}

fn layout(reader: &Reader<Cursor<&[u8]>>) -> Result<Layout, PictureError> {
    match reader.output_color_type() {
        (ColorType::Grayscale, BitDepth::Eight) => Ok(Layout::Grey),
        (ColorType::GrayscaleAlpha, BitDepth::Eight) => Ok(Layout::GreyAlpha),
        (ColorType::Rgb, BitDepth::Eight) => Ok(Layout::Rgb),
        (ColorType::Rgba, BitDepth::Eight) => Ok(Layout::Rgba),
        other => Err(PictureError::damaged(format!("colours as {other:?}"))),
    }
}
