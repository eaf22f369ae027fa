//! AVX2.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm_or_si128, _mm_setr_epi8, _mm_shuffle_epi8, _mm_slli_epi16, _mm_storeu_si128,
    _mm_unpackhi_epi16, _mm_unpacklo_epi16, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32,
    _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_cvtepu8_epi16, _mm256_inserti128_si256, _mm256_loadu_si256,
    _mm256_madd_epi16, _mm256_mulhi_epi16, _mm256_mullo_epi16, _mm256_or_si256, _mm256_packs_epi16, _mm256_packs_epi32,
    _mm256_packus_epi16, _mm256_permute2x128_si256, _mm256_permute4x64_epi64, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_shuffle_epi32, _mm256_sign_epi16,
    _mm256_srai_epi16, _mm256_srai_epi32, _mm256_storeu_si256, _mm256_sub_epi16, _mm256_sub_epi32, _mm256_testz_si256,
    _mm256_unpackhi_epi16, _mm256_unpackhi_epi64, _mm256_unpacklo_epi16, _mm256_unpacklo_epi64,
};

use super::scalar::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053, F_2_562, F_3_072,
    blend_rows, widen, ycc,
};
use super::{Blend, Kernels};

/// Only where the machine has AVX2.
pub(super) fn kernels() -> Kernels {
    assert!(is_x86_feature_detected!("avx2"));
    Kernels {
        // SAFETY: AVX2 was found just now.
        idct: |coefs, quant, out, stride| unsafe { idct(coefs, quant, out, stride) },
        // SAFETY: AVX2 was found just now.
        blend_rows: |near, far, out| unsafe { blend_rows_here(near, far, out) },
        // SAFETY: AVX2 was found just now.
        widen: |sums, blend, out| unsafe { widen_here(sums, blend, out) },
        // SAFETY: AVX2 was found just now.
        ycc: |y, cb, cr, out| unsafe { ycc_here(y, cb, cr, out) },
    }
}

#[target_feature(enable = "avx2")]
fn blend_rows_here(near: &[u8], far: &[u8], out: &mut [u16]) {
    blend_rows(near, far, out);
}

#[target_feature(enable = "avx2")]
fn widen_here(sums: &[u16], blend: Blend, out: &mut [u8]) {
    // The shift as a constant, for the compiler.
    match blend.shift {
        2 => widen(sums, Blend { shift: 2, ..blend }, out),
        _ => widen(sums, Blend { shift: 4, ..blend }, out),
    }
}

