//! AVX-512 with VBMI: whole lines, channels parted by one `vpermb`, values by the reference's own operations.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_ET0, _mm_loadu_si128, _mm_prefetch, _mm_sfence,
    _mm_storeu_si128, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi256_si512,
    _mm512_castsi512_si128, _mm512_cmpeq_epi32_mask, _mm512_cvtepi32_epi16, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32,
    _mm512_cvtps_ph, _mm512_div_ps, _mm512_extracti32x4_epi32, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_inserti64x4,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_blend_epi8, _mm512_mask_storeu_epi8, _mm512_mul_ps,
    _mm512_permutexvar_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_srli_epi32, _mm512_store_si512,
    _mm512_stream_si512, _mm512_sub_ps,
};

use half::{bf16, f16};

use super::runs::{self, Lines, Values};
use super::{PatchRow, Sink, TileRows};
use crate::write::normalize::Form;

/// Lanes of a vector of f32.
const LANES: usize = 16;

/// The instruction set.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// A divisor and its reciprocal.
#[derive(Clone, Copy)]
struct Divisor {
    value: __m512,
    reciprocal: __m512,
}

impl Divisor {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(value: __m512) -> Self {
        Self { value, reciprocal: _mm512_div_ps(_mm512_set1_ps(1.0), value) }
    }

    /// Division by a product and one correction of it (Markstein), a quarter of the cost of dividing. It is the rounded
    /// quotient for nearly all operands; [`reproduces`] tells whether for all that occur.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn divide(&self, values: __m512) -> __m512 {
        let quotient = _mm512_mul_ps(values, self.reciprocal);
        let rest = _mm512_fnmadd_ps(quotient, self.value, values);
        _mm512_fmadd_ps(rest, self.reciprocal, quotient)
    }
}

/// What sixteen lanes are normalised by.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    divisor: Option<Divisor>,
    mean: __m512,
    std: Divisor,
}

impl Operands {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(form: Form, channel: impl Fn(usize) -> usize) -> Self {
        let lanes = |of: [f32; 3]| -> __m512 {
            let lanes: [f32; LANES] = std::array::from_fn(|lane| of[channel(lane)]);
            // SAFETY: an array of 16 floats is readable as a vector.
            unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
        };
        // Division by one changes nothing.
        let divisor = if form.divisor == 1.0 { None } else { Some(Divisor::new(_mm512_set1_ps(form.divisor))) };
        Self { divisor, mean: lanes(form.mean), std: Divisor::new(lanes(form.std)) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn normalise(&self, integers: __m512i) -> __m512 {
        let mut values = _mm512_cvtepi32_ps(integers);
        if let Some(divisor) = self.divisor {
            values = divisor.divide(values);
        }
        self.std.divide(_mm512_sub_ps(values, self.mean))
    }

    /// The values of sixteen bytes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn values(&self, bytes: *const u8) -> __m512 {
        // SAFETY: as the caller promises.
        self.normalise(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(bytes.cast()) }))
    }
}

/// As [`super::reproduces`].
///
/// # Safety
/// The machine must have the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) unsafe fn reproduces(form: Form, exact: &[[f32; 256]; 3]) -> bool {
    let first: [i32; LANES] = std::array::from_fn(|lane| lane as i32);
    // SAFETY: an array of 16 integers is readable as a vector.
    let first = unsafe { _mm512_loadu_si512(first.as_ptr().cast()) };
    exact.iter().enumerate().all(|(channel, exact)| {
        let operands = Operands::new(form, |_| channel);
        exact.chunks_exact(LANES).zip((0..).step_by(LANES)).all(|(exact, from)| {
            let values = operands.normalise(_mm512_add_epi32(first, _mm512_set1_epi32(from)));
            // SAFETY: the chunk holds 16 floats.
            let exact = unsafe { _mm512_loadu_si512(exact.as_ptr().cast()) };
            _mm512_cmpeq_epi32_mask(_mm512_castps_si512(values), exact) == u16::MAX
        })
    })
}

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

impl Values<f32> for Avx512 {
    type Operands = Operands;

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn operands(form: Form, channel: impl Fn(usize) -> usize) -> Operands {
        Operands::new(form, channel)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn line(bytes: *const u8, operands: &Operands) -> __m512i {
        // SAFETY: as the caller promises.
        _mm512_castps_si512(unsafe { operands.values(bytes) })
    }
}

/// Nearest halves, ties to even.
#[inline]
#[target_feature(enable = "avx512f")]
fn to_f16(lanes: __m512) -> __m256i {
    _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(lanes)
}

/// The upper halves of finite floats, rounded to nearest, ties to even.
#[inline]
#[target_feature(enable = "avx512f")]
fn to_bf16(lanes: __m512) -> __m256i {
    let bits = _mm512_castps_si512(lanes);
    let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
    let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded))
}

macro_rules! half_values {
    ($type:ty, $convert:ident) => {
        impl Values<$type> for Avx512 {
            type Operands = [Operands; 2];

            #[inline]
            #[target_feature(enable = "avx512f")]
            unsafe fn operands(form: Form, channel: impl Fn(usize) -> usize) -> [Operands; 2] {
                [Operands::new(form, &channel), Operands::new(form, |lane| channel(LANES + lane))]
            }

            #[inline]
            #[target_feature(enable = "avx512f")]
            unsafe fn line(bytes: *const u8, [low, high]: &[Operands; 2]) -> __m512i {
                // SAFETY: as the caller promises.
                let (low, high) = unsafe { (low.values(bytes), high.values(bytes.add(LANES))) };
                _mm512_inserti64x4::<1>(_mm512_castsi256_si512($convert(low)), $convert(high))
            }
        }
    };
}

half_values!(f16, to_f16);
half_values!(bf16, to_bf16);

impl Values<u8> for Avx512 {
    type Operands = ();

    #[inline]
    unsafe fn operands(_: Form, _: impl Fn(usize) -> usize) {}

    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn line(bytes: *const u8, (): &()) -> __m512i {
        // SAFETY: as the caller promises.
        unsafe { _mm512_loadu_si512(bytes.cast()) }
    }
}

runs::entries!(Avx512, "avx512f,avx512bw,avx512vl,avx512vbmi");
