//! Blocks transformed to fewer samples: the image's low frequencies at an eighth, a quarter or half of its size.

use super::quad::{LANES, Quad};

/// The basis of 1, 2 and 4 samples, times 4096: `cos((2n + 1) u pi / 2N) / 2`, the first over the root of two.
const ONE: [[i32; 1]; 1] = [[1448]];
const TWO: [[i32; 2]; 2] = [[1448, 1448], [1448, -1448]];
pub(super) const FOUR: [[i32; 4]; 4] =
    [[1448, 1448, 1448, 1448], [1892, 784, -784, -1892], [1448, -1448, -1448, 1448], [784, -1892, 1892, -784]];

/// Numbers of four blocks side by side.
type Lanes = [i32; LANES as usize];

/// `side` rows of `side` samples of each of four blocks, `stride` apart.
#[allow(clippy::inline_always)] // The AVX2 level compiles it for itself.
#[inline(always)]
pub(super) fn idct(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize, side: usize) {
    match side {
        4 => transform(&FOUR, quad, quant, out, stride),
        2 => transform(&TWO, quad, quant, out, stride),
        _ => transform(&ONE, quad, quant, out, stride),
    }
}

#[allow(clippy::inline_always)]
#[inline(always)]
fn transform<const N: usize>(basis: &[[i32; N]; N], quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let rows = quad.0.as_chunks::<8>().0.as_chunks::<{ LANES as usize }>().0;
    // Of each column of coefficients, the rows of samples.
    let mut columns = [[[0i32; LANES as usize]; N]; N];
    for ((weights, row), quant) in basis.iter().zip(rows).zip(quant.as_chunks::<8>().0) {
        for (x, column) in columns.iter_mut().enumerate() {
            let quant = i32::from(quant[x]);
            // Damaged data leaves the range of any image; samples are clipped anyway.
            let values: Lanes = each(|block| (i32::from(row[block][x]) * quant).clamp(-16384, 16383));
            for (made, &weight) in column.iter_mut().zip(weights) {
                *made = each(|block| made[block] + values[block] * weight);
            }
        }
    }
    for (y, out) in out.chunks_mut(stride).take(N).enumerate() {
        for x in 0..N {
            let mut sums: Lanes = [1 << 13; LANES as usize];
            for (weights, column) in basis.iter().zip(&columns) {
                sums = each(|block| sums[block] + ((column[y][block] + (1 << 9)) >> 10) * weights[x]);
            }
            for (block, sum) in sums.into_iter().enumerate() {
                out[block * N + x] = ((sum >> 14) + 128).clamp(0, 255) as u8;
            }
        }
    }
}

#[allow(clippy::inline_always)]
#[inline(always)]
fn each(number: impl Fn(usize) -> i32) -> Lanes {
    [number(0), number(1), number(2), number(3)]
}
