//! AVX-512 with VBMI: whole lines, channels parted by one `vpermb`, values by the reference's own operations.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_ET0, _mm_loadu_si128, _mm_prefetch, _mm_sfence,
    _mm_storeu_si128, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi256_si512,
    _mm512_castsi512_si128, _mm512_cvtepi32_epi16, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtps_ph,
    _mm512_div_ps, _mm512_extracti32x4_epi32, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_inserti64x4, _mm512_loadu_ps,
    _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_mask_storeu_epi8, _mm512_mul_ps, _mm512_permutexvar_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_srli_epi32, _mm512_store_si512, _mm512_stream_si512, _mm512_sub_ps,
};

use super::floats::{self, Floats};
use super::lines::{Lines, Values};
use super::runs;
use super::{PatchRow, Sink, TileRows};
use crate::write::values::Form;

/// The instruction set.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// A mask of the first `count` bytes, fewer than 64.
fn first(count: usize) -> u64 {
    (1 << count) - 1
}

/// An order of bytes for `vpermb`.
#[repr(align(64))]
struct Order([u8; 64]);

/// Sixteen reds, greens and blues of packed pixels.
const BY_CHANNEL: Order = {
    let mut order = [0; 64];
    let mut at = 0;
    while at < 48 {
        order[at] = (at % 16 * 3 + at / 16) as u8;
        at += 1;
    }
    Order(order)
};

impl Lines for Avx512 {
    type Line = __m512i;
    const BYTES: usize = 64;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn load(bytes: *const u8) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_si512(bytes.cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn store<const PAST: bool>(out: *mut u8, line: __m512i) {
        // SAFETY: as the caller promises.
        unsafe { if PAST { _mm512_stream_si512(out.cast(), line) } else { _mm512_store_si512(out.cast(), line) } }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn store_first(out: *mut u8, line: __m512i, count: usize) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_mask_storeu_epi8(out.cast(), first(count), line) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn splice(one: __m512i, two: __m512i, count: usize) -> __m512i {
        _mm512_mask_blend_epi8(first(count), two, one)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    unsafe fn part(pixels: *const u8, channels: [*mut u8; 3]) {
        // SAFETY: as the caller promises.
        unsafe {
            let order = _mm512_loadu_si512(BY_CHANNEL.0.as_ptr().cast());
            let parted = _mm512_permutexvar_epi8(order, _mm512_loadu_si512(pixels.cast()));
            _mm_storeu_si128(channels[0].cast(), _mm512_castsi512_si128(parted));
            _mm_storeu_si128(channels[1].cast(), _mm512_extracti32x4_epi32::<1>(parted));
            _mm_storeu_si128(channels[2].cast(), _mm512_extracti32x4_epi32::<2>(parted));
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

impl Floats for Avx512 {
    type Vector = __m512;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn splat(value: f32) -> __m512 {
        _mm512_set1_ps(value)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn read(values: *const f32) -> __m512 {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_ps(values) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn widen(bytes: *const u8) -> __m512 {
        // SAFETY: as the caller promises.
        _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(bytes.cast()) }))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn subtract(from: __m512, what: __m512) -> __m512 {
        _mm512_sub_ps(from, what)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn multiply(one: __m512, two: __m512) -> __m512 {
        _mm512_mul_ps(one, two)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn divide(values: __m512, by: __m512) -> __m512 {
        _mm512_div_ps(values, by)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn add_product(add: __m512, one: __m512, two: __m512) -> __m512 {
        _mm512_fmadd_ps(one, two, add)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn subtract_product(from: __m512, one: __m512, two: __m512) -> __m512 {
        _mm512_fnmadd_ps(one, two, from)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn to_f32(lanes: __m512) -> __m512i {
        _mm512_castps_si512(lanes)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn to_f16(low: __m512, high: __m512) -> __m512i {
        let (low, high) =
            (_mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(low), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(high));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn to_bf16(low: __m512, high: __m512) -> __m512i {
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(to_bf16(low)), to_bf16(high))
    }
}

/// The upper halves of sixteen floats, rounded.
#[inline]
#[target_feature(enable = "avx512f")]
fn to_bf16(lanes: __m512) -> __m256i {
    let bits = _mm512_castps_si512(lanes);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded))
}

runs::entries!(Avx512, "avx512f,avx512bw,avx512vl,avx512vbmi");
