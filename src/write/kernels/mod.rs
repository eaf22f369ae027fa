//! Inner loops from bytes to values, one file per instruction set. Every one gives the table's bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod floats;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lines;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod runs;
mod scalar;

use super::sink::Sink;
use super::values::{Form, Values};
use crate::simd::Level;

/// Whether a level's vectors give these values, bit for bit, by a form of normalisation.
pub(super) fn reproduces(level: Level, form: Form, exact: &[[f32; 256]; 3]) -> bool {
    let _ = (form, exact);
    match level {
        // SAFETY: the level was found on this machine.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::reproduces(form, exact) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { avx512::reproduces(form, exact) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Level::Neon => unsafe { neon::reproduces(form, exact) },
        _ => false,
    }
}

/// A row of patches, or of merged ones, about to be written: its lines of packed RGB, and where each patch is read and written.
pub(crate) struct PatchRow<'a> {
    /// Lines of `stride` bytes, and [`SLACK`] bytes before and after them.
    pub(super) lines: &'a [u8],
    pub(super) stride: usize,
    /// Patch side.
    pub(super) size: usize,
    /// First byte of each patch in the lines, and index of its first value.
    pub(super) patches: &'a [(usize, usize)],
}

/// Some rows of a row of tiles about to be written.
pub(crate) struct TileRows<'a> {
    /// `count` lines of `stride` bytes, and [`SLACK`] bytes more.
    pub(super) lines: &'a [u8],
    pub(super) stride: usize,
    pub(super) count: usize,
    /// Pixels of a tile's row.
    pub(super) width: usize,
    /// Values of a plane.
    pub(super) plane: usize,
    /// First byte of each tile in a line, and index of its first value in these rows of its first plane.
    pub(super) tiles: &'a [(usize, usize)],
}

/// Bytes around the lines that a vector load may reach into.
pub(super) const SLACK: usize = 64;

impl PatchRow<'_> {
    /// A patch's pixels of one line: `3 * size` bytes.
    fn line(&self, at: usize, line: usize) -> &[u8] {
        &self.lines[SLACK + line * self.stride + at..][..self.size * 3]
    }

    /// Where the line begins that [`Self::line`] gives. There may be less than a line there, but as much slack on both sides.
    fn start(&self, at: usize, line: usize) -> *const u8 {
        self.lines.as_ptr().wrapping_add(SLACK + line * self.stride + at)
    }

    /// Patches of `len` values that follow each other in the output.
    fn runs(&self, len: usize) -> impl Iterator<Item = &[(usize, usize)]> {
        self.patches.chunk_by(move |one, two| two.1 == one.1 + len)
    }

    /// As [`Self::runs`], a few at once.
    fn groups(&self, len: usize, most: usize) -> impl Iterator<Item = &[(usize, usize)]> {
        self.runs(len).flat_map(move |run| run.chunks(most))
    }
}

/// Values of one type written to patches and planes.
pub(crate) trait Kernels: Copy {
    /// `[3, temporal, size, size]` per patch.
    fn merged(row: &PatchRow<'_>, temporal: usize, values: &Values<Self>, sink: &Sink<'_, Self>);

    /// `[size, size, 3]` per patch.
    fn flat(row: &PatchRow<'_>, values: &Values<Self>, sink: &Sink<'_, Self>);

    /// Rows of tiles to their three planes.
    fn planar(rows: &TileRows<'_>, values: &Values<Self>, sink: &Sink<'_, Self>);
}

