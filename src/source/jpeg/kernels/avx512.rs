//! AVX-512: four blocks at once.

use std::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm256_storeu_si256, _mm512_add_epi8, _mm512_add_epi16, _mm512_add_epi32,
    _mm512_adds_epi16, _mm512_broadcast_i32x4, _mm512_castsi512_si256, _mm512_dpwssd_epi32, _mm512_extracti64x4_epi64,
    _mm512_loadu_si512, _mm512_madd_epi16, _mm512_mask_blend_epi64, _mm512_mask_permutexvar_epi8, _mm512_mulhi_epi16,
    _mm512_mullo_epi16, _mm512_or_si512, _mm512_packs_epi16, _mm512_packs_epi32, _mm512_packus_epi16,
    _mm512_permutex2var_epi8, _mm512_permutexvar_epi64, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_setr_epi64, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_slli_epi16, _mm512_srai_epi16,
    _mm512_srai_epi32, _mm512_storeu_si512, _mm512_sub_epi16, _mm512_sub_epi32, _mm512_test_epi16_mask,
    _mm512_test_epi64_mask, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi8, _mm512_unpacklo_epi16, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::quads::{EVEN, EVEN_OF_FOUR, IN_53, IN_71, ODD_OF_FOUR, Z, quads};
use super::{Kernels, avx2};
use crate::simd::Level;
use crate::source::jpeg::quad::Quad;

/// Only where the machine has what this repository calls AVX-512.
pub(super) fn kernels() -> Kernels {
    assert!(Level::Avx512.is_available());
    Kernels {
        // SAFETY: the instructions were found just now.
        idct: |coefs, quant, out, stride| unsafe { idct(coefs, quant, out, stride) },
        // SAFETY: the instructions were found just now.
        ycc: |y, cb, cr, out| unsafe { ycc(y, cb, cr, out) },
        ..avx2::kernels()
    }
}

quads! {
    "avx512f,avx512bw,avx512vnni", __m512i, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_add_epi8,
    _mm512_add_epi16, _mm512_sub_epi16, _mm512_add_epi32, _mm512_sub_epi32, _mm512_dpwssd_epi32, _mm512_madd_epi16,
    srai, _mm512_packs_epi32, _mm512_packs_epi16, _mm512_unpacklo_epi8, _mm512_unpackhi_epi8,
    _mm512_unpacklo_epi16, _mm512_unpackhi_epi16, _mm512_unpacklo_epi32, _mm512_unpackhi_epi32, _mm512_unpacklo_epi64,
    _mm512_unpackhi_epi64
}

/// As AVX2's, whose shift is a signed number.
#[inline]
#[target_feature(enable = "avx512f")]
fn srai<const SHIFT: i32>(value: __m512i) -> __m512i {
    match SHIFT {
        3 => _mm512_srai_epi32::<3>(value),
        11 => _mm512_srai_epi32::<11>(value),
        _ => _mm512_srai_epi32::<18>(value),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn idct(quad: &Quad, quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let raw = |row: usize| {
        let words: &[i16; 32] = &quad.0.as_chunks::<32>().0[row];
        // SAFETY: 64 bytes are there.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    };
    let by = |row: usize| {
        let words: &[u16; 8] = &quant.as_chunks::<8>().0[row];
        // SAFETY: 16 bytes are there.
        _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(words.as_ptr().cast()) })
    };
    let row = |at| _mm512_mullo_epi16(raw(at), by(at));
    let or = |a, b| _mm512_or_si512(a, b);
    let lower = or(or(raw(4), raw(5)), or(raw(6), raw(7)));
    let upper = or(raw(1), or(raw(2), raw(3)));
    let first = row(0);
    // Where a block's first row alone is not zero, the transform is a shift that wraps.
    let wraps = {
        let shifted = _mm512_slli_epi16::<2>(first);
        let differs = _mm512_xor_si512(_mm512_srai_epi16::<2>(shifted), first);
        _mm512_test_epi64_mask(differs, differs) != 0
    };
    // Of a block's rows the left halves alone are not zero, and of the lower four none.
    let is_corner = _mm512_test_epi64_mask(lower, lower) == 0
        && _mm512_test_epi64_mask(or(upper, raw(0)), or(upper, raw(0))) & 0xaa == 0;
    let columns = if is_corner && !wraps {
        if _mm512_test_epi64_mask(upper, upper) == 0 && _mm512_test_epi16_mask(raw(0), raw(0)) & 0xfefe_fefe == 0 {
            return fill(first, out, stride);
        }
        let (in02, in13) = (_mm512_unpacklo_epi16(first, row(2)), _mm512_unpacklo_epi16(row(1), row(3)));
        of_four::<18>(transpose_half(half_of_four::<11>(in02, in13)))
    } else {
        let mut rows = one_dimension::<11>([first, row(1), row(2), row(3), row(4), row(5), row(6), row(7)]);
        if wraps {
            let rest = or(upper, lower);
            let some = _mm512_test_epi64_mask(rest, rest);
            let some = some | (some & 0x55) << 1 | (some & 0xaa) >> 1;
            for row in &mut rows {
                *row = _mm512_mask_blend_epi64(some, _mm512_slli_epi16::<2>(first), *row);
            }
        }
        one_dimension::<18>(transpose(rows))
    };
    let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    for (rows, out) in to_bytes(columns).into_iter().zip(out.chunks_mut(stride * 2)) {
        let rows = _mm512_permutexvar_epi64(order, rows);
        // SAFETY: both slices hold 32 bytes.
        unsafe {
            _mm256_storeu_si256(out[..32].as_mut_ptr().cast(), _mm512_castsi512_si256(rows));
            _mm256_storeu_si256(out[stride..stride + 32].as_mut_ptr().cast(), _mm512_extracti64x4_epi64::<1>(rows));
        }
    }
}

/// The samples of blocks of one coefficient.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn fill(first: __m512i, out: &mut [u8], stride: usize) {
    let rounded = _mm512_srai_epi16::<5>(_mm512_adds_epi16(_mm512_slli_epi16::<2>(first), _mm512_set1_epi16(16)));
    let bytes = _mm512_add_epi8(_mm512_packs_epi16(rounded, rounded), _mm512_set1_epi8(-128));
    let alike = _mm512_shuffle_epi8(bytes, _mm512_setzero_si512());
    let alike = _mm512_castsi512_si256(_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6), alike));
    for out in out.chunks_mut(stride).take(8) {
        // SAFETY: the slice holds 32 bytes.
        unsafe { _mm256_storeu_si256(out[..32].as_mut_ptr().cast(), alike) };
    }
}

