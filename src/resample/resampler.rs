//! A resample of one image, made row by row for any range of output rows: a band needs no other band.

use std::ops::Range;
use std::sync::Arc;

use super::kernels::{BLOCK, Horizontal, KernelScratch, Level, Rows, Vertical};
use super::passes::{self, AxisKey};
use super::{Arithmetic, nearest};
use crate::error::Result;
use crate::geometry::Size;
use crate::recipe::{Backend, Filter};
use crate::source::PixelView;

/// The part of the resized image that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Columns.
    pub columns: Range<u32>,
    /// Rows.
    pub rows: Range<u32>,
}

/// Buffers that a worker keeps from band to band.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Source rows that had to be converted.
    source: Vec<u8>,
    /// The ring.
    ring: Vec<u8>,
    /// A block of rows between the passes, where columns go first.
    block: Vec<u8>,
    /// Rows on their way out.
    output: Vec<u8>,
    kernel: KernelScratch,
}

/// A resample, set up.
pub struct Resampler<'a> {
    source: PixelView<'a>,
    window: Window,
    passes: Passes,
}

enum Passes {
    /// Sizes agree: rows are copied.
    Copy,
    /// Columns and rows to pick.
    Nearest {
        columns: Vec<u32>,
        rows: Vec<u32>,
    },
    Horizontal(Arc<Horizontal>),
    Vertical(Arc<Vertical>),
    HorizontalVertical(Arc<Horizontal>, Arc<Vertical>),
    VerticalHorizontal(Arc<Horizontal>, Arc<Vertical>),
}

impl<'a> Resampler<'a> {
    /// Sets up the resample of a whole image to `to`, of which `window` is wanted.
    pub fn new(
        source: PixelView<'a>,
        to: Size,
        window: Window,
        filter: Filter,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        Self::at_level(Level::current()?, source, to, window, filter, arithmetic)
    }

    /// As [`Self::new`], with the kernels of a level of this machine.
    pub fn at_level(
        level: Level,
        source: PixelView<'a>,
        to: Size,
        window: Window,
        filter: Filter,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        let level = if level.is_available() { level } else { Level::Scalar };
        let from = source.size();
        let backend = arithmetic.backend;
        let passes = if from == to {
            Passes::Copy
        } else if filter == Filter::Nearest {
            let (columns, rows) = nearest::indices(backend, from, to, &window);
            Passes::Nearest { columns, rows }
        } else {
            let (columns, rows) = (&window.columns, &window.rows);
            let horizontal =
                || passes::horizontal(&AxisKey::new(level, filter, backend, from.width, to.width, columns));
            let vertical = || passes::vertical(&AxisKey::new(level, filter, backend, from.height, to.height, rows));
            let vertical_first = backend == Backend::Pillow && arithmetic.pass_order.vertical_first(from, to);
            match (from.width != to.width, from.height != to.height) {
                (true, false) => Passes::Horizontal(horizontal()?),
                (false, _) => Passes::Vertical(vertical()?),
                (true, true) if vertical_first => Passes::VerticalHorizontal(horizontal()?, vertical()?),
                (true, true) => Passes::HorizontalVertical(horizontal()?, vertical()?),
            }
        };
        Ok(Self { source, window, passes })
    }

