//! AVX-512 with VBMI: sixteen bytes of a channel are picked out of 64 by one `vpermb`, widened, and normalised by the
//! reference's own operations.

use std::arch::x86_64::{
    __m256i, __m512, __m512i, __mmask16, _MM_FROUND_TO_NEAREST_INT, _mm_loadu_si128, _mm_sfence,
    _mm256_mask_storeu_epi16, _mm256_storeu_si256, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512,
    _mm512_castsi512_si128, _mm512_cmpeq_epi32_mask, _mm512_cvtepi32_epi16, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32,
    _mm512_cvtps_ph, _mm512_div_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_epi8, _mm512_mask_storeu_ps, _mm512_maskz_loadu_epi8, _mm512_mul_ps, _mm512_permutexvar_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_srli_epi32, _mm512_store_si512, _mm512_storeu_ps, _mm512_stream_si512,
    _mm512_sub_ps,
};
use std::marker::PhantomData;
use std::sync::OnceLock;

use half::{bf16, f16};

use super::PatchRow;
use crate::resample::Level;
use crate::write::Sink;
use crate::write::normalize::Form;

/// Lanes of a vector.
const LANES: usize = 16;

/// Whether this machine has these kernels, and no lower level is forced.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| matches!(Level::current(), Ok(Level::Avx512)) && is_x86_feature_detected!("avx512vbmi"))
}

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

/// A channel's operands.
#[derive(Clone, Copy)]
struct Operands {
    divisor: Option<Divisor>,
    mean: __m512,
    std: Divisor,
}

impl Operands {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(form: Form, mean: __m512, std: __m512) -> Self {
        // Division by one changes nothing.
        let divisor = if form.divisor == 1.0 { None } else { Some(Divisor::new(_mm512_set1_ps(form.divisor))) };
        Self { divisor, mean, std: Divisor::new(std) }
    }

    /// All three channels.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn channels(form: Form) -> [Self; 3] {
        std::array::from_fn(|c| Self::new(form, _mm512_set1_ps(form.mean[c]), _mm512_set1_ps(form.std[c])))
    }

    /// Lanes that begin with channel `phase` of interleaved pixels, for each phase.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn phases(form: Form) -> [Self; 3] {
        std::array::from_fn(|phase| {
            let lanes = |of: [f32; 3]| -> __m512 {
                let lanes: [f32; LANES] = std::array::from_fn(|lane| of[(lane + phase) % 3]);
                // SAFETY: an array of 16 floats is readable as a vector.
                unsafe { _mm512_loadu_ps(lanes.as_ptr()) }
            };
            Self::new(form, lanes(form.mean), lanes(form.std))
        })
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
    Operands::channels(form).iter().zip(exact).all(|(operands, exact)| {
        exact.chunks_exact(LANES).zip((0..).step_by(LANES)).all(|(exact, from)| {
            let values = operands.normalise(_mm512_add_epi32(first, _mm512_set1_epi32(from)));
            // SAFETY: the chunk holds 16 floats.
            let exact = unsafe { _mm512_loadu_si512(exact.as_ptr().cast()) };
            _mm512_cmpeq_epi32_mask(_mm512_castps_si512(values), exact) == u16::MAX
        })
    })
}

/// For each channel, where its sixteen bytes lie among 64.
#[target_feature(enable = "avx512f")]
fn pick() -> [__m512i; 3] {
    std::array::from_fn(|channel| {
        let indices: [u8; 64] = std::array::from_fn(|lane| ((lane % LANES) * 3 + channel) as u8);
        // SAFETY: an array of 64 bytes is readable as a vector.
        unsafe { _mm512_loadu_si512(indices.as_ptr().cast()) }
    })
}

fn mask(lanes: usize) -> __mmask16 {
    if lanes >= LANES { u16::MAX } else { (1 << lanes) - 1 }
}

/// An element type whose values sixteen lanes can be stored as.
pub(super) trait Lanes: Copy {
    /// Stores the lanes of `mask` as values from `out` on.
    ///
    /// # Safety
    /// The places of the mask must be writable, and the machine must have the features.
    unsafe fn store_masked(out: *mut Self, mask: __mmask16, lanes: __m512);

