//! A PNG's samples as RGB, as Pillow's modes and its `convert` make them.

use super::Colour;
use crate::source::transparency::{look, look_at};

/// Makes pixels of samples.
pub(super) enum Paint {
    /// Indices of so many bits, at most eight, and their colours and alphas; none where all are opaque.
    Indices(u8, Box<[[u8; 3]; 256]>, Option<Box<[u8; 256]>>),
    /// Sixteen bits of gray: at most 255 of them.
    Gray16,
    /// So many bytes to a pixel, and which are red, green and blue.
    Bytes(usize, [usize; 3]),
}

impl Paint {
    pub(super) fn new(colour: Colour, depth: u8, colours: &[[u8; 3]; 256], alphas: Option<Box<[u8; 256]>>) -> Self {
        let deep = depth == 16;
        match colour {
            Colour::Palette => Self::Indices(depth, Box::new(*colours), alphas),
            Colour::Gray if deep => Self::Gray16,
            Colour::Gray => {
                let most = (1u32 << depth) - 1;
                let gray = |index: usize| [(index as u32 % (most + 1) * 255 / most) as u8; 3];
                Self::Indices(depth, Box::new(std::array::from_fn(gray)), None)
            }
            Colour::GrayAlpha => Self::Bytes(if deep { 4 } else { 2 }, [0; 3]),
            Colour::Rgb => Self::Bytes(if deep { 6 } else { 3 }, if deep { [0, 2, 4] } else { [0, 1, 2] }),
            Colour::Rgba => Self::Bytes(if deep { 8 } else { 4 }, if deep { [0, 2, 4] } else { [0, 1, 2] }),
        }
    }

    /// Paints a row, every `step`th pixel of `out`, and looks at alphas that are dropped.
    pub(super) fn row(&self, row: &[u8], out: &mut [u8], step: usize) {
        let (out, _) = out.as_chunks_mut::<3>();
        self.colours(row, out, step);
        let painted = out.iter().step_by(step);
        match self {
            Self::Bytes(2, _) => look(row.as_chunks::<2>().0),
            Self::Bytes(4, [0, 1, 2]) => look(row.as_chunks::<4>().0),
            Self::Bytes(bytes @ (4 | 8), _) => {
                look_at(painted.zip(row.iter().skip(bytes - 2).step_by(*bytes).copied()));
            }
            Self::Indices(bits, _, Some(alphas)) => {
                let (bits, per) = (usize::from(*bits), 8 / usize::from(*bits));
                let index = |x: usize| usize::from(row[x / per]) >> (8 - bits - x % per * bits) & ((1 << bits) - 1);
                look_at(painted.enumerate().map(|(x, colour)| (colour, alphas[index(x)])));
            }
            _ => {}
        }
    }

    fn colours(&self, row: &[u8], out: &mut [[u8; 3]], step: usize) {
        match self {
            Self::Bytes(3, _) if step == 1 => out.as_flattened_mut().copy_from_slice(row),
            Self::Bytes(4, [0, 1, 2]) if step == 1 => spread::<4>(row, out, |pixel| [pixel[0], pixel[1], pixel[2]]),
            Self::Bytes(2, _) if step == 1 => spread::<2>(row, out, |pixel| [pixel[0]; 3]),
            Self::Bytes(6, _) if step == 1 => spread::<6>(row, out, |pixel| [pixel[0], pixel[2], pixel[4]]),
            Self::Bytes(bytes, [red, green, blue]) => {
                for (out, pixel) in out.iter_mut().step_by(step).zip(row.chunks_exact(*bytes)) {
                    *out = [pixel[*red], pixel[*green], pixel[*blue]];
                }
            }
            Self::Gray16 => {
                for (out, pixel) in out.iter_mut().step_by(step).zip(row.as_chunks::<2>().0) {
                    *out = [u16::from_be_bytes(*pixel).min(255) as u8; 3];
                }
            }
            Self::Indices(8, colours, _) => {
                for (out, &index) in out.iter_mut().step_by(step).zip(row) {
                    *out = colours[usize::from(index)];
                }
            }
            Self::Indices(bits, colours, _) => {
                let (bits, per) = (usize::from(*bits), 8 / usize::from(*bits));
                let mask = (1usize << bits) - 1;
                if step == 1 {
                    for (out, &byte) in out.chunks_mut(per).zip(row) {
                        let mut rest = usize::from(byte) << bits;
                        for out in out {
                            *out = colours[rest >> 8 & mask];
                            rest <<= bits;
                        }
                    }
                    return;
                }
                for (x, out) in out.iter_mut().step_by(step).enumerate() {
                    let byte = usize::from(row[x / per]);
                    *out = colours[byte >> (8 - bits - x % per * bits) & mask];
                }
            }
        }
    }
}

fn spread<const N: usize>(row: &[u8], out: &mut [[u8; 3]], pick: impl Fn(&[u8; N]) -> [u8; 3]) {
    out.iter_mut().zip(row.as_chunks::<N>().0).for_each(|(out, pixel)| *out = pick(pixel));
}
