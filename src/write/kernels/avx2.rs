//! AVX2 with FMA and F16C: half lines, channels parted by `vpshufb`, values by the reference's own operations.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_ET0, _mm_loadl_epi64, _mm_loadu_si128, _mm_or_si128,
    _mm_prefetch, _mm_setr_epi8, _mm_sfence, _mm_shuffle_epi8, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_blendv_epi8, _mm256_castps_si256, _mm256_castsi256_si128, _mm256_cmpeq_epi32, _mm256_cvtepi32_ps,
    _mm256_cvtepu8_epi32, _mm256_cvtps_ph, _mm256_div_ps, _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_fnmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_mul_ps, _mm256_set_m128i, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_srli_epi32, _mm256_store_si256, _mm256_storeu_si256, _mm256_stream_si256, _mm256_sub_ps,
};

use half::{bf16, f16};

use super::runs::{self, Lines, Values};
use super::{PatchRow, Sink, TileRows};
use crate::write::normalize::Form;

/// Lanes of a vector of f32.
const LANES: usize = 8;

/// The instruction set.
#[derive(Clone, Copy)]
pub(super) struct Avx2;

/// A divisor and its reciprocal, as in `avx512`.
#[derive(Clone, Copy)]
struct Divisor {
    value: __m256,
    reciprocal: __m256,
}

impl Divisor {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(value: __m256) -> Self {
        Self { value, reciprocal: _mm256_div_ps(_mm256_set1_ps(1.0), value) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn divide(&self, values: __m256) -> __m256 {
        let quotient = _mm256_mul_ps(values, self.reciprocal);
        let rest = _mm256_fnmadd_ps(quotient, self.value, values);
        _mm256_fmadd_ps(rest, self.reciprocal, quotient)
    }
}

/// What eight lanes are normalised by.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    divisor: Option<Divisor>,
    mean: __m256,
    std: Divisor,
}

impl Operands {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn new(form: Form, channel: impl Fn(usize) -> usize) -> Self {
        let lanes = |of: [f32; 3]| -> __m256 {
            let lanes: [f32; LANES] = std::array::from_fn(|lane| of[channel(lane)]);
            // SAFETY: an array of 8 floats is readable as a vector.
            unsafe { _mm256_loadu_ps(lanes.as_ptr()) }
        };
        // Division by one changes nothing.
        let divisor = if form.divisor == 1.0 { None } else { Some(Divisor::new(_mm256_set1_ps(form.divisor))) };
        Self { divisor, mean: lanes(form.mean), std: Divisor::new(lanes(form.std)) }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn normalise(&self, integers: __m256i) -> __m256 {
        let mut values = _mm256_cvtepi32_ps(integers);
        if let Some(divisor) = self.divisor {
            values = divisor.divide(values);
        }
        self.std.divide(_mm256_sub_ps(values, self.mean))
    }

    /// The values of eight bytes.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn values(&self, bytes: *const u8) -> __m256 {
        // SAFETY: as the caller promises.
        self.normalise(_mm256_cvtepu8_epi32(unsafe { _mm_loadl_epi64(bytes.cast()) }))
    }
}

/// As [`super::reproduces`].
///
/// # Safety
/// The machine must have the features.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn reproduces(form: Form, exact: &[[f32; 256]; 3]) -> bool {
    let first: [i32; LANES] = std::array::from_fn(|lane| lane as i32);
    // SAFETY: an array of 8 integers is readable as a vector.
    let first = unsafe { _mm256_loadu_si256(first.as_ptr().cast()) };
    exact.iter().enumerate().all(|(channel, exact)| {
        let operands = Operands::new(form, |_| channel);
        exact.chunks_exact(LANES).zip((0..).step_by(LANES)).all(|(exact, from)| {
            let values = operands.normalise(_mm256_add_epi32(first, _mm256_set1_epi32(from)));
            // SAFETY: the chunk holds 8 floats.
            let exact = unsafe { _mm256_loadu_si256(exact.as_ptr().cast()) };
            _mm256_movemask_epi8(_mm256_cmpeq_epi32(_mm256_castps_si256(values), exact)) == -1
        })
    })
}

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

impl Lines for Avx2 {
    type Line = __m256i;
    const BYTES: usize = 32;

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
        let mut mask = [0u8; 32];
        mask[..count].fill(u8::MAX);
        // SAFETY: the array holds 32 bytes.
        _mm256_blendv_epi8(two, one, unsafe { _mm256_loadu_si256(mask.as_ptr().cast()) })
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

impl Values<f32> for Avx2 {
    type Operands = Operands;

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn operands(form: Form, channel: impl Fn(usize) -> usize) -> Operands {
        Operands::new(form, channel)
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn line(bytes: *const u8, operands: &Operands) -> __m256i {
        // SAFETY: as the caller promises.
        _mm256_castps_si256(unsafe { operands.values(bytes) })
    }
}

/// Nearest halves, ties to even.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn to_f16(lanes: __m256) -> __m128i {
    _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(lanes)
}

/// The upper halves of finite floats, rounded to nearest, ties to even.
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

macro_rules! half_values {
    ($type:ty, $convert:ident) => {
        impl Values<$type> for Avx2 {
            type Operands = [Operands; 2];

            #[inline]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn operands(form: Form, channel: impl Fn(usize) -> usize) -> [Operands; 2] {
                [Operands::new(form, &channel), Operands::new(form, |lane| channel(LANES + lane))]
            }

            #[inline]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn line(bytes: *const u8, [low, high]: &[Operands; 2]) -> __m256i {
                // SAFETY: as the caller promises.
                let (low, high) = unsafe { (low.values(bytes), high.values(bytes.add(LANES))) };
                _mm256_set_m128i($convert(high), $convert(low))
            }
        }
    };
}

half_values!(f16, to_f16);
half_values!(bf16, to_bf16);

impl Values<u8> for Avx2 {
    type Operands = ();

    #[inline]
    unsafe fn operands(_: Form, _: impl Fn(usize) -> usize) {}

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn line(bytes: *const u8, (): &()) -> __m256i {
        // SAFETY: as the caller promises.
        unsafe { _mm256_loadu_si256(bytes.cast()) }
    }
}

runs::entries!(Avx2, "avx2,fma,f16c");
