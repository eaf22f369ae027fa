//! What Pillow makes of a file's own structure, and the decoders do not say.

use std::io::{Read, Seek};
use std::ops::Range;

use crate::limits::MAX_IMAGE_PIXELS;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Bytes that a row of a PNG has at most, for which its decoder makes room with the header; none of another file. The reader is at
/// its start then.
pub(super) fn png_row_bytes(reader: &mut (impl Read + Seek)) -> u64 {
    let mut head = [0; 20];
    let is_png = reader.rewind().is_ok() && reader.read_exact(&mut head).is_ok() && head.starts_with(PNG);
    let width = u32::from_be_bytes([head[16], head[17], head[18], head[19]]);
    // Four channels of 16 bits. What is wider than any image is not the row's to decide.
    let bytes = u64::from(width).min(MAX_IMAGE_PIXELS) * 8;
    if reader.rewind().is_ok() && is_png { bytes } else { 0 }
}

/// Whether a PNG stores 16-bit gray, which Pillow reads as mode I;16, transparency or not.
pub(super) fn png_is_gray16(bytes: &[u8]) -> bool {
    // Signature, length and name of the header chunk, width, height; then bit depth and colour type.
    bytes.starts_with(PNG) && bytes.get(24..26) == Some(&[16, 0])
}

/// Where a GIF's first frame lies, and the colour that Pillow gives the rest of the canvas.
pub(super) struct FirstFrame {
    pub(super) columns: Range<usize>,
    pub(super) rows: Range<usize>,
    pub(super) around: [u8; 3],
}

/// The first frame of a GIF. The canvas around it is of the frame's transparent colour, else of its palette's first.
pub(super) fn gif_first_frame(bytes: &[u8]) -> Option<FirstFrame> {
    let word = |at: usize| Some(usize::from(u16::from_le_bytes([*bytes.get(at)?, *bytes.get(at + 1)?])));
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    if !bytes.starts_with(b"GIF8") {
        return None;
    }
    let mut palette = 13;
    let mut transparent = 0;
    let mut at = palette + table(*bytes.get(10)?);
    loop {
        match bytes.get(at)? {
            0x2c => break,
            0x21 => {
                // A graphic control extension: size, flags, delay, transparent index.
                if bytes.get(at + 1) == Some(&0xf9) && bytes.get(at + 3)? & 1 == 1 {
                    transparent = usize::from(*bytes.get(at + 6)?);
                }
                at += 2;
                while *bytes.get(at)? != 0 {
                    at += 1 + usize::from(bytes[at]);
                }
                at += 1;
            }
            _ => return None,
        }
    }
    let (left, top, width, height) = (word(at + 1)?, word(at + 3)?, word(at + 5)?, word(at + 7)?);
    if bytes.get(at + 9)? & 0x80 != 0 {
        palette = at + 10;
    }
    let colour = bytes.get(palette + transparent * 3..)?.first_chunk::<3>()?;
    Some(FirstFrame { columns: left..left + width, rows: top..top + height, around: *colour })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_png_says_how_wide_it_is() {
        let mut bytes = PNG.to_vec();
        bytes.extend(b"\0\0\0\rIHDR\x01\0\0\0\0\0\0\x01");
        assert_eq!(png_row_bytes(&mut Cursor::new(&bytes)), 8 << 24);
        bytes[16] = 255;
        assert_eq!(png_row_bytes(&mut Cursor::new(&bytes)), MAX_IMAGE_PIXELS * 8);
        assert_eq!(png_row_bytes(&mut Cursor::new(&bytes[..19])), 0);
        bytes[0] = 0;
        assert_eq!(png_row_bytes(&mut Cursor::new(&bytes)), 0);
    }

    #[test]
    fn a_gif_says_where_its_first_frame_lies() {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend([9, 0, 8, 0, 0x80, 0, 0, 1, 2, 3, 4, 5, 6]);
        bytes.extend([0x21, 0xf9, 4, 1, 0, 0, 1, 0, 0x2c, 2, 0, 1, 0, 3, 0, 4, 0, 0]);
        let frame = gif_first_frame(&bytes).unwrap();
        assert_eq!((frame.columns, frame.rows, frame.around), (2..5, 1..5, [4, 5, 6]));
        for cut in 0..bytes.len() - 1 {
            assert!(gif_first_frame(&bytes[..cut]).is_none(), "{cut}");
        }
    }
}
