//! AVX-512 with VBMI: sixteen bytes of a channel are picked out of 64 by one `vpermb`, widened, and normalised by the
//! reference's own operations.

use std::arch::x86_64::{
    __m512, __m512i, __mmask16, _mm_loadu_si128, _mm_sfence, _mm512_castsi512_si128, _mm512_cvtepi32_ps,
    _mm512_cvtepu8_epi32, _mm512_div_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_epi8, _mm512_maskz_loadu_ps, _mm512_permutexvar_epi8, _mm512_set1_ps, _mm512_store_ps,
    _mm512_stream_ps, _mm512_sub_ps,
};
use std::sync::OnceLock;

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

/// A cache line, for a patch that is put together before it goes out.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [f32; LANES]); // read as a vector

/// A patch in the first-level cache. Its values come in an order that would touch many lines of the output at once; from
/// here they go out from first to last.
struct Patch(Vec<Line>);

impl Patch {
    fn new(len: usize) -> Self {
        // The last vector of a run may reach beyond it.
        Self(vec![Line([0.0; LANES]); len.div_ceil(LANES) + 1])
    }

    #[target_feature(enable = "avx512f")]
    fn put(&mut self, at: usize, mask: __mmask16, values: __m512) {
        debug_assert!(at + LANES <= self.0.len() * LANES);
        // SAFETY: callers stay within the patch's length, beyond which there is a line to spare.
        unsafe { _mm512_mask_storeu_ps(self.0.as_mut_ptr().cast::<f32>().add(at), mask, values) };
    }

    /// Copies `len` values to `out`; past the caches where `stream` is set, which spares reading what is overwritten.
    #[target_feature(enable = "avx512f")]
    fn flush(&self, out: *mut f32, len: usize, stream: bool) {
        let from = self.0.as_ptr().cast::<f32>();
        let copy = |at: usize, count: usize| {
            // SAFETY: `at + count <= len`, and both places hold `len` values.
            unsafe {
                let values = _mm512_maskz_loadu_ps(mask(count), from.add(at));
                _mm512_mask_storeu_ps(out.add(at), mask(count), values);
            }
        };
        // Values before the first whole line of the output.
        let head = (out.align_offset(64)).min(len);
        copy(0, head);
        let mut at = head;
        while at + LANES <= len {
            // SAFETY: as above, and `out + at` begins a line.
            unsafe {
                let values = _mm512_loadu_ps(from.add(at));
                if stream {
                    _mm512_stream_ps(out.add(at), values);
                } else {
                    _mm512_store_ps(out.add(at), values);
                }
            }
            at += LANES;
        }
        copy(at, len - at);
    }
}

/// As [`super::Kernels::merged`].
///
/// # Safety
/// The machine must have the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn merged(row: &PatchRow<'_>, temporal: usize, form: Form, sink: &Sink<'_, f32>) {
    let (channels, pick) = (Operands::channels(form), pick());
    let plane = row.size * row.size;
    let mut patch = Patch::new(3 * temporal * plane);
    for &(from, to) in row.patches {
        let out = sink.run(to, 3 * temporal * plane);
        for line in 0..row.size {
            let mut done = 0;
            while done < row.size {
                let mask = mask(row.size - done);
                let at = line * row.stride + from + done * 3;
                let bytes = load(&row.lines[at..]);
                for channel in 0..3 {
                    let picked = _mm512_castsi512_si128(_mm512_permutexvar_epi8(pick[channel], bytes));
                    let values = channels[channel].normalise(_mm512_cvtepu8_epi32(picked));
                    for copy in 0..temporal {
                        let index = (channel * temporal + copy) * plane + line * row.size + done;
                        patch.put(index, mask, values);
                    }
                }
                done += LANES;
            }
        }
        patch.flush(out, 3 * temporal * plane, sink.is_large());
    }
    if sink.is_large() {
        _mm_sfence();
    }
}

/// As [`super::Kernels::flat`].
///
/// # Safety
/// The machine must have the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn flat(row: &PatchRow<'_>, form: Form, sink: &Sink<'_, f32>) {
    let phases = Operands::phases(form);
    let len = row.size * 3;
    let mut patch = Patch::new(row.size * len);
    for &(from, to) in row.patches {
        let out = sink.run(to, row.size * len);
        for line in 0..row.size {
            for (chunk, done) in (0..len).step_by(LANES).enumerate() {
                let bytes = &row.lines[line * row.stride + from + done..][..LANES];
                // SAFETY: the slice holds 16 bytes.
                let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
                let values = phases[chunk % 3].normalise(_mm512_cvtepu8_epi32(bytes));
                patch.put(line * len + done, mask(len - done), values);
            }
        }
        patch.flush(out, row.size * len, sink.is_large());
    }
    if sink.is_large() {
        _mm_sfence();
    }
}

/// As [`super::Kernels::planar`].
///
/// # Safety
/// The machine must have the features.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
pub(super) unsafe fn planar(row: &[u8], at: [usize; 3], form: Form, sink: &Sink<'_, f32>) {
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
            unsafe { _mm512_mask_storeu_ps(outs[channel].add(done), mask(chunk.len() / 3), values) };
        }
    }
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8]) -> __m512i {
    let bytes = &bytes[..64];
    // SAFETY: the slice holds 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
