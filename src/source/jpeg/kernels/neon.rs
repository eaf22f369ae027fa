//! NEON: a row of the block to a vector. What blends rows and columns is the portable code, which compilers vectorise.

use std::arch::aarch64::{
    int16x8_t, int32x4_t, uint8x8_t, uint8x16x3_t, vaddq_s16, vaddq_s32, vaddw_u8, vcombine_s16, vcombine_u8,
    vdup_n_u8, vdupq_laneq_s16, vdupq_n_s32, veor_u8, vget_high_u8, vget_low_s16, vget_low_u8, vld1q_s16, vld1q_u8,
    vld1q_u16, vmlal_high_n_s16, vmlal_n_s16, vmull_high_n_s16, vmull_n_s16, vmulq_s16, vqmovn_s16, vqmovn_s32,
    vqmovun_s16, vreinterpret_u8_s8, vreinterpretq_s16_s64, vreinterpretq_s16_u16, vreinterpretq_s32_s16,
    vreinterpretq_s64_s32, vreinterpretq_u16_s16, vrshrn_n_s32, vshll_high_n_s16, vshll_n_s16, vshlq_n_s16,
    vshrq_n_s32, vst1_u8, vst3q_u8, vsubl_u8, vsubq_s16, vsubq_s32, vtrn1q_s16, vtrn1q_s32, vtrn1q_s64, vtrn2q_s16,
    vtrn2q_s32, vtrn2q_s64,
};

use super::Kernels;
use super::scalar::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053, F_2_562, F_3_072,
    KERNELS, interleave, ycc,
};
use crate::source::jpeg::quad::{LANES, Quad};

/// Only where the machine has NEON.
pub(super) fn kernels() -> Kernels {
    assert!(std::arch::is_aarch64_feature_detected!("neon"));
    Kernels {
        // SAFETY: NEON was found just now.
        idct: |coefs, quant, out, stride| unsafe { idct(coefs, quant, out, stride) },
        // SAFETY: NEON was found just now.
        ycc: |y, cb, cr, out| unsafe { ycc_here(y, cb, cr, out) },
        // SAFETY: NEON was found just now.
        interleave: |first, second, third, out| unsafe { interleave_here(first, second, third, out) },
        ..KERNELS
    }
}

/// 32-bit lanes, the lower four and the upper.
#[derive(Clone, Copy)]
struct Wide(int32x4_t, int32x4_t);

