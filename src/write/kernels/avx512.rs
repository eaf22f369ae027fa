//! AVX-512 with VBMI: sixteen bytes of a channel are picked out of 64 by one `vpermb`, widened, and normalised by the
//! reference's own operations.

use std::arch::x86_64::{
    __m512, __m512i, __mmask16, _MM_FROUND_TO_NEAREST_INT, _mm_loadu_si128, _mm_sfence, _mm256_mask_storeu_epi16,
    _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi512_si128, _mm512_cvtepi32_epi16,
    _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtps_ph, _mm512_div_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_epi8, _mm512_mask_storeu_ps, _mm512_maskz_loadu_epi8, _mm512_permutexvar_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_srli_epi32, _mm512_store_si512, _mm512_stream_si512, _mm512_sub_ps,
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

/// The form, where this machine has these kernels and no lower level is forced.
pub(super) fn usable(form: Option<Form>) -> Option<Form> {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    let available = *AVAILABLE
        .get_or_init(|| matches!(Level::current(), Ok(Level::Avx512)) && is_x86_feature_detected!("avx512vbmi"));
    if available { form } else { None }
}

/// A channel's operands.
#[derive(Clone, Copy)]
struct Operands {
    divisor: Option<__m512>,
    mean: __m512,
    std: __m512,
}

impl Operands {
    #[target_feature(enable = "avx512f")]
    fn new(form: Form, mean: __m512, std: __m512) -> Self {
        // Division by one changes nothing.
        let divisor = if form.divisor == 1.0 { None } else { Some(_mm512_set1_ps(form.divisor)) };
        Self { divisor, mean, std }
    }

    /// All three channels.
    #[target_feature(enable = "avx512f")]
    fn channels(form: Form) -> [Self; 3] {
        std::array::from_fn(|c| Self::new(form, _mm512_set1_ps(form.mean[c]), _mm512_set1_ps(form.std[c])))
    }

    /// Lanes that begin with channel `phase` of interleaved pixels, for each phase.
    #[target_feature(enable = "avx512f")]
    fn phases(form: Form) -> [Self; 3] {
        std::array::from_fn(|phase| {
            let lanes = |of: [f32; 3]| -> __m512 {
                let lanes: [f32; LANES] = std::array::from_fn(|lane| of[(lane + phase) % 3]);
                // SAFETY: an array of 16 floats is a vector's bits.
                unsafe { std::mem::transmute(lanes) }
            };
            Self::new(form, lanes(form.mean), lanes(form.std))
        })
    }

    #[target_feature(enable = "avx512f")]
    fn normalise(&self, integers: __m512i) -> __m512 {
        let mut values = _mm512_cvtepi32_ps(integers);
        if let Some(divisor) = self.divisor {
            values = _mm512_div_ps(values, divisor);
        }
        _mm512_div_ps(_mm512_sub_ps(values, self.mean), self.std)
    }
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
    unsafe fn store(out: *mut Self, mask: __mmask16, lanes: __m512);
}

impl Lanes for f32 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn store(out: *mut Self, mask: __mmask16, lanes: __m512) {
        // SAFETY: as the caller promises.
        unsafe { _mm512_mask_storeu_ps(out, mask, lanes) };
    }
}

impl Lanes for f16 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn store(out: *mut Self, mask: __mmask16, lanes: __m512) {
        let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(lanes);
        // SAFETY: as the caller promises.
        unsafe { _mm256_mask_storeu_epi16(out.cast(), mask, halves) };
    }
}

impl Lanes for bf16 {
    /// The upper half of the float, rounded to nearest, ties to even. Values are finite.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn store(out: *mut Self, mask: __mmask16, lanes: __m512) {
        let bits = _mm512_castps_si512(lanes);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        let halves = _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded));
        // SAFETY: as the caller promises.
        unsafe { _mm256_mask_storeu_epi16(out.cast(), mask, halves) };
    }
}

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

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn put(&mut self, at: usize, mask: __mmask16, values: __m512) {
        debug_assert!(at + mask.count_ones() as usize <= self.len);
        // SAFETY: callers' masks end with a run of the patch; the lines are aligned for any value.
        unsafe { T::store(self.lines.as_mut_ptr().cast::<T>().add(at), mask, values) };
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
    let (channels, pick) = (Operands::channels(form), pick());
    let plane = row.size * row.size;
    let mut patch = Patch::<T>::new(3 * temporal * plane);
    for &(from, to) in row.patches {
        for line in 0..row.size {
            for done in (0..row.size).step_by(LANES) {
                let mask = mask(row.size - done);
                let bytes = load(&row.lines[line * row.stride + from + done * 3..]);
                for channel in 0..3 {
                    let picked = _mm512_castsi512_si128(_mm512_permutexvar_epi8(pick[channel], bytes));
                    let values = channels[channel].normalise(_mm512_cvtepu8_epi32(picked));
                    for copy in 0..temporal {
                        patch.put((channel * temporal + copy) * plane + line * row.size + done, mask, values);
                    }
                }
            }
        }
        // SAFETY: the run has the patch's length.
        unsafe { patch.flush(sink.run(to, 3 * temporal * plane), sink.is_large()) };
    }
    if sink.is_large() {
        _mm_sfence();
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
                patch.put(line * len + done, mask(len - done), values);
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
            unsafe { T::store(outs[channel].add(done), mask(chunk.len() / 3), values) };
        }
    }
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8]) -> __m512i {
    let bytes = &bytes[..64];
    // SAFETY: the slice holds 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