    /// Stores all lanes, which is several times faster.
    ///
    /// # Safety
    /// As above, of all sixteen places.
    unsafe fn store(out: *mut Self, lanes: __m512);
}

impl Lanes for f32 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn store_masked(out: *mut Self, mask: __mmask16, lanes: __m512) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_mask_storeu_ps(out, mask, lanes) };
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn store(out: *mut Self, lanes: __m512) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_storeu_ps(out, lanes) };
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

macro_rules! half_lanes {
    ($type:ty, $convert:ident) => {
        impl Lanes for $type {
            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
            unsafe fn store_masked(out: *mut Self, mask: __mmask16, lanes: __m512) {
                // SAFETY: as the caller promises.
                unsafe { _mm256_mask_storeu_epi16(out.cast(), mask, $convert(lanes)) };
            }

            #[inline]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
            unsafe fn store(out: *mut Self, lanes: __m512) {
                // SAFETY: as the caller promises.
                unsafe { _mm256_storeu_si256(out.cast(), $convert(lanes)) };
            }
        }
    };
}

half_lanes!(f16, to_f16);
half_lanes!(bf16, to_bf16);

/// A cache line of a patch that is put together before it goes out.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [u8; 64]); // read as vectors

/// A patch in the first-level cache. Its values come in an order that would touch many lines of the output at once; from
/// here they go out from first to last.
struct Patch<T> {
    lines: Vec<Line>,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Lanes> Patch<T> {
    fn new(len: usize) -> Self {
        Self { lines: vec![Line([0; 64]); (len * size_of::<T>()).div_ceil(64)], len, values: PhantomData }
    }

    /// Puts the first `count` values to `at`. Where more follow in the patch, and `spill` allows, the vector's other lanes go
    /// there too, to be overwritten by what belongs there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn put(&mut self, at: usize, count: usize, spill: bool, values: __m512) {
        debug_assert!(at + count.min(LANES) <= self.len);
        // SAFETY: the mask ends with the patch, and so do whole vectors; the lines are aligned for any value.
        unsafe {
            let out = self.lines.as_mut_ptr().cast::<T>().add(at);
            if count >= LANES || (spill && at + LANES <= self.len) {
                T::store(out, values);
            } else {
                T::store_masked(out, mask(count), values);
            }
        }
    }

    /// Copies all values to `out`; past the caches where `stream` is set, which spares reading what is overwritten.
    ///
    /// # Safety
    /// `out` must have room for them.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn flush(&self, out: *mut T, stream: bool) {
        let (from, out, len) = (self.lines.as_ptr().cast::<u8>(), out.cast::<u8>(), self.len * size_of::<T>());
        let copy = |at: usize, count: usize| {
            let mask = (1u64 << count) - 1;
            // SAFETY: `count < 64`, and the mask ends with the patch in both places.
            unsafe {
                let bytes = _mm512_maskz_loadu_epi8(mask, from.add(at).cast());
                _mm512_mask_storeu_epi8(out.add(at).cast(), mask, bytes);
            }
        };
        // What comes before the first whole line of the output.
        let mut at = out.align_offset(64).min(len);
        copy(0, at.min(63));
        while at + 64 <= len {
            // SAFETY: a whole line lies in both places, and `out + at` is aligned.
            unsafe {
                let bytes = _mm512_loadu_si512(from.add(at).cast());
                if stream {
                    _mm512_stream_si512(out.add(at).cast(), bytes);
                } else {
                    _mm512_store_si512(out.add(at).cast(), bytes);
                }
            }
            at += 64;
        }
        copy(at, len - at);
    }
}

/// As [`super::Kernels::merged`].
///
/// # Safety
/// The machine must have the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) unsafe fn merged<T: Lanes>(row: &PatchRow<'_>, temporal: usize, form: Form, sink: &Sink<'_, T>) {
    let plane = row.size * row.size;
    let mut patch = Patch::<T>::new(3 * temporal * plane);
    // The usual sizes have loops of their own.
    let make = match (row.size, temporal) {
        (14, 1) => make_merged::<T, 14, 1>,
        (14, 2) => make_merged::<T, 14, 2>,
        (16, 1) => make_merged::<T, 16, 1>,
        (16, 2) => make_merged::<T, 16, 2>,
        _ => make_merged::<T, 0, 0>,
    };
    let operands = (Operands::channels(form), pick());
    for &(from, to) in row.patches {
        // SAFETY: the caller promises the features; the run has the patch's length.
        unsafe {
            make(row, from, temporal, &operands, &mut patch);
            patch.flush(sink.run(to, 3 * temporal * plane), sink.is_large());
        }
    }
    if sink.is_large() {
        _mm_sfence();
    }
}