impl Wide {
    #[inline]
    #[target_feature(enable = "neon")]
    fn add(self, other: Self) -> Self {
        Self(vaddq_s32(self.0, other.0), vaddq_s32(self.1, other.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn sub(self, other: Self) -> Self {
        Self(vsubq_s32(self.0, other.0), vsubq_s32(self.1, other.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn product(a: int16x8_t, by: i16) -> Self {
        Self(vmull_n_s16(vget_low_s16(a), by), vmull_high_n_s16(a, by))
    }

    /// `a * by[0] + b * by[1]`.
    #[inline]
    #[target_feature(enable = "neon")]
    fn products(a: int16x8_t, b: int16x8_t, by: [i32; 2]) -> Self {
        let [first, second] = by.map(|by| by as i16);
        let Self(low, high) = Self::product(a, first);
        Self(vmlal_n_s16(low, vget_low_s16(b), second), vmlal_high_n_s16(high, b, second))
    }

    /// Rounded and shifted; saturates.
    #[inline]
    #[target_feature(enable = "neon")]
    fn narrow<const SHIFT: i32>(self) -> int16x8_t {
        // No rounding shift: its sum would not wrap.
        let round = vdupq_n_s32(1 << (SHIFT - 1));
        let shifted = self.add(Self(round, round));
        vcombine_s16(vqmovn_s32(vshrq_n_s32::<SHIFT>(shifted.0)), vqmovn_s32(vshrq_n_s32::<SHIFT>(shifted.1)))
    }
}

/// As `scalar::one_dimension`, of eight columns.
#[inline]
#[target_feature(enable = "neon")]
fn transform<const SHIFT: i32>(rows: [int16x8_t; 8]) -> [int16x8_t; 8] {
    let tmp2 = Wide::products(rows[2], rows[6], [F_0_541, F_0_541 - F_1_847]);
    let tmp3 = Wide::products(rows[2], rows[6], [F_0_541 + F_0_765, F_0_541]);
    let up = |row| Wide(vshll_n_s16::<13>(vget_low_s16(row)), vshll_high_n_s16::<13>(row));
    let (tmp0, tmp1) = (up(vaddq_s16(rows[0], rows[4])), up(vsubq_s16(rows[0], rows[4])));
    let even = [tmp0.add(tmp3), tmp1.add(tmp2), tmp1.sub(tmp2), tmp0.sub(tmp3)];

    let (z3, z4) = (vaddq_s16(rows[7], rows[3]), vaddq_s16(rows[5], rows[1]));
    let (z3, z4) =
        (Wide::products(z3, z4, [F_1_175 - F_1_961, F_1_175]), Wide::products(z3, z4, [F_1_175, F_1_175 - F_0_390]));
    let odd = [
        Wide::products(rows[7], rows[1], [-F_0_899, F_1_501 - F_0_899]).add(z4),
        Wide::products(rows[5], rows[3], [-F_2_562, F_3_072 - F_2_562]).add(z3),
        Wide::products(rows[5], rows[3], [F_2_053 - F_2_562, -F_2_562]).add(z4),
        Wide::products(rows[7], rows[1], [F_0_298 - F_0_899, -F_0_899]).add(z3),
    ];
    [
        even[0].add(odd[0]).narrow::<SHIFT>(),
        even[1].add(odd[1]).narrow::<SHIFT>(),
        even[2].add(odd[2]).narrow::<SHIFT>(),
        even[3].add(odd[3]).narrow::<SHIFT>(),
        even[3].sub(odd[3]).narrow::<SHIFT>(),
        even[2].sub(odd[2]).narrow::<SHIFT>(),
        even[1].sub(odd[1]).narrow::<SHIFT>(),
        even[0].sub(odd[0]).narrow::<SHIFT>(),
    ]
}

/// Rows to columns.
#[inline]
#[target_feature(enable = "neon")]
fn transpose(rows: [int16x8_t; 8]) -> [int16x8_t; 8] {
    let by16 = |a, b| (vreinterpretq_s32_s16(vtrn1q_s16(a, b)), vreinterpretq_s32_s16(vtrn2q_s16(a, b)));
    let by32 = |a, b| (vreinterpretq_s64_s32(vtrn1q_s32(a, b)), vreinterpretq_s64_s32(vtrn2q_s32(a, b)));
    let by64 = |a, b| (vreinterpretq_s16_s64(vtrn1q_s64(a, b)), vreinterpretq_s16_s64(vtrn2q_s64(a, b)));
    let [a, b, c, d, e, f, g, h] = rows;
    let ((a, b), (c, d), (e, f), (g, h)) = (by16(a, b), by16(c, d), by16(e, f), by16(g, h));
    let ((a, c), (b, d), (e, g), (f, h)) = (by32(a, c), by32(b, d), by32(e, g), by32(f, h));
    let ((a, e), (b, f), (c, g), (d, h)) = (by64(a, e), by64(b, f), by64(c, g), by64(d, h));
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "neon")]
fn idct(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    for block in 0..LANES as usize {
        idct_of_block(quad, block, quant, &mut out[block * 8..], stride);
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn idct_of_block(quad: &Quad, block: usize, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let coefs = |at: usize| &quad.0.as_chunks::<8>().0[at * LANES as usize + block];
    let row = |at: usize| {
        let (coefs, quant) = (coefs(at), &quant.as_chunks::<8>().0[at]);
        // SAFETY: both arrays hold eight numbers.
        unsafe { vmulq_s16(vld1q_s16(coefs.as_ptr()), vreinterpretq_s16_u16(vld1q_u16(quant.as_ptr()))) }
    };
    let columns = if (1..8).all(|at| *coefs(at) == [0; 8]) {
        let first = coefs(0);
        if first[1..] == [0; 7] {
            let value = i32::from(first[0].wrapping_mul(quant[0] as i16) << 2);
            let value = (value * 8192 + (1 << 17)) >> 18;
            let row = [(value.clamp(-128, 127) + 128) as u8; 8];
            for at in 0..8 {
                out[at * stride..at * stride + 8].copy_from_slice(&row);
            }
            return;
        }
        let first = vshlq_n_s16::<2>(row(0));
        [
            vdupq_laneq_s16::<0>(first),
            vdupq_laneq_s16::<1>(first),
            vdupq_laneq_s16::<2>(first),
            vdupq_laneq_s16::<3>(first),
            vdupq_laneq_s16::<4>(first),
            vdupq_laneq_s16::<5>(first),
            vdupq_laneq_s16::<6>(first),
            vdupq_laneq_s16::<7>(first),
        ]
    } else {
        transpose(transform::<11>([row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]))
    };
    for (at, row) in transpose(transform::<18>(columns)).into_iter().enumerate() {
        let bytes = veor_u8(vreinterpret_u8_s8(vqmovn_s16(row)), vdup_n_u8(128));
        // SAFETY: the slice holds eight bytes.
        unsafe { vst1_u8(out[at * stride..at * stride + 8].as_mut_ptr(), bytes) };
    }
}

/// Eight pixels' red, green and blue.
#[inline]
#[target_feature(enable = "neon")]
fn rgb(y: uint8x8_t, cb: uint8x8_t, cr: uint8x8_t) -> [uint8x8_t; 3] {
    let middle = vdup_n_u8(128);
    let (cb, cr) = (vreinterpretq_s16_u16(vsubl_u8(cb, middle)), vreinterpretq_s16_u16(vsubl_u8(cr, middle)));
    let rounded = |Wide(low, high)| vcombine_s16(vrshrn_n_s32::<16>(low), vrshrn_n_s32::<16>(high));
    // 91881, -46802 and 116130 are what stands here and multiples of 65536.
    let red = vaddq_s16(rounded(Wide::product(cr, 26345)), cr);
    let green = vsubq_s16(rounded(Wide::products(cb, cr, [-22554, 18734])), cr);
    let blue = vaddq_s16(rounded(Wide::product(cb, -14942)), vaddq_s16(cb, cb));
    [red, green, blue].map(|value| vqmovun_s16(vreinterpretq_s16_u16(vaddw_u8(vreinterpretq_u16_s16(value), y))))
}

#[target_feature(enable = "neon")]
fn ycc_here(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    let chunks = y.len().min(cb.len()).min(cr.len()).min(out.len() / 3) / 16;
    let (ys, cbs, crs) = (y.as_chunks::<16>().0, cb.as_chunks::<16>().0, cr.as_chunks::<16>().0);
    for (((y, cb), cr), out) in ys.iter().zip(cbs).zip(crs).zip(out.as_chunks_mut::<48>().0) {
        // SAFETY: 16 bytes are there.
        let [y, cb, cr] = [y, cb, cr].map(|bytes| unsafe { vld1q_u8(bytes.as_ptr()) });
        let low = rgb(vget_low_u8(y), vget_low_u8(cb), vget_low_u8(cr));
        let high = rgb(vget_high_u8(y), vget_high_u8(cb), vget_high_u8(cr));
        let [red, green, blue] = [0, 1, 2].map(|channel: usize| vcombine_u8(low[channel], high[channel]));
        // SAFETY: 48 bytes are there.
        unsafe { vst3q_u8(out.as_mut_ptr(), uint8x16x3_t(red, green, blue)) };
    }
    let done = chunks * 16;
    ycc(&y[done..], &cb[done..], &cr[done..], &mut out[done * 3..]);
}

#[target_feature(enable = "neon")]
fn interleave_here(first: &[u8], second: &[u8], third: &[u8], out: &mut [u8]) {
    let chunks = first.len().min(second.len()).min(third.len()).min(out.len() / 3) / 16;
    let lines = first.as_chunks::<16>().0.iter().zip(second.as_chunks::<16>().0).zip(third.as_chunks::<16>().0);
    for (((first, second), third), out) in lines.zip(out.as_chunks_mut::<48>().0) {
        // SAFETY: 16 bytes are there.
        let [first, second, third] = [first, second, third].map(|bytes| unsafe { vld1q_u8(bytes.as_ptr()) });
        // SAFETY: 48 bytes are there.
        unsafe { vst3q_u8(out.as_mut_ptr(), uint8x16x3_t(first, second, third)) };
    }
    let done = chunks * 16;
    interleave(&first[done..], &second[done..], &third[done..], &mut out[done * 3..]);
}
