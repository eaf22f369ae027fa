//! Blocks transformed to fewer samples: the image's low frequencies at an eighth, a quarter or half of its size.

use super::quad::{LANES, Quad};

/// The basis of 1, 2 and 4 samples, times 4096: `cos((2n + 1) u pi / 2N) / 2`, the first over the root of two.
const ONE: [[i32; 1]; 1] = [[1448]];
const TWO: [[i32; 2]; 2] = [[1448, 1448], [1448, -1448]];
const FOUR: [[i32; 4]; 4] =
    [[1448, 1448, 1448, 1448], [1892, 784, -784, -1892], [1448, -1448, -1448, 1448], [784, -1892, 1892, -784]];

/// `side` rows of `side` samples of each of four blocks, `stride` apart.
pub(super) fn idct(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize, side: usize) {
    for block in 0..LANES as usize {
        let (coefs, out) = (&quad.0[block * 8..], &mut out[block * side..]);
        match side {
            4 => transform(&FOUR, coefs, quant, out, stride),
            2 => transform(&TWO, coefs, quant, out, stride),
            _ => transform(&ONE, coefs, quant, out, stride),
        }
    }
}

fn transform<const N: usize>(basis: &[[i32; N]; N], coefs: &[i16], quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let mut columns = [[0i32; N]; N];
    for (u, weights) in basis.iter().enumerate() {
        for x in 0..N {
            // Damaged data leaves the range of any image; samples are clipped anyway.
            let (coef, quant) = (coefs[u * LANES as usize * 8 + x], quant[u * 8 + x]);
            let value = (i32::from(coef) * i32::from(quant)).clamp(-16384, 16383);
            for (row, weight) in columns.iter_mut().zip(weights) {
                row[x] += value * weight;
            }
        }
    }
    for (column, out) in columns.iter().zip(out.chunks_mut(stride)) {
        let column = column.map(|value| (value + (1 << 9)) >> 10);
        for (x, sample) in out[..N].iter_mut().enumerate() {
            let sum: i32 = basis.iter().zip(column).map(|(weights, value)| value * weights[x]).sum();
            *sample = (((sum + (1 << 13)) >> 14) + 128).clamp(0, 255) as u8;
        }
    }
}
