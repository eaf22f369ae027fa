//! A resample of one image, made row by row for any range of output rows: a band needs no other band.

use std::ops::Range;

use super::{Arithmetic, AxisWeights, kernels, nearest};
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
    source: Vec<u8>,
    rows: Vec<u8>,
    column: Vec<u8>,
    sums: Vec<i32>,
    output: Vec<u8>,
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
    Horizontal(AxisWeights),
    Vertical(AxisWeights),
    HorizontalVertical(AxisWeights, AxisWeights),
    VerticalHorizontal(AxisWeights, AxisWeights),
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
        let from = source.size();
        let backend = arithmetic.backend;
        let passes = if from == to {
            Passes::Copy
        } else if filter == Filter::Nearest {
            Passes::Nearest {
                columns: nearest::indices(backend, from.width, to.width, window.columns.clone()),
                rows: nearest::indices(backend, from.height, to.height, window.rows.clone()),
            }
        } else {
            let horizontal = || AxisWeights::new(filter, backend, from.width, to.width, window.columns.clone());
            let vertical = || AxisWeights::new(filter, backend, from.height, to.height, window.rows.clone());
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
        let columns = self.window.columns.start as usize * 3..self.window.columns.end as usize * 3;
        let first_row = self.window.rows.start;
        let Scratch { source, rows, column, sums, output } = scratch;
        output.resize(columns.len(), 0);
        match &self.passes {
            Passes::Copy => {
                for y in band {
                    emit(y, &self.source.row(y, source)[columns.clone()]);
                }
            }
            Passes::Nearest { columns, rows } => {
                for y in band {
                    let row = self.source.row(rows[(y - first_row) as usize], source);
                    let (pixels, _) = row.as_chunks::<3>();
                    for (out, &x) in output.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
                        *out = pixels[x as usize];
                    }
                    emit(y, output);
                }
            }
            Passes::Horizontal(horizontal) => {
                for y in band {
                    kernels::scalar::horizontal(self.source.row(y, source), output, horizontal);
                    emit(y, output);
                }
            }
            Passes::Vertical(vertical) => {
                let mut ring = Ring::new(rows, vertical.widest(), columns.len());
                for y in band {
                    let (start, weights) = vertical.of((y - first_row) as usize);
                    ring.advance(start..start + weights.len(), |from, into| {
                        into.copy_from_slice(&self.source.row(from as u32, source)[columns.clone()]);
                    });
                    kernels::scalar::vertical(ring.rows(start), weights, vertical.bits(), sums, output);
                    emit(y, output);
                }
            }
            Passes::HorizontalVertical(horizontal, vertical) => {
                let mut ring = Ring::new(rows, vertical.widest(), columns.len());
                for y in band {
                    let (start, weights) = vertical.of((y - first_row) as usize);
                    ring.advance(start..start + weights.len(), |from, into| {
                        kernels::scalar::horizontal(self.source.row(from as u32, source), into, horizontal);
                    });
                    kernels::scalar::vertical(ring.rows(start), weights, vertical.bits(), sums, output);
                    emit(y, output);
                }
            }
            Passes::VerticalHorizontal(horizontal, vertical) => {
                let width = self.source.size().width as usize * 3;
                column.resize(width, 0);
                let mut ring = Ring::new(rows, vertical.widest(), width);
                for y in band {
                    let (start, weights) = vertical.of((y - first_row) as usize);
                    ring.advance(start..start + weights.len(), |from, into| self.source.copy_row(from as u32, into));
                    kernels::scalar::vertical(ring.rows(start), weights, vertical.bits(), sums, column);
                    kernels::scalar::horizontal(column, output, horizontal);
                    emit(y, output);
                }
            }
        }
    }
}

/// The rows that the vertical pass looks at, each made once; windows only move down.
struct Ring<'s> {
    rows: &'s mut Vec<u8>,
    capacity: usize,
    stride: usize,
    /// Rows made so far end here.
    end: Option<usize>,
}

impl<'s> Ring<'s> {
    fn new(rows: &'s mut Vec<u8>, capacity: usize, stride: usize) -> Self {
        rows.resize(capacity * stride, 0);
        Self { rows, capacity, stride, end: None }
    }

    /// Makes the rows of `window` that are not there yet.
    fn advance(&mut self, window: Range<usize>, mut make: impl FnMut(usize, &mut [u8])) {
        let from = self.end.map_or(window.start, |end| end.max(window.start));
        for row in from..window.end {
            let slot = row % self.capacity * self.stride;
            make(row, &mut self.rows[slot..slot + self.stride]);
        }
        self.end = Some(window.end.max(from));
    }

    /// Rows from `start` on.
    fn rows(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        (start..).map(|row| {
            let slot = row % self.capacity * self.stride;
            &self.rows[slot..slot + self.stride]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resize(data: &[u8], from: Size, to: Size, filter: Filter, arithmetic: Arithmetic, band: u32) -> Vec<u8> {
        let source = PixelView::packed(data, from).unwrap();
        let window = Window { columns: 0..to.width, rows: 0..to.height };
        let resampler = Resampler::new(source, to, window, filter, arithmetic).unwrap();
        let mut scratch = Scratch::default();
        let mut out = Vec::new();
        let mut y = 0;
        while y < to.height {
            let end = (y + band).min(to.height);
            resampler.rows(y..end, &mut scratch, |_, row| out.extend_from_slice(row));
            y = end;
        }
        out
    }

    fn arithmetic(index: usize) -> Arithmetic {
        ["pillow-13", "pillow-12", "pillow-11", "torch"][index].parse().unwrap()
    }

    proptest! {
        #[test]
        fn bands_and_windows_are_parts_of_the_whole(
            (w, h) in (1u32..60, 1u32..60), (tw, th) in (1u32..60, 1u32..60),
            seed in any::<u64>(), band in 1u32..9, which in 0usize..4, filter in 0usize..4,
        ) {
            let filter = [Filter::Nearest, Filter::Bilinear, Filter::Bicubic, Filter::Lanczos][filter];
            let mut state = seed | 1;
            let data: Vec<u8> = (0..w * h * 3).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            }).collect();
            let (from, to, rule) = (Size::new(w, h), Size::new(tw, th), arithmetic(which));
            let whole = resize(&data, from, to, filter, rule, th);
            prop_assert_eq!(&whole, &resize(&data, from, to, filter, rule, band));

            let window = Window { columns: tw / 3..tw, rows: th / 4..th };
            let source = PixelView::packed(&data, from).unwrap();
            let part = Resampler::new(source, to, window.clone(), filter, rule).unwrap();
            part.rows(window.rows.clone(), &mut Scratch::default(), |y, row| {
                let start = ((y * tw + window.columns.start) * 3) as usize;
                assert_eq!(row, &whole[start..start + row.len()]);
            });
        }
    }

    #[test]
    fn a_flat_image_stays_flat() {
        let data = vec![200u8; 50 * 40 * 3];
        for which in 0..4 {
            for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
                let out = resize(&data, Size::new(50, 40), Size::new(17, 90), filter, arithmetic(which), 90);
                assert!(out.iter().all(|&value| value == 200));
            }
        }
    }
}