    /// Makes the rows `band` (absolute rows within the window) in order and hands each to `emit`: packed RGB of the window's columns.
    pub fn rows(&self, band: Range<u32>, scratch: &mut Scratch, mut emit: impl FnMut(u32, &[u8])) {
        debug_assert!(band.start >= self.window.rows.start && band.end <= self.window.rows.end);
        if band.is_empty() {
            return;
        }
        let columns = self.window.columns.start as usize * 3..self.window.columns.end as usize * 3;
        let width = self.source.size().width as usize * 3;
        let first_row = self.window.rows.start;
        let index = |y: u32| (y - first_row) as usize;
        let Scratch { source, ring, block, output, kernel } = scratch;
        let blocks = band.clone().step_by(BLOCK).map(|y| y..band.end.min(y + BLOCK as u32));
        match &self.passes {
            Passes::Copy => {
                for y in band {
                    emit(y, &self.source.row(y, source)[columns.clone()]);
                }
            }
            Passes::Nearest { columns, rows } => {
                output.resize(columns.len() * 3, 0);
                for y in band {
                    let row = self.source.row(rows[index(y)], source);
                    let (pixels, _) = row.as_chunks::<3>();
                    for (out, &x) in output.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
                        *out = pixels[x as usize];
                    }
                    emit(y, output);
                }
            }
            Passes::Horizontal(horizontal) => {
                let starts = packed_starts(columns.len());
                output.resize(columns.len() * BLOCK, 0);
                for rows in blocks {
                    let count = rows.len();
                    let input = RowSet::new(&self.source, rows.clone(), 0..width, source);
                    horizontal.rows(input.rows(), output, &starts[..count], columns.len(), kernel);
                    rows.zip(output.chunks_exact(columns.len())).for_each(|(y, row)| emit(y, row));
                }
            }
            Passes::Vertical(vertical) => {
                output.resize(columns.len(), 0);
                for y in band {
                    let (start, weights) = vertical.axis().of(index(y));
                    let rows = start as u32..(start + weights.len()) as u32;
                    let input = RowSet::new(&self.source, rows, columns.clone(), source);
                    vertical.row(index(y), input.rows(), output, kernel);
                    emit(y, output);
                }
            }
            Passes::HorizontalVertical(horizontal, vertical) => {
                output.resize(columns.len(), 0);
                let mut ring = Ring::new(ring, vertical.axis().widest() + BLOCK, columns.len());
                let end = |y: u32| {
                    let (start, weights) = vertical.axis().of(index(y));
                    start + weights.len()
                };
                let last = end(band.end - 1);
                for y in band {
                    let (start, _) = vertical.axis().of(index(y));
                    ring.advance(start..end(y), last, |rows, memory, starts| {
                        let input = RowSet::new(&self.source, rows, 0..width, source);
                        horizontal.rows(input.rows(), memory, starts, columns.len(), kernel);
                    });
                    let starts = ring.starts(start..end(y));
                    vertical.row(index(y), Rows::new(ring.memory, &starts, columns.len()), output, kernel);
                    emit(y, output);
                }
            }
            Passes::VerticalHorizontal(horizontal, vertical) => {
                let (inner, outer) = (packed_starts(width), packed_starts(columns.len()));
                block.resize(width * BLOCK, 0);
                output.resize(columns.len() * BLOCK, 0);
                for rows in blocks {
                    let count = rows.len();
                    for (y, out) in rows.clone().zip(block.chunks_exact_mut(width)) {
                        let (start, weights) = vertical.axis().of(index(y));
                        let window = start as u32..(start + weights.len()) as u32;
                        let input = RowSet::new(&self.source, window, 0..width, source);
                        vertical.row(index(y), input.rows(), out, kernel);
                    }
                    let input = Rows::new(block, &inner[..count], width);
                    horizontal.rows(input, output, &outer[..count], columns.len(), kernel);
                    rows.zip(output.chunks_exact(columns.len())).for_each(|(y, row)| emit(y, row));
                }
            }
        }
    }
}

/// Where the rows of a block begin when they lie one after the other.
fn packed_starts(len: usize) -> [usize; BLOCK] {
    std::array::from_fn(|row| row * len)
}

/// A run of source rows as the kernels read them: in place where they lie packed, else converted.
struct RowSet<'a> {
    memory: &'a [u8],
    starts: Vec<usize>,
    len: usize,
}

impl<'a> RowSet<'a> {
    fn new(source: &'a PixelView<'_>, rows: Range<u32>, columns: Range<usize>, scratch: &'a mut Vec<u8>) -> Self {
        let len = columns.len();
        if let Some(memory) = source.packed_memory() {
            let starts = rows.map(|y| source.row_start(y) + columns.start).collect();
            return Self { memory, starts, len };
        }
        let width = source.size().width as usize * 3;
        scratch.resize(rows.len() * width, 0);
        for (y, row) in rows.clone().zip(scratch.chunks_exact_mut(width)) {
            source.copy_row(y, row);
        }
        Self { memory: scratch, starts: (0..rows.len()).map(|row| row * width + columns.start).collect(), len }
    }

    fn rows(&self) -> Rows<'_> {
        Rows::new(self.memory, &self.starts, self.len)
    }
}

/// The rows that the vertical pass looks at, each made once, a block ahead; windows only move down.
struct Ring<'s> {
    memory: &'s mut Vec<u8>,
    capacity: usize,
    stride: usize,
    /// Rows made so far end here.
    end: Option<usize>,
}

impl<'s> Ring<'s> {
    fn new(memory: &'s mut Vec<u8>, capacity: usize, stride: usize) -> Self {
        memory.resize(capacity * stride, 0);
        Self { memory, capacity, stride, end: None }
    }

    /// Makes rows until those of `window` are there, in blocks that may reach beyond it but not beyond `last`.
    fn advance(&mut self, window: Range<usize>, last: usize, mut make: impl FnMut(Range<u32>, &mut [u8], &[usize])) {
        let mut from = self.end.map_or(window.start, |end| end.max(window.start));
        while from < window.end {
            let until = (from + BLOCK).min(last);
            let starts = self.starts(from..until);
            make(from as u32..until as u32, self.memory, &starts);
            from = until;
        }
        self.end = Some(from);
    }

