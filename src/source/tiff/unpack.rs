//! Unpacking strips and tiles as libtiff does, where nothing is wrong with them.

use super::{fax, lzw, not_native};
use crate::error::Result;
use crate::source::bytes::PIECE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Fax4,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

impl Compression {
    pub(super) fn of(number: i64) -> Result<Self> {
        let name = match number {
            1 => return Ok(Self::None),
            4 => return Ok(Self::Fax4),
            5 => return Ok(Self::Lzw),
            7 => return Ok(Self::Jpeg),
            8 | 32946 => return Ok(Self::Deflate),
            32773 => return Ok(Self::PackBits),
            2 => "fax compression by run lengths (CCITT RLE)",
            3 => "fax compression of group 3",
            6 => "JPEG compression of the old style",
            34925 => "LZMA compression",
            50000 => "Zstandard compression",
            50001 => "WebP compression",
            _ => return Err(not_native(&format!("compression {number}"))),
        };
        Err(not_native(name))
    }
}

/// Fills `out`, rows of so many pixels and bytes, and room for a [`PIECE`] behind them. Nothing where the data are damaged or too short.
pub(super) fn unpack(
    compression: Compression,
    data: &[u8],
    (pixels, row): (usize, usize),
    out: &mut [u8],
) -> Option<()> {
    let size = out.len().checked_sub(PIECE)?;
    match compression {
        Compression::None | Compression::Jpeg => None,
        Compression::Fax4 => fax::decode(data, pixels, row, &mut out[..size]),
        Compression::Lzw => lzw::decode(data, out),
        Compression::Deflate => inflate(data, &mut out[..size]),
        Compression::PackBits => unpack_bits(data, &mut out[..size]),
    }
}

fn inflate(mut data: &[u8], out: &mut [u8]) -> Option<()> {
    let mut decompressor = fdeflate::Decompressor::new();
    let mut written = 0;
    // To the end of the stream, whose checksum libtiff looks at.
    while !decompressor.is_done() {
        let (taken, made) = decompressor.read(data, out, written, false).ok()?;
        if taken == 0 && made == 0 {
            break;
        }
        data = &data[taken..];
        written += made;
    }
    // What is left of a stream that is longer than its strip nobody reads; one that is cut off is not at its end.
    (written == out.len() && (decompressor.is_done() || !data.is_empty())).then_some(())
}

fn unpack_bits(mut data: &[u8], mut out: &mut [u8]) -> Option<()> {
    while !out.is_empty() {
        let (&head, rest) = data.split_first()?;
        match head {
            // Nothing.
            128 => data = rest,
            0..128 => {
                // libtiff cuts what is too long.
                let length = (usize::from(head) + 1).min(out.len());
                out.split_off_mut(..length)?.copy_from_slice(rest.get(..length)?);
                data = &rest[length..];
            }
            _ => {
                let (&value, rest) = rest.split_first()?;
                let length = (257 - usize::from(head)).min(out.len());
                out.split_off_mut(..length)?.fill(value);
                data = rest;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deflated_strip_is_read_to_its_checksum() {
        let pixels: Vec<u8> = (0..2000u32).map(|at| ((at * at) >> 5) as u8).collect();
        let packed = fdeflate::compress_to_vec(&pixels);
        let unpacked = |data: &[u8], size: usize| {
            let mut out = vec![0; size];
            inflate(data, &mut out).map(|()| out)
        };
        assert_eq!(unpacked(&packed, 2000).as_ref(), Some(&pixels));
        // What comes behind is nobody's.
        assert_eq!(unpacked(&[&packed[..], &[7; 9]].concat(), 2000).as_ref(), Some(&pixels));
        assert_eq!(unpacked(&packed, 2001), None);
        for length in 0..packed.len() {
            assert_eq!(unpacked(&packed[..length], 2000), None, "cut to {length}");
        }
        let mut damaged = packed.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(unpacked(&damaged, 2000), None);
    }
}