#[target_feature(enable = "avx2")]
fn load(words: &[i16; 16]) -> __m256i {
    // SAFETY: 32 bytes are there.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

/// (even lane pair, odd lane pair), the first in the low lane.
#[target_feature(enable = "avx2")]
fn pairs(low: [i32; 2], high: [i32; 2]) -> __m256i {
    let pair = |[a, b]: [i32; 2]| b << 16 | (a & 0xffff);
    let (low, high) = (pair(low), pair(high));
    _mm256_setr_epi32(low, low, low, low, high, high, high, high)
}

/// In-place transform of rows (0 4), (3 1), (2 6), (7 5), a row to a lane; results are (0 1), (3 2), (4 5), (7 6).
#[target_feature(enable = "avx2")]
fn transform<const SHIFT: i32>(in04: __m256i, in31: __m256i, in26: __m256i, in75: __m256i) -> [__m256i; 4] {
    let swap = |value| _mm256_permute2x128_si256::<1>(value, value);
    let both = |a, b| (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
    let times = |(low, high), by| (_mm256_madd_epi16(low, by), _mm256_madd_epi16(high, by));
    let add = |a: (__m256i, __m256i), b: (__m256i, __m256i)| (_mm256_add_epi32(a.0, b.0), _mm256_add_epi32(a.1, b.1));
    let sub = |a: (__m256i, __m256i), b: (__m256i, __m256i)| (_mm256_sub_epi32(a.0, b.0), _mm256_sub_epi32(a.1, b.1));
    let round = _mm256_set1_epi32(1 << (SHIFT - 1));
    let narrow = |(low, high): (__m256i, __m256i)| {
        let low = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(low, round));
        let high = _mm256_srai_epi32::<SHIFT>(_mm256_add_epi32(high, round));
        _mm256_packs_epi32(low, high)
    };

    let tmp32 = times(both(in26, swap(in26)), pairs([F_0_541 + F_0_765, F_0_541], [F_0_541 - F_1_847, F_0_541]));
    let signs = _mm256_setr_epi32(0x1_0001, 0x1_0001, 0x1_0001, 0x1_0001, -1, -1, -1, -1);
    let sums = _mm256_add_epi16(swap(in04), _mm256_sign_epi16(in04, signs));
    let (low, high) = both(_mm256_setzero_si256(), sums);
    let tmp01 = (_mm256_srai_epi32::<3>(low), _mm256_srai_epi32::<3>(high));
    let tmp1312 = sub(tmp01, tmp32);
    let tmp1011 = add(tmp01, tmp32);

    let z34 = _mm256_add_epi16(in75, in31);
    let z34 = times(both(z34, swap(z34)), pairs([F_1_175 - F_1_961, F_1_175], [F_1_175 - F_0_390, F_1_175]));
    let in7153 = both(in75, swap(in31));
    let tmp0_1 = add(times(in7153, pairs([F_0_298 - F_0_899, -F_0_899], [F_2_053 - F_2_562, -F_2_562])), z34);
    let z43 = (swap(z34.0), swap(z34.1));
    let tmp3_2 = add(times(in7153, pairs([-F_0_899, F_1_501 - F_0_899], [-F_2_562, F_3_072 - F_2_562])), z43);

    [
        narrow(add(tmp1011, tmp3_2)),
        narrow(add(tmp1312, tmp0_1)),
        narrow(sub(tmp1312, tmp0_1)),
        narrow(sub(tmp1011, tmp3_2)),
    ]
}

/// From rows (0 1), (3 2), (4 5), (7 6) to columns (0 4), (1 5), (2 6), (3 7).
#[target_feature(enable = "avx2")]
fn transpose([d01, d32, d45, d76]: [__m256i; 4]) -> [__m256i; 4] {
    let a = _mm256_permute4x64_epi64::<0xd8>(d01);
    let b = _mm256_permute4x64_epi64::<0x72>(d32);
    let c = _mm256_permute4x64_epi64::<0xd8>(d45);
    let d = _mm256_permute4x64_epi64::<0x72>(d76);
    let (e, f) = (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
    let (g, h) = (_mm256_unpacklo_epi16(c, d), _mm256_unpackhi_epi16(c, d));
    let (a, c) = (_mm256_unpacklo_epi16(e, f), _mm256_unpackhi_epi16(e, f));
    let (b, d) = (_mm256_unpacklo_epi16(g, h), _mm256_unpackhi_epi16(g, h));
    [_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b), _mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d)]
}

#[target_feature(enable = "avx2")]
fn idct(coefs: &[i16; 64], quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let [c01, c23, c45, c67] = {
        let chunks = coefs.as_chunks::<16>().0;
        [load(&chunks[0]), load(&chunks[1]), load(&chunks[2]), load(&chunks[3])]
    };
    let by = |coefs, at: usize| {
        // SAFETY: a table has 64 words.
        let quant = unsafe { _mm256_loadu_si256(quant.as_ptr().add(at * 16).cast()) };
        _mm256_mullo_epi16(coefs, quant)
    };
    let lower = _mm256_permute2x128_si256::<0x81>(c01, c01);
    let rest = _mm256_or_si256(_mm256_or_si256(lower, c23), _mm256_or_si256(c45, c67));
    let columns = if _mm256_testz_si256(rest, rest) == 1 {
        if coefs[1..8] == [0; 7] {
            let value = i32::from(coefs[0].wrapping_mul(quant[0] as i16) << 2);
            let value = (value * 8192 + (1 << 17)) >> 18;
            let row = [(value.clamp(-128, 127) + 128) as u8; 8];
            for at in 0..8 {
                out[at * stride..at * stride + 8].copy_from_slice(&row);
            }
            return;
        }
        let first = _mm_slli_epi16::<2>(_mm256_castsi256_si128(by(c01, 0)));
        let (low, high) = (_mm_unpacklo_epi16(first, first), _mm_unpackhi_epi16(first, first));
        let both = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high);
        [
            _mm256_shuffle_epi32::<0x00>(both),
            _mm256_shuffle_epi32::<0x55>(both),
            _mm256_shuffle_epi32::<0xaa>(both),
            _mm256_shuffle_epi32::<0xff>(both),
        ]
    } else {
        let (in01, in23, in45, in67) = (by(c01, 0), by(c23, 1), by(c45, 2), by(c67, 3));
        transpose(transform::<11>(
            _mm256_permute2x128_si256::<0x20>(in01, in45),
            _mm256_permute2x128_si256::<0x31>(in23, in01),
            _mm256_permute2x128_si256::<0x20>(in23, in67),
            _mm256_permute2x128_si256::<0x31>(in67, in45),
        ))
    };
    let [d04, d15, d26, d37] = columns;
    let rows = transpose(transform::<18>(
        d04,
        _mm256_permute2x128_si256::<0x20>(d37, d15),
        d26,
        _mm256_permute2x128_si256::<0x31>(d37, d15),
    ));
    let centre = _mm256_set1_epi8(-128);
    let made = [
        _mm256_add_epi8(_mm256_packs_epi16(rows[0], rows[1]), centre),
        _mm256_add_epi8(_mm256_packs_epi16(rows[2], rows[3]), centre),
    ];
    let mut bytes = [0u8; 64];
    // SAFETY: 64 bytes are there.
    unsafe {
        _mm256_storeu_si256(bytes.as_mut_ptr().cast(), made[0]);
        _mm256_storeu_si256(bytes.as_mut_ptr().add(32).cast(), made[1]);
    }
    // Rows lie 0 1 4 5 2 3 6 7.
    let rows = bytes.as_chunks::<8>().0;
    for (row, at) in [0, 1, 4, 5, 2, 3, 6, 7].into_iter().enumerate() {
        out[row * stride..row * stride + 8].copy_from_slice(&rows[at]);
    }
}

