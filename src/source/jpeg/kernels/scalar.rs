//! The definition of every kernel, in portable code.

use super::{Blend, Kernels};
use crate::source::jpeg::quad::{LANES, Quad};
use crate::source::jpeg::reduced;

pub(super) const KERNELS: Kernels =
    Kernels { idct, reduced: reduced::idct, nonzero, blend_rows, widen, ycc, interleave, inks };

pub(super) const F_0_298: i32 = 2446;
pub(super) const F_0_390: i32 = 3196;
pub(super) const F_0_541: i32 = 4433;
pub(super) const F_0_765: i32 = 6270;
pub(super) const F_0_899: i32 = 7373;
pub(super) const F_1_175: i32 = 9633;
pub(super) const F_1_501: i32 = 12299;
pub(super) const F_1_847: i32 = 15137;
pub(super) const F_1_961: i32 = 16069;
pub(super) const F_2_053: i32 = 16819;
pub(super) const F_2_562: i32 = 20995;
pub(super) const F_3_072: i32 = 25172;

fn idct(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    for block in 0..LANES as usize {
        idct_of_block(quad, block * 8, quant, &mut out[block * 8..], stride);
    }
}

fn nonzero(quad: &Quad, lane: usize) -> u64 {
    let byte = |row: &[i16; 8]| row.iter().rev().fold(0, |byte, &value| byte << 1 | u8::from(value != 0));
    quad.rows(lane).enumerate().fold(0, |bits, (y, row)| bits | u64::from(byte(row)) << (y * 8))
}

fn idct_of_block(quad: &Quad, lane: usize, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let mut coefs = [0; 64];
    for (to, row) in coefs.as_chunks_mut::<8>().0.iter_mut().zip(quad.rows(lane)) {
        *to = *row;
    }
    let mut work: [i16; 64] = std::array::from_fn(|at| coefs[at].wrapping_mul(quant[at] as i16));
    if coefs[8..].iter().all(|&coef| coef == 0) {
        for col in 0..8 {
            let value = work[col] << 2;
            for row in 0..8 {
                work[row * 8 + col] = value;
            }
        }
    } else {
        for col in 0..8 {
            let made = one_dimension(std::array::from_fn(|row| work[row * 8 + col]), 11);
            for (row, value) in made.into_iter().enumerate() {
                work[row * 8 + col] = value;
            }
        }
    }
    for (row, out) in work.as_chunks::<8>().0.iter().zip(out.chunks_mut(stride)) {
        let made = one_dimension(*row, 18);
        for (value, out) in made.into_iter().zip(out) {
            *out = (value.clamp(-128, 127) + 128) as u8;
        }
    }
}

/// One row or column. Sums of inputs are of 16 bits and wrap, as vectors have it; results saturate.
fn one_dimension(input: [i16; 8], shift: u32) -> [i16; 8] {
    let wide = |value: i16| i32::from(value);
    let (z2, z3) = (wide(input[2]), wide(input[6]));
    let tmp2 = z2 * F_0_541 + z3 * (F_0_541 - F_1_847);
    let tmp3 = z2 * (F_0_541 + F_0_765) + z3 * F_0_541;
    let tmp0 = wide(input[0].wrapping_add(input[4])) << 13;
    let tmp1 = wide(input[0].wrapping_sub(input[4])) << 13;
    let even = [tmp0.wrapping_add(tmp3), tmp1.wrapping_add(tmp2), tmp1.wrapping_sub(tmp2), tmp0.wrapping_sub(tmp3)];
    let (z3, z4) = (wide(input[7].wrapping_add(input[3])), wide(input[5].wrapping_add(input[1])));
    let (z3, z4) = (z3 * (F_1_175 - F_1_961) + z4 * F_1_175, z3 * F_1_175 + z4 * (F_1_175 - F_0_390));
    let [tmp0, tmp1, tmp2, tmp3] = [wide(input[7]), wide(input[5]), wide(input[3]), wide(input[1])];
    let odd = [
        (tmp0 * -F_0_899 + tmp3 * (F_1_501 - F_0_899)).wrapping_add(z4),
        (tmp1 * -F_2_562 + tmp2 * (F_3_072 - F_2_562)).wrapping_add(z3),
        (tmp1 * (F_2_053 - F_2_562) + tmp2 * -F_2_562).wrapping_add(z4),
        (tmp0 * (F_0_298 - F_0_899) + tmp3 * -F_0_899).wrapping_add(z3),
    ];
    let narrow =
        |value: i32| (value.wrapping_add(1 << (shift - 1)) >> shift).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    std::array::from_fn(|at| {
        narrow(if at < 4 { even[at].wrapping_add(odd[at]) } else { even[7 - at].wrapping_sub(odd[7 - at]) })
    })
}

#[allow(clippy::inline_always)] // The AVX2 level compiles it for itself.
#[inline(always)]
pub(super) fn blend_rows(near: &[u8], far: &[u8], out: &mut [u16]) {
    let count = near.len();
    for ((near, far), out) in near.iter().zip(far).zip(&mut out[1..=count]) {
        *out = u16::from(*near) * 3 + u16::from(*far);
    }
    out[0] = out[1];
    out[count + 1] = out[count];
}

#[allow(clippy::inline_always)] // The AVX2 level compiles it for itself.
#[inline(always)]
pub(super) fn widen(sums: &[u16], blend: Blend, out: &mut [u8]) {
    let Blend { bias: [left, right], shift } = blend;
    let out = out.as_chunks_mut::<2>().0;
    let count = out.len();
    let triples = sums[..count].iter().zip(&sums[1..=count]).zip(&sums[2..count + 2]);
    for (((before, here), after), out) in triples.zip(out) {
        let here = here * 3;
        let pair = ((here + before + left) >> shift) | ((here + after + right) >> shift) << 8;
        *out = pair.to_le_bytes();
    }
}

pub(super) fn ycc(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    for (((y, cb), cr), out) in y.iter().zip(cb).zip(cr).zip(out.as_chunks_mut::<3>().0) {
        let (y, cb, cr) = (i32::from(*y), i32::from(*cb) - 128, i32::from(*cr) - 128);
        let red = y + ((91881 * cr + 32768) >> 16);
        let green = y + ((-22554 * cb - 46802 * cr + 32768) >> 16);
        let blue = y + ((116_130 * cb + 32768) >> 16);
        *out = [red, green, blue].map(|value| value.clamp(0, 255) as u8);
    }
}

pub(super) fn interleave(first: &[u8], second: &[u8], third: &[u8], out: &mut [u8]) {
    for (((&first, &second), &third), out) in first.iter().zip(second).zip(third).zip(out.as_chunks_mut::<3>().0) {
        *out = [first, second, third];
    }
}

#[allow(clippy::inline_always)] // The AVX2 level compiles it for itself.
#[inline(always)]
pub(super) fn inks(packed: &mut [u8], whites: &[u8], invert: u8) {
    for (ink, &white) in packed.iter_mut().zip(whites) {
        // Of 16 bits: the largest is 65407.
        let product = u16::from(*ink ^ invert) * u16::from(white) + 128;
        *ink = white - ((product + (product >> 8)) >> 8) as u8;
    }
}
