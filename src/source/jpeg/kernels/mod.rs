//! Inner loops of a JPEG's way from coefficients to pixels; every instruction set gives the scalar level's bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod quads;
mod scalar;

use super::quad::Quad;
use crate::simd::Level;

/// A row's neighbour in the other direction and how the sums round: how chroma of half the width is made whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blend {
    /// Added before the shift, for the left and the right of two samples.
    pub(super) bias: [u16; 2],
    pub(super) shift: u32,
}

/// Which coefficients of a block are not zero, a bit for each, row by row; the block is told by how far its coefficients are from
/// those of the first of four.
pub(super) type Nonzero = fn(&Quad, usize) -> u64;

/// The inner loops of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    /// Coefficients of four blocks times their quantizers to 8 rows of 32 samples, `stride` apart: libjpeg-turbo's accurate integer
    /// transform, overflows of damaged data included.
    pub(super) idct: fn(&Quad, &[u16; 64], &mut [u8], usize),
    /// The same to so many samples, 1, 2 or 4, at the side of each block.
    pub(super) reduced: fn(&Quad, &[u16; 64], &mut [u8], usize, usize),
    pub(super) nonzero: Nonzero,
    /// Sums of a row three times and its neighbour once, to columns 1.. of `out`; its ends are repeated.
    pub(super) blend_rows: fn(&[u8], &[u8], &mut [u16]),
    /// Two samples from each sum and its neighbours; the row of sums has one more at each end.
    pub(super) widen: fn(&[u16], Blend, &mut [u8]),
    /// Y, Cb and Cr to packed RGB.
    pub(super) ycc: fn(&[u8], &[u8], &[u8], &mut [u8]),
    /// Three lines to one, packed.
    pub(super) interleave: fn(&[u8], &[u8], &[u8], &mut [u8]),
    /// Products of inks, each of which is xored with a number before, and whites, taken from the whites: Pillow's RGB of CMYK.
    pub(super) inks: fn(&mut [u8], &[u8], u8),
}

impl Kernels {
    /// Those of a level of this machine.
    pub(super) fn of(level: Level) -> Self {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2::kernels(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => avx512::kernels(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => neon::kernels(),
            _ => scalar::KERNELS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_give_the_scalar_bits() {
        for level in Level::available() {
            check(Kernels::of(level));
        }
    }

    fn check(fast: Kernels) {
        let slow = scalar::KERNELS;
        let mut seed = 1u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as u32
        };
        for round in 0..20_000 {
            // Sparse, dense, and out of all range; alike in all four blocks or not.
            let kinds: [u32; 4] = if round % 2 == 0 { [round % 8; 4] } else { std::array::from_fn(|_| random() % 8) };
            let mut quad = Quad::ZERO;
            for (block, kind) in kinds.into_iter().enumerate() {
                for (y, row) in quad.rows_mut(block * 8).enumerate() {
                    *row = std::array::from_fn(|x| match kind {
                        0 => (random() % 200) as i16 - 100,
                        1 => random() as i16,
                        2 if y == 0 => random() as i16,
                        3 if random() % 8 == 0 => (random() % 2048) as i16 - 1024,
                        4 if x + y == 0 => random() as i16,
                        5 if x + y == 0 => (random() % 2048) as i16 - 1024,
                        6 if x < 4 && y < 4 => (random() % 200) as i16 - 100,
                        7 if x < 4 && y < 4 => random() as i16,
                        _ => 0,
                    });
                }
            }
            let quant: [u16; 64] =
                std::array::from_fn(|_| if round % 3 == 0 { random() as u16 } else { 1 + (random() % 64) as u16 });
            let mut made = [[0u8; 34 * 8]; 2];
            (fast.idct)(&quad, &quant, &mut made[0], 34);
            (slow.idct)(&quad, &quant, &mut made[1], 34);
            assert_eq!(made[0], made[1], "{round} {kinds:?} {:?} {quant:?}", quad.0);
            for side in [1, 2, 4] {
                (fast.reduced)(&quad, &quant, &mut made[0], 34, side);
                (slow.reduced)(&quad, &quant, &mut made[1], 34, side);
                assert_eq!(made[0], made[1], "{side} {round} {kinds:?} {:?} {quant:?}", quad.0);
            }
            for lane in [0, 8, 16, 24] {
                assert_eq!((fast.nonzero)(&quad, lane), (slow.nonzero)(&quad, lane));
            }
        }
        for width in 1..100 {
            let mut row = || (0..width).map(|_| random() as u8).collect::<Vec<u8>>();
            let (a, b, c) = (row(), row(), row());
            let mut sums = [vec![0u16; width + 2], vec![0u16; width + 2]];
            (fast.blend_rows)(&a, &b, &mut sums[0]);
            (slow.blend_rows)(&a, &b, &mut sums[1]);
            assert_eq!(sums[0], sums[1]);
            let blend = Blend { bias: [8, 7], shift: 4 };
            let mut wide = [vec![0u8; width * 2], vec![0u8; width * 2]];
            (fast.widen)(&sums[0], blend, &mut wide[0]);
            (slow.widen)(&sums[0], blend, &mut wide[1]);
            assert_eq!(wide[0], wide[1]);
            let mut rgb = [vec![0u8; width * 3], vec![0u8; width * 3]];
            (fast.ycc)(&a, &b, &c, &mut rgb[0]);
            (slow.ycc)(&a, &b, &c, &mut rgb[1]);
            assert_eq!(rgb[0], rgb[1]);
            (fast.interleave)(&a, &b, &c, &mut rgb[0]);
            (slow.interleave)(&a, &b, &c, &mut rgb[1]);
            assert_eq!(rgb[0], rgb[1]);
            (fast.inks)(&mut rgb[0], &wide[0], 255);
            (slow.inks)(&mut rgb[1], &wide[0], 255);
            assert_eq!(rgb[0], rgb[1]);
        }
        for cb in 0..=255u8 {
            let (y, cr) = ([100u8; 256], std::array::from_fn::<u8, 256, _>(|value| value as u8));
            let mut rgb = [[0u8; 768]; 2];
            (fast.ycc)(&y, &[cb; 256], &cr, &mut rgb[0]);
            (slow.ycc)(&y, &[cb; 256], &cr, &mut rgb[1]);
            assert_eq!(rgb[0], rgb[1], "{cb}");
        }
    }
}
