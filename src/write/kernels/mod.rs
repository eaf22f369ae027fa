//! Inner loops from bytes to values, one file per instruction set. Every one gives the table's bits.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod scalar;

use super::normalize::Form;
use super::{Sink, Values};

/// Whether this machine has vector kernels, and no lower level is forced.
pub(super) fn has_vectors() -> bool {
    #[cfg(target_arch = "x86_64")]
    return avx512::is_available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether this machine's vectors give these values, bit for bit, by a form of normalisation.
pub(super) fn reproduces(form: Form, exact: &[[f32; 256]; 3]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if has_vectors() {
        // SAFETY: the features were found on this machine.
        return unsafe { avx512::reproduces(form, exact) };
    }
    let _ = (form, exact);
    false
}

/// A row of patches about to be written: its lines of packed RGB, and where each patch is read and written.
pub struct PatchRow<'a> {
    /// `size` lines of `stride` bytes, and [`SLACK`] bytes more.
    pub(super) lines: &'a [u8],
    pub(super) stride: usize,
    /// Patch side.
    pub(super) size: usize,
    /// First byte of each patch in a line, and index of its first value.
    pub(super) patches: &'a [(usize, usize)],
}

/// Bytes after the lines that a vector load may reach into.
pub(super) const SLACK: usize = 64;

impl PatchRow<'_> {
    /// A patch's pixels of one line: `3 * size` bytes.
    fn line(&self, at: usize, line: usize) -> &[u8] {
        &self.lines[line * self.stride + at..][..self.size * 3]
    }

    /// Copies patches whose lines are `N` bytes.
    fn copy_patches<const N: usize>(&self, sink: &Sink<'_, u8>) {
        for &(from, to) in self.patches {
            let out = sink.run(to, self.size * N).cast::<[u8; N]>();
            for line in 0..self.size {
                let bytes = &self.lines[line * self.stride + from..];
                if let Some(bytes) = bytes.first_chunk::<N>() {
                    // SAFETY: the run holds `size` lines of N bytes.
                    unsafe { out.add(line).write(*bytes) };
                }
            }
        }
    }
}

/// Values of one type written to patches and planes.
pub trait Kernels: Copy {
    /// `[3, temporal, size, size]` per patch.
    fn merged(row: &PatchRow<'_>, temporal: usize, values: &Values<Self>, sink: &Sink<'_, Self>) {
        scalar::merged(row, temporal, values, sink);
    }

    /// `[size, size, 3]` per patch.
    fn flat(row: &PatchRow<'_>, values: &Values<Self>, sink: &Sink<'_, Self>) {
        scalar::flat(row, values, sink);
    }

    /// Packed RGB `row` to three runs that begin at `at`.
    fn planar(row: &[u8], at: [usize; 3], values: &Values<Self>, sink: &Sink<'_, Self>) {
        scalar::planar(row, at, values, sink);
    }
}

/// The kernels of a float type: vectors where the machine and the values allow, else the table.
macro_rules! float_kernels {
    ($type:ty) => {
        impl Kernels for $type {
            fn merged(row: &PatchRow<'_>, temporal: usize, values: &Values<Self>, sink: &Sink<'_, Self>) {
                #[cfg(target_arch = "x86_64")]
                if let Some(form) = values.form {
                    // SAFETY: there is a form only where the features were found.
                    return unsafe { avx512::merged(row, temporal, form, sink) };
                }
                scalar::merged(row, temporal, values, sink);
            }

            fn flat(row: &PatchRow<'_>, values: &Values<Self>, sink: &Sink<'_, Self>) {
                #[cfg(target_arch = "x86_64")]
                if let Some(form) = values.form {
                    // SAFETY: there is a form only where the features were found.
                    return unsafe { avx512::flat(row, form, sink) };
                }
                scalar::flat(row, values, sink);
            }

            fn planar(row: &[u8], at: [usize; 3], values: &Values<Self>, sink: &Sink<'_, Self>) {
                #[cfg(target_arch = "x86_64")]
                if let Some(form) = values.form {
                    // SAFETY: there is a form only where the features were found.
                    return unsafe { avx512::planar(row, at, form, sink) };
                }
                scalar::planar(row, at, values, sink);
            }
        }
    };
}

float_kernels!(f32);
float_kernels!(half::bf16);
float_kernels!(half::f16);

impl Kernels for u8 {
    fn flat(row: &PatchRow<'_>, _: &Values<Self>, sink: &Sink<'_, Self>) {
        match row.size {
            14 => row.copy_patches::<{ 3 * 14 }>(sink),
            16 => row.copy_patches::<{ 3 * 16 }>(sink),
            _ => {
                for &(from, to) in row.patches {
                    for line in 0..row.size {
                        sink.copy(to + line * row.size * 3, row.line(from, line));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Backend, Recipe};

    /// The kernels of this machine against the table, on every byte value and the widths of real and odd patches.
    fn check<T: Kernels + crate::write::Element + PartialEq + std::fmt::Debug>(poison: T) {
        let recipe = Recipe::load("qwen2-vl", &toml::Table::new()).unwrap();
        for backend in [Backend::Pillow, Backend::Torch] {
            let values = Values::<T>::new(&recipe.pixels, backend);
            for (size, cols) in [(14, 7), (16, 6), (1, 300), (5, 3), (17, 2), (33, 4)] {
                let stride = size * cols * 3;
                let mut lines: Vec<u8> = (0..stride * size).map(|i| (i * 31 % 256) as u8).collect();
                lines.resize(stride * size + SLACK, 0);
                let compare = |len: usize, run: &dyn Fn(&PatchRow<'_>, &Sink<'_, T>, bool)| {
                    let patches: Vec<_> = (0..cols).map(|col| (col * size * 3, (cols - 1 - col) * len)).collect();
                    let row = PatchRow { lines: &lines, stride, size, patches: &patches };
                    let [fast, table] = [true, false].map(|fast| {
                        let mut out = vec![poison; len * cols];
                        run(&row, &Sink::from_slice(&mut out), fast);
                        out
                    });
                    assert!(fast == table, "{:?} {backend:?}, patches of {size}", T::DTYPE);
                };
                for temporal in [1, 2] {
                    compare(3 * temporal * size * size, &|row, sink, fast| {
                        let merged = if fast { T::merged } else { scalar::merged };
                        merged(row, temporal, &values, sink);
                    });
                }
                compare(3 * size * size, &|row, sink, fast| {
                    let flat = if fast { T::flat } else { scalar::flat };
                    flat(row, &values, sink);
                });
                compare(3 * size * size, &|row, sink, fast| {
                    let planar = if fast { T::planar } else { scalar::planar };
                    let width = size * cols;
                    for line in 0..size {
                        let at = [0, 1, 2].map(|channel| (channel * size + line) * width);
                        planar(&row.lines[line * stride..][..stride], at, &values, sink);
                    }
                });
            }
        }
    }

    #[test]
    fn vector_kernels_give_the_tables_bits() {
        // NaN equals nothing, so a place that is not written fails.
        check(f32::NAN);
        check(half::f16::NAN);
        check(half::bf16::NAN);
        check(77u8);
    }
}
