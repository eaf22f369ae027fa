//! AVX2 with FMA and F16C: half lines, channels parted by `vpshufb`, values by the reference's own operations.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_ET0, _mm_loadl_epi64, _mm_loadu_si128, _mm_or_si128,
    _mm_prefetch, _mm_setr_epi8, _mm_sfence, _mm_shuffle_epi8, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_blendv_epi8, _mm256_castps_si256, _mm256_castsi256_si128, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32,
    _mm256_cvtps_ph, _mm256_div_ps, _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_mul_ps, _mm256_set_m128i, _mm256_set1_epi32, _mm256_set1_ps, _mm256_srli_epi32,
    _mm256_store_si256, _mm256_storeu_si256, _mm256_stream_si256, _mm256_sub_ps,
};

use super::floats::{self, Floats};
use super::lines::{Lines, Values};
use super::runs;
use super::{PatchRow, Sink, TileRows};
use crate::write::values::Form;

/// The instruction set.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

/// For each channel and each of the three vectors that sixteen pixels fill, which of its bytes go where.
const BY_CHANNEL: [[[i8; 16]; 3]; 3] = {
    let mut order = [[[-1; 16]; 3]; 3];
    let mut byte = 0;
    while byte < 48 {
        order[byte % 3][byte / 16][byte / 3] = (byte % 16) as i8;
        byte += 1;
    }
    order
};

/// From place `32 - n` on a mask of the first `n` bytes.
const FIRST: [u8; 64] = {
    let mut mask = [0; 64];
    let mut at = 0;
    while at < 32 {
        mask[at] = u8::MAX;
        at += 1;
    }
    mask
};

impl Lines for Avx2 {
    type Line = __m256i;
    const BYTES: usize = 32;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(bytes: *const u8) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_loadu_si256(bytes.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn store<const PAST: bool>(out: *mut u8, line: __m256i) {
        // SAFETY: as the caller promises.
        unsafe { if PAST { _mm256_stream_si256(out.cast(), line) } else { _mm256_store_si256(out.cast(), line) } }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn store_first(out: *mut u8, line: __m256i, count: usize) {
        let mut bytes = [0u8; 32];
        // SAFETY: as the caller promises.
        unsafe {
            _mm256_storeu_si256(bytes.as_mut_ptr().cast(), line);
            out.copy_from_nonoverlapping(bytes.as_ptr(), count);
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn splice(one: __m256i, two: __m256i, count: usize) -> __m256i {
        // SAFETY: the count is at most 32.
        let mask = unsafe { _mm256_loadu_si256(FIRST.as_ptr().add(32 - count).cast()) };
        _mm256_blendv_epi8(two, one, mask)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn part(pixels: *const u8, channels: [*mut u8; 3]) {
        // SAFETY: as the caller promises.
        unsafe {
            let load = |bytes: *const u8| -> __m128i { _mm_loadu_si128(bytes.cast()) };
            let vectors = [load(pixels), load(pixels.add(16)), load(pixels.add(32))];
            for (orders, channel) in BY_CHANNEL.iter().zip(channels) {
                let picked = |which: usize| _mm_shuffle_epi8(vectors[which], load(orders[which].as_ptr().cast()));
                _mm_storeu_si128(channel.cast(), _mm_or_si128(_mm_or_si128(picked(0), picked(1)), picked(2)));
            }
        }
    }

    #[inline]
    unsafe fn fence() {
        // SAFETY: every x86-64 has it.
        unsafe { _mm_sfence() };
    }

    #[inline]
    unsafe fn prefetch(out: *const u8) {
        // SAFETY: every x86-64 has it, and it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(out.cast()) };
    }
}

impl Floats for Avx2 {
    type Vector = __m256;

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn splat(value: f32) -> __m256 {
        _mm256_set1_ps(value)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn read(values: *const f32) -> __m256 {
        // SAFETY: as the caller promises.
        unsafe { _mm256_loadu_ps(values) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn widen(bytes: *const u8) -> __m256 {
        // SAFETY: as the caller promises.
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(bytes.cast()) }))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn subtract(from: __m256, what: __m256) -> __m256 {
        _mm256_sub_ps(from, what)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn multiply(one: __m256, two: __m256) -> __m256 {
        _mm256_mul_ps(one, two)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn divide(values: __m256, by: __m256) -> __m256 {
        _mm256_div_ps(values, by)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn add_product(add: __m256, one: __m256, two: __m256) -> __m256 {
        _mm256_fmadd_ps(one, two, add)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn subtract_product(from: __m256, one: __m256, two: __m256) -> __m256 {
        _mm256_fnmadd_ps(one, two, from)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn to_f32(lanes: __m256) -> __m256i {
        _mm256_castps_si256(lanes)
    }

    #[inline]
    #[target_feature(enable = "avx2,f16c")]
    unsafe fn to_f16(low: __m256, high: __m256) -> __m256i {
        let (low, high) =
            (_mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(low), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(high));
        _mm256_set_m128i(high, low)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn to_bf16(low: __m256, high: __m256) -> __m256i {
        _mm256_set_m128i(to_bf16(high), to_bf16(low))
    }
}

/// The upper halves of eight floats, rounded.
#[inline]
#[target_feature(enable = "avx2")]
fn to_bf16(lanes: __m256) -> __m128i {
    let bits = _mm256_castps_si256(lanes);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    // The second and third byte pairs of each 128-bit lane's numbers.
    let order = _mm_setr_epi8(2, 3, 6, 7, 10, 11, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1);
    let other = _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, 2, 3, 6, 7, 10, 11, 14, 15);
    let (low, high) = (_mm256_castsi256_si128(rounded), _mm256_extracti128_si256::<1>(rounded));
    _mm_or_si128(_mm_shuffle_epi8(low, order), _mm_shuffle_epi8(high, other))
}

runs::entries!(Avx2, "avx2,fma,f16c");