/// Calls a function of the level's vectors, where the values have such a form and the function takes the size, else the
/// portable one.
macro_rules! dispatch {
    ($values:ident, $name:ident($($argument:expr),*), $sink:ident) => {{
        let done = match $values.vectors {
            // SAFETY: the level was found on this machine.
            #[cfg(target_arch = "x86_64")]
            Some((Level::Avx2, form)) => unsafe { avx2::$name($($argument,)* form, $sink) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Some((Level::Avx512, form)) => unsafe { avx512::$name($($argument,)* form, $sink) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Some((Level::Neon, form)) => unsafe { neon::$name($($argument,)* form, $sink) },
            _ => false,
        };
        if !done {
            scalar::$name($($argument,)* $values, $sink);
        }
    }};
}

macro_rules! kernels {
    ($type:ty) => {
        impl Kernels for $type {
            fn merged(row: &PatchRow<'_>, temporal: usize, values: &Values<Self>, sink: &Sink<'_, Self>) {
                dispatch!(values, merged(row, temporal), sink);
            }

            fn flat(row: &PatchRow<'_>, values: &Values<Self>, sink: &Sink<'_, Self>) {
                dispatch!(values, flat(row), sink);
            }

            fn planar(rows: &TileRows<'_>, values: &Values<Self>, sink: &Sink<'_, Self>) {
                dispatch!(values, planar(rows), sink);
            }
        }
    };
}

kernels!(f32);
kernels!(half::bf16);
kernels!(half::f16);
kernels!(u8);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Backend, Recipe};
    use crate::write::{DType, Element};

    /// The kernels of every level of this machine against the table, on every byte value, the widths of real and odd patches,
    /// and outputs at any address.
    fn check<T: Element + PartialEq>(poison: T) {
        let recipe = Recipe::load("qwen2-vl", &toml::Table::new()).unwrap();
        let is_nan = T::DTYPE != DType::UInt8;
        for (level, backend) in
            Level::available().into_iter().flat_map(|level| [(level, Backend::Pillow), (level, Backend::Torch)])
        {
            let values = [level, Level::Scalar].map(|level| Values::<T>::at_level(level, &recipe.pixels, backend));
            for (size, cols) in [(14, 7), (16, 6), (1, 300), (5, 3), (17, 2), (33, 4)] {
                let stride = size * cols * 3;
                let mut lines = vec![0; SLACK];
                lines.extend((0..stride * size).map(|i| (i * 31 % 256) as u8));
                lines.resize(stride * size + 2 * SLACK, 0);
                let compare = |len: usize, run: &dyn Fn(&PatchRow<'_>, &Values<T>, &Sink<'_, T>)| {
                    for (shift, past, turned) in
                        [(0, false, false), (1, true, true), (7, true, false), (31, false, true), (63, false, false)]
                    {
                        // Runs of all patches, or of one each.
                        let place = |col| if turned { cols - 1 - col } else { col };
                        let patches: Vec<_> = (0..cols).map(|col| (col * size * 3, shift + place(col) * len)).collect();
                        let row = PatchRow { lines: &lines, stride, size, patches: &patches };
                        let [fast, table] = values.each_ref().map(|values| {
                            let mut out = vec![poison; shift + len * cols + 1];
                            run(&row, values, &Sink::from_slice(&mut out).past_caches(past));
                            out
                        });
                        let inside = shift..shift + len * cols;
                        assert!(fast[inside.clone()] == table[inside], "{level:?} {:?}, patches of {size}", T::DTYPE);
                        // Around it the poison stays, which equals itself only where it is a number.
                        let mut outside = fast[..shift].iter().chain(&fast[shift + len * cols..]);
                        assert!(outside.all(|value| (*value == poison) != is_nan), "{level:?} {:?}", T::DTYPE);
                    }
                };
                for temporal in [1, 2, 3] {
                    compare(3 * temporal * size * size, &|row, values, sink| T::merged(row, temporal, values, sink));
                }
                compare(3 * size * size, &|row, values, sink| T::flat(row, values, sink));
                compare(3 * size * size, &|row, values, sink| {
                    let PatchRow { lines, stride, size, patches } = *row;
                    let plane = size * size;
                    T::planar(
                        &TileRows { lines: &lines[SLACK..], stride, count: size, width: size, plane, tiles: patches },
                        values,
                        sink,
                    );
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