/// For each of three lines of packed RGB, where among 64 reds and 64 greens its bytes come from, and which are blues.
const INTERLEAVED: [([u8; 64], u64); 3] = {
    let mut made = [([0; 64], 0); 3];
    let mut at = 0;
    while at < 192 {
        let (line, byte) = (at / 64, at % 64);
        made[line].0[byte] = (at / 3) as u8 + if at % 3 == 1 { 64 } else { 0 };
        made[line].1 |= if at % 3 == 2 { 1 << byte } else { 0 };
        at += 1;
    }
    made
};

#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512vbmi")]
fn ycc(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    let count = y.len().min(cb.len()).min(cr.len()).min(out.len() / 3);
    if count < 64 {
        return (avx2::kernels().ycc)(y, cb, cr, out);
    }
    // Whole lines of the output, but for its first and its last pixels, which are made twice.
    let aligned = (out.as_ptr().align_offset(64) * 43) % 64;
    let mut at = 0;
    loop {
        let (y, cb, cr) = (&y[at..at + 64], &cb[at..at + 64], &cr[at..at + 64]);
        ycc_of_64(y, cb, cr, &mut out[at * 3..at * 3 + 192]);
        if at + 64 >= count {
            return;
        }
        at = (if at == 0 && aligned > 0 { aligned } else { at + 64 }).min(count - 64);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx512vbmi")]
fn ycc_of_64(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    // SAFETY: the slice holds 64 bytes.
    let load = |bytes: &[u8]| unsafe { _mm512_loadu_si512(bytes[..64].as_ptr().cast()) };
    let zero = _mm512_setzero_si512();
    let middle = _mm512_set1_epi16(128);
    let one = _mm512_set1_epi16(1);
    let (y, cb, cr) = (load(y), load(cb), load(cr));
    // 0.402, -0.228, and (-0.34414, 0.28586), each times 65536.
    let rgb = |y, cb, cr| {
        let (cb, cr) = (_mm512_sub_epi16(cb, middle), _mm512_sub_epi16(cr, middle));
        let rounded = |value, by| {
            let product = _mm512_mulhi_epi16(_mm512_add_epi16(value, value), _mm512_set1_epi16(by));
            _mm512_srai_epi16::<1>(_mm512_add_epi16(product, one))
        };
        let red = _mm512_add_epi16(_mm512_add_epi16(rounded(cr, 26345), cr), y);
        let blue = _mm512_add_epi16(_mm512_add_epi16(rounded(cb, -14942), _mm512_add_epi16(cb, cb)), y);
        let by = _mm512_set1_epi32(18734 * 65536 + (65536 - 22554));
        let half = _mm512_set1_epi32(32768);
        let sum = |pairs| _mm512_srai_epi32::<16>(_mm512_dpwssd_epi32(half, pairs, by));
        let green = _mm512_packs_epi32(sum(_mm512_unpacklo_epi16(cb, cr)), sum(_mm512_unpackhi_epi16(cb, cr)));
        [red, _mm512_add_epi16(_mm512_sub_epi16(green, cr), y), blue]
    };
    let low = |bytes| _mm512_unpacklo_epi8(bytes, zero);
    let high = |bytes| _mm512_unpackhi_epi8(bytes, zero);
    let [red_low, green_low, blue_low] = rgb(low(y), low(cb), low(cr));
    let [red_high, green_high, blue_high] = rgb(high(y), high(cb), high(cr));
    let red = _mm512_packus_epi16(red_low, red_high);
    let green = _mm512_packus_epi16(green_low, green_high);
    let blue = _mm512_packus_epi16(blue_low, blue_high);
    for ((places, blues), out) in INTERLEAVED.iter().zip(out.as_chunks_mut::<64>().0) {
        let places = load(places);
        let both = _mm512_permutex2var_epi8(red, places, green);
        let all = _mm512_mask_permutexvar_epi8(both, *blues, places, blue);
        // SAFETY: 64 bytes are there.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), all) };
    }
}
