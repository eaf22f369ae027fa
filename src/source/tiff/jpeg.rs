//! JPEG in a TIFF: the tables that all tiles share, then a tile's own data. What colours are, the TIFF says.

use crate::source::jpeg::{Jpeg, is_jpeg};
use crate::threads::Threads;

const ADOBE: &[u8] = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00";

/// What all tiles of an image share.
#[derive(Debug)]
pub(super) struct Shared {
    /// A JPEG of tables alone, or nothing.
    pub(super) tables: Vec<u8>,
    /// Whether colours are YCbCr.
    pub(super) is_ycc: bool,
}

impl Shared {
    /// Decodes a tile of so many pixels and components, 1 or 3, to RGB. Nothing where it is not of this form.
    pub(super) fn decode(&self, data: &[u8], size: (u32, u32), components: usize) -> Option<Vec<u8>> {
        let Self { tables, is_ycc } = self;
        let mut file = vec![0xff, 0xd8];
        // The marker that tells libjpeg's rules what the colours are.
        file.extend_from_slice(ADOBE);
        file.push(u8::from(*is_ycc));
        if !tables.is_empty() {
            file.extend_from_slice(tables.strip_prefix(b"\xff\xd8")?.strip_suffix(b"\xff\xd9")?);
        }
        let mut rest = data.strip_prefix(b"\xff\xd8")?;
        let mut is_framed = false;
        loop {
            let (&[first, code, high, low], _) = rest.split_first_chunk::<4>()?;
            let segment = rest.get(..2 + usize::from(u16::from_be_bytes([high, low])))?;
            match (first, code) {
                (0xff, 0xda) if is_framed => break,
                (0xff, 0xc0..=0xc2) => {
                    let &[precision, h1, h0, w1, w0, count] = segment.get(4..)?.first_chunk::<6>()?;
                    let own = (u32::from(u16::from_be_bytes([w1, w0])), u32::from(u16::from_be_bytes([h1, h0])));
                    if own != size || usize::from(count) != components || precision != 8 {
                        return None;
                    }
                    is_framed = true;
                }
                (0xff, 0xc4 | 0xdb | 0xdd | 0xe0..=0xef | 0xfe) => {}
                _ => return None,
            }
            if !matches!(code, 0xe0..=0xef) {
                file.extend_from_slice(segment);
            }
            rest = &rest[segment.len()..];
        }
        file.extend_from_slice(rest);
        let jpeg = Jpeg::open(&file).ok().filter(|_| is_jpeg(&file))?;
        jpeg.decode(&file, 8, Vec::new(), Threads::ONE).ok().map(|(_, pixels)| pixels)
    }
}
