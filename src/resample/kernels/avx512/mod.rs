//! AVX-512 with VNNI and VBMI: `vpdpbusd` adds the products of four bytes and four signed weight bytes to a 32-bit lane, and
//! `vpermb` brings the four bytes there.
//!
//! A weight is split into three signed bytes, `w = b2 * 2^16 + b1 * 2^8 + b0` (two where 16 bits are enough), with an
//! accumulator for each; they are put together modulo 2^32, in which the sum itself fits.

mod horizontal;
mod vertical;

use std::arch::x86_64::{__m512i, _mm512_add_epi32, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_slli_epi32};

pub(super) use horizontal::Horizontal;
pub(super) use vertical::Vertical;

/// A weight's three bytes, low to high.
fn split(weight: i32) -> [i8; 3] {
    let low = weight as i8;
    let rest = (weight - i32::from(low)) >> 8;
    let middle = rest as i8;
    [low, middle, ((rest - i32::from(middle)) >> 8) as i8]
}

/// The bytes of up to four weights, each plane as one 32-bit lane.
fn planes(weights: &[i32], first: usize) -> [i32; 3] {
    let mut lanes = [[0u8; 4]; 3];
    for (index, &weight) in weights.iter().enumerate() {
        for (plane, byte) in lanes.iter_mut().zip(split(weight)) {
            plane[first + index] = byte as u8;
        }
    }
    lanes.map(i32::from_le_bytes)
}

/// Bytes of a quad of rows: 64 columns more than begun.
pub(super) const fn quad_stride(len: usize) -> usize {
    len.next_multiple_of(64) * 4
}

/// Four vectors of numbers as bytes that saturate; each 128-bit lane holds four numbers of every vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn to_bytes(values: [__m512i; 4]) -> __m512i {
    // A value lies within 16 bits: weights sum to one, and no filter overshoots by a multiple.
    _mm512_packus_epi16(_mm512_packs_epi32(values[0], values[1]), _mm512_packs_epi32(values[2], values[3]))
}

/// Planes put together modulo 2^32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn join<const PLANES: usize>(sums: [__m512i; PLANES]) -> __m512i {
    let low = _mm512_add_epi32(sums[0], _mm512_slli_epi32::<8>(sums[1]));
    if PLANES == 3 { _mm512_add_epi32(low, _mm512_slli_epi32::<16>(sums[2])) } else { low }
}