/// One merged patch, whose first pixel lies at `from` of each line. `SIZE` and `TEMPORAL` are zero where they are not constant.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
fn make_merged<T: Lanes, const SIZE: usize, const TEMPORAL: usize>(
    row: &PatchRow<'_>,
    from: usize,
    temporal: usize,
    (channels, pick): &([Operands; 3], [__m512i; 3]),
    patch: &mut Patch<T>,
) {
    let size = if SIZE == 0 { row.size } else { SIZE };
    let temporal = if TEMPORAL == 0 { temporal } else { TEMPORAL };
    let plane = size * size;
    for line in 0..size {
        let mut done = 0;
        while done < size {
            // Later lines of the plane are yet to come; the next plane's first is there already.
            let (count, spill) = (size - done, line * size + done + LANES <= plane);
            let bytes = load(&row.lines[line * row.stride + from + done * 3..]);
            for channel in 0..3 {
                let picked = _mm512_castsi512_si128(_mm512_permutexvar_epi8(pick[channel], bytes));
                let values = channels[channel].normalise(_mm512_cvtepu8_epi32(picked));
                for copy in 0..temporal {
                    patch.put((channel * temporal + copy) * plane + line * size + done, count, spill, values);
                }
            }
            done += LANES;
        }
    }
}

/// As [`super::Kernels::flat`].
///
/// # Safety
/// The machine must have the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) unsafe fn flat<T: Lanes>(row: &PatchRow<'_>, form: Form, sink: &Sink<'_, T>) {
    let phases = Operands::phases(form);
    let len = row.size * 3;
    let mut patch = Patch::<T>::new(row.size * len);
    for &(from, to) in row.patches {
        for line in 0..row.size {
            for (chunk, done) in (0..len).step_by(LANES).enumerate() {
                let bytes = &row.lines[line * row.stride + from + done..][..LANES];
                // SAFETY: the slice holds 16 bytes.
                let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
                let values = phases[chunk % 3].normalise(_mm512_cvtepu8_epi32(bytes));
                patch.put(line * len + done, len - done, true, values);
            }
        }
        // SAFETY: the run has the patch's length.
        unsafe { patch.flush(sink.run(to, row.size * len), sink.is_large()) };
    }
    if sink.is_large() {
        _mm_sfence();
    }
}

/// As [`super::Kernels::planar`].
///
/// # Safety
/// The machine must have the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi")]
pub(super) unsafe fn planar<T: Lanes>(row: &[u8], at: [usize; 3], form: Form, sink: &Sink<'_, T>) {
    let (channels, pick) = (Operands::channels(form), pick());
    let width = row.len() / 3;
    let outs = at.map(|at| sink.run(at, width));
    for (chunk, done) in row.chunks(3 * LANES).zip((0..).step_by(LANES)) {
        // SAFETY: the mask ends with the chunk, at most 48 bytes.
        let bytes = unsafe { _mm512_maskz_loadu_epi8((1 << chunk.len()) - 1, chunk.as_ptr().cast()) };
        for channel in 0..3 {
            let picked = _mm512_castsi512_si128(_mm512_permutexvar_epi8(pick[channel], bytes));
            let values = channels[channel].normalise(_mm512_cvtepu8_epi32(picked));
            // SAFETY: the run holds `width` values; the mask ends with them.
            unsafe {
                if chunk.len() == 3 * LANES {
                    T::store(outs[channel].add(done), values);
                } else {
                    T::store_masked(outs[channel].add(done), mask(chunk.len() / 3), values);
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8]) -> __m512i {
    let bytes = &bytes[..64];
    // SAFETY: the slice holds 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