    /// Where rows lie.
    fn starts(&self, rows: Range<usize>) -> Vec<usize> {
        rows.map(|row| row % self.capacity * self.stride).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILTERS: [Filter; 6] =
        [Filter::Nearest, Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos];

    fn noise(len: usize, seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        };
        // Runs of extremes saturate sums; the rest is noise.
        (0..len)
            .map(|_| next())
            .map(|byte| {
                if byte < 96 {
                    0
                } else if byte > 160 {
                    255
                } else {
                    byte
                }
            })
            .collect()
    }

    fn run(resampler: &Resampler<'_>, rows: Range<u32>, band: u32) -> Vec<u8> {
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        let mut y = rows.start;
        while y < rows.end {
            let end = (y + band).min(rows.end);
            resampler.rows(y..end, &mut scratch, |_, row| out.extend_from_slice(row));
            y = end;
        }
        out
    }

    fn whole(to: Size) -> Window {
        Window { columns: 0..to.width, rows: 0..to.height }
    }

    fn arithmetic(index: usize) -> Arithmetic {
        ["pillow-13", "pillow-12", "pillow-11", "torch"][index].parse().unwrap()
    }

    fn exists(filter: Filter, arithmetic: Arithmetic) -> bool {
        arithmetic.backend == Backend::Pillow || !matches!(filter, Filter::Box | Filter::Hamming)
    }

    /// Every level of this machine against scalar, whole and in bands, from packed and from planar memory.
    fn check_levels(from: Size, to: Size, filter: Filter, rule: Arithmetic, seed: u64, band: u32) {
        let data = noise(from.area() as usize * 3, seed);
        let source = PixelView::packed(&data, from).unwrap();
        let scalar = Resampler::at_level(Level::Scalar, source, to, whole(to), filter, rule).unwrap();
        let expected = run(&scalar, 0..to.height, to.height);

        let (w, h) = (from.width as usize, from.height as usize);
        let planar: Vec<u8> =
            (0..3).flat_map(|c| (0..w * h).map(move |i| (c, i))).map(|(c, i)| data[i * 3 + c]).collect();
        let strides = crate::source::Strides { y: w as isize, x: 1, channel: (w * h) as isize };
        let planar = PixelView::new(&planar, 0, from, 3, strides, crate::source::AlphaRule::Ignore).unwrap();
        for level in Level::available() {
            for source in [source, planar] {
                let resampler = Resampler::at_level(level, source, to, whole(to), filter, rule).unwrap();
                for band in [to.height, band] {
                    let got = run(&resampler, 0..to.height, band);
                    assert!(got == expected, "{level:?} {filter:?} {rule:?} {from:?} -> {to:?} in bands of {band}");
                }
            }
            let window = Window { columns: to.width / 3..to.width, rows: to.height / 4..to.height };
            let part = Resampler::at_level(level, source, to, window.clone(), filter, rule).unwrap();
            part.rows(window.rows.clone(), &mut Scratch::default(), |y, row| {
                let start = ((y * to.width + window.columns.start) * 3) as usize;
                assert_eq!(row, &expected[start..start + row.len()], "{level:?} window of {from:?} -> {to:?}");
            });
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn levels_bands_and_windows_agree(
            (w, h) in (1u32..90, 1u32..90), (tw, th) in (1u32..90, 1u32..90),
            seed in any::<u64>(), band in 1u32..40, which in 0usize..4, filter in 0usize..6,
        ) {
            let (filter, rule) = (FILTERS[filter], arithmetic(which));
            prop_assume!(exists(filter, rule));
            check_levels(Size::new(w, h), Size::new(tw, th), filter, rule, seed, band);
        }
    }

    #[test]
    fn extreme_ratios_agree_at_every_level() {
        for (from, to) in [
            ((3000, 7), (11, 5)),
            ((7, 3000), (5, 11)),
            ((1, 1), (700, 3)),
            ((1, 900), (1, 2)),
            ((1025, 33), (4, 33)),
            ((33, 1025), (33, 4)),
            ((2000, 16), (1, 1)),
            ((17, 5), (1000, 4)),
        ] {
            for which in 0..4 {
                for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
                    let (from, to) = (Size::new(from.0, from.1), Size::new(to.0, to.1));
                    check_levels(from, to, filter, arithmetic(which), 7, 3);
                }
            }
        }
    }

    #[test]
    fn a_flat_image_stays_flat() {
        let data = vec![200u8; 50 * 40 * 3];
        let (from, to) = (Size::new(50, 40), Size::new(17, 90));
        for which in 0..4 {
            for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
                let source = PixelView::packed(&data, from).unwrap();
                let resampler = Resampler::new(source, to, whole(to), filter, arithmetic(which)).unwrap();
                assert!(run(&resampler, 0..90, 90).iter().all(|&value| value == 200));
            }
        }
    }
}