#[target_feature(enable = "avx2")]
fn ycc_here(y: &[u8], cb: &[u8], cr: &[u8], out: &mut [u8]) {
    let wide = |bytes: &[u8; 16]| {
        // SAFETY: 16 bytes are there.
        _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
    };
    let middle = _mm256_set1_epi16(128);
    let one = _mm256_set1_epi16(1);
    // 0.402, -0.228, and (-0.34414, 0.28586), each times 65536.
    let (red_by, blue_by) = (_mm256_set1_epi16(26345), _mm256_set1_epi16(-14942));
    let green_by = _mm256_set1_epi32(18734 * 65536 + (65536 - 22554));
    let half = _mm256_set1_epi32(32768);
    let chunks = y.len().min(cb.len()).min(cr.len()).min(out.len() / 3) / 16;
    let (ys, cbs, crs) = (y.as_chunks::<16>().0, cb.as_chunks::<16>().0, cr.as_chunks::<16>().0);
    for (((y, cb), cr), out) in ys.iter().zip(cbs).zip(crs).zip(out.as_chunks_mut::<48>().0) {
        let y = wide(y);
        let cb = _mm256_sub_epi16(wide(cb), middle);
        let cr = _mm256_sub_epi16(wide(cr), middle);
        let rounded = |value: __m256i, by| {
            let product = _mm256_mulhi_epi16(_mm256_add_epi16(value, value), by);
            _mm256_srai_epi16::<1>(_mm256_add_epi16(product, one))
        };
        let red = _mm256_add_epi16(_mm256_add_epi16(rounded(cr, red_by), cr), y);
        let blue = _mm256_add_epi16(_mm256_add_epi16(rounded(cb, blue_by), _mm256_add_epi16(cb, cb)), y);
        let sum = |pairs| _mm256_srai_epi32::<16>(_mm256_add_epi32(_mm256_madd_epi16(pairs, green_by), half));
        let green = _mm256_packs_epi32(sum(_mm256_unpacklo_epi16(cb, cr)), sum(_mm256_unpackhi_epi16(cb, cr)));
        let green = _mm256_add_epi16(_mm256_sub_epi16(green, cr), y);
        let bytes = |value| {
            let packed = _mm256_permute4x64_epi64::<0xd8>(_mm256_packus_epi16(value, value));
            _mm256_castsi256_si128(packed)
        };
        store_interleaved(bytes(red), bytes(green), bytes(blue), out);
    }
    let done = chunks * 16;
    ycc(&y[done..], &cb[done..], &cr[done..], &mut out[done * 3..]);
}

#[target_feature(enable = "avx2")]
fn store_interleaved(red: __m128i, green: __m128i, blue: __m128i, out: &mut [u8; 48]) {
    let or = |a, b, c| _mm_or_si128(_mm_or_si128(a, b), c);
    let first = or(
        _mm_shuffle_epi8(red, _mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5)),
        _mm_shuffle_epi8(green, _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1)),
        _mm_shuffle_epi8(blue, _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1)),
    );
    let second = or(
        _mm_shuffle_epi8(red, _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1)),
        _mm_shuffle_epi8(green, _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10)),
        _mm_shuffle_epi8(blue, _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1)),
    );
    let third = or(
        _mm_shuffle_epi8(red, _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1)),
        _mm_shuffle_epi8(green, _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1)),
        _mm_shuffle_epi8(blue, _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15)),
    );
    // SAFETY: 48 bytes are there.
    unsafe {
        _mm_storeu_si128(out.as_mut_ptr().cast(), first);
        _mm_storeu_si128(out.as_mut_ptr().add(16).cast(), second);
        _mm_storeu_si128(out.as_mut_ptr().add(32).cast(), third);
    }
}
