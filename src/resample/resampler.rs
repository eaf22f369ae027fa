//! A resample of one image, made row by row for any range of output rows: a band needs no other band.

use std::ops::Range;
use std::sync::Arc;

use super::kernels::{BLOCK, Horizontal, KernelScratch, Ring, Vertical, first_rows};
use super::passes::{self, AxisKey};
use super::{Arithmetic, nearest};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::memory::try_resize;
use crate::options::Filter;
use crate::simd::Level;
use crate::source::{Interleaving, PixelView};
use crate::threads::check_stopped;

/// Most pixels between the passes where those are columns of a tall image that is made wide and short.
const MOST_BETWEEN: u64 = 1 << 28;

/// The part of the resized image that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Columns.
    pub(crate) columns: Range<u32>,
    /// Rows.
    pub(crate) rows: Range<u32>,
}

/// Takes rows of pixels in their order, so that each is made where it is to lie.
pub(crate) trait RowSink {
    /// Row `y`: `make` writes all of its bytes.
    fn row(&mut self, y: u32, make: impl FnOnce(&mut [u8]));
}

/// Buffers that a worker keeps from band to band.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Source rows that had to be converted.
    source: Vec<u8>,
    /// The ring.
    ring: Vec<u8>,
    /// A block of rows between the passes, where rows go first.
    block: Vec<u8>,
    /// A block of rows that are made at once.
    output: Vec<u8>,
    kernel: KernelScratch,
}

impl Scratch {
    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let vectors = [&self.source, &self.ring, &self.block, &self.output];
        vectors.map(Vec::capacity).into_iter().sum::<usize>() + self.kernel.bytes()
    }
}

/// A resample, set up.
pub(crate) struct Resampler<'a> {
    source: PixelView<'a>,
    /// How the rows lie that the first pass reads: the source's own, or converted ones.
    from: Interleaving,
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
    pub(crate) fn new(
        source: PixelView<'a>,
        to: Size,
        window: Window,
        filter: Filter,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        Self::at_level(Level::current()?, source, to, window, filter, arithmetic)
    }

    /// As [`Self::new`], with the kernels of a level of this machine.
    pub(super) fn at_level(
        level: Level,
        source: PixelView<'a>,
        to: Size,
        window: Window,
        filter: Filter,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        let level = if level.is_available() { level } else { Level::Scalar };
        let size = source.size();
        let backend = arithmetic.backend;
        let from = source.interleaving().unwrap_or(Interleaving::RGB);
        let passes = if size == to {
            Passes::Copy
        } else if filter == Filter::Nearest {
            let (columns, rows) = nearest::indices(backend, size, to, &window)?;
            Passes::Nearest { columns, rows }
        } else {
            let mut across = AxisKey::new(level, filter, backend, size.width, to.width, &window.columns);
            let mut down = AxisKey::new(level, filter, backend, size.height, to.height, &window.rows);
            if across.is_streamed() || down.is_streamed() {
                (across, down) = (across.without_level(), down.without_level());
            }
            let horizontal = || passes::horizontal(&across, from);
            let vertical = || passes::vertical(&down);
            let vertical_first = arithmetic.vertical_first(size, to);
            match (size.width != to.width, size.height != to.height) {
                (true, false) => Passes::Horizontal(horizontal()?),
                (false, _) => Passes::Vertical(vertical()?),
                (true, true) if vertical_first => Passes::VerticalHorizontal(horizontal()?, vertical()?),
                (true, true) => {
                    check_between(size, to)?;
                    Passes::HorizontalVertical(horizontal()?, vertical()?)
                }
            }
        };
        Ok(Self { source, from, window, passes })
    }

    /// Makes the rows `band` (absolute rows within the window) in order, as packed RGB of the window's columns.
    pub(crate) fn rows(&self, band: Range<u32>, scratch: &mut Scratch, sink: &mut impl RowSink) -> Result<()> {
        debug_assert!(band.start >= self.window.rows.start && band.end <= self.window.rows.end);
        if band.is_empty() {
            return Ok(());
        }
        let columns = self.window.columns.clone();
        let len = columns.len() * 3;
        let width = 0..self.source.size().width;
        let first_row = self.window.rows.start;
        let index = |y: u32| (y - first_row) as usize;
        let Scratch { source, ring, block, output, kernel } = scratch;
        let together = BLOCK.min(band.len());
        let blocks = band.clone().step_by(BLOCK).map(|y| y..band.end.min(y + BLOCK as u32));
        match &self.passes {
            Passes::Copy => {
                self.make_room(source)?;
                for rows in blocks {
                    check_stopped()?;
                    for y in rows {
                        sink.row(y, |out| self.pack(y, columns.clone(), source, |row| out.copy_from_slice(row)));
                    }
                }
            }
            Passes::Nearest { columns, rows } => {
                self.make_room(source)?;
                for block in blocks {
                    check_stopped()?;
                    for y in block {
                        let pick = |out: &mut [u8], row: &[u8]| {
                            let (pixels, _) = row.as_chunks::<3>();
                            for (out, &x) in out.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
                                *out = pixels[x as usize];
                            }
                        };
                        sink.row(y, |out| self.pack(rows[index(y)], width.clone(), source, |row| pick(out, row)));
                    }
                }
            }
            Passes::Horizontal(horizontal) => {
                try_resize(output, len * together, 0)?;
                for rows in blocks {
                    check_stopped()?;
                    let input = self.input(rows.clone(), width.clone(), source)?;
                    horizontal.rows(&input, &mut first_rows(output, len, rows.len()), kernel)?;
                    rows.zip(output.chunks_exact(len)).for_each(|(y, row)| sink.row(y, |out| out.copy_from_slice(row)));
                }
            }
            Passes::Vertical(vertical) => {
                try_resize(block, self.from.bytes(columns.clone()).len(), 0)?;
                for rows in blocks {
                    check_stopped()?;
                    for y in rows {
                        let columns = columns.clone();
                        let mut made = Ok(());
                        sink.row(y, |out| {
                            if self.from == Interleaving::RGB {
                                made = self.vertical_row(vertical, index(y), columns, source, out, kernel);
                            } else {
                                made = self.vertical_row(vertical, index(y), columns, source, block, kernel);
                                self.from.pack(block, out);
                            }
                        });
                        made?;
                    }
                }
            }
            Passes::HorizontalVertical(horizontal, vertical) => {
                let mut ring = Ring::new(ring, vertical, len)?;
                let last = vertical.window(index(band.end - 1)).end;
                for y in band {
                    ring.advance(&vertical.window(index(y)), last, |rows, block| {
                        block.fill(horizontal, &self.input(rows, width.clone(), source)?, kernel)
                    })?;
                    let mut made = Ok(());
                    sink.row(y, |out| made = ring.row(index(y), vertical, out, kernel));
                    made?;
                }
            }
            Passes::VerticalHorizontal(horizontal, vertical) => {
                try_resize(output, len * together, 0)?;
                let inner = self.from.bytes(width.clone()).len();
                try_resize(block, inner * together, 0)?;
                for rows in blocks {
                    check_stopped()?;
                    for (y, out) in rows.clone().zip(block.chunks_exact_mut(inner)) {
                        self.vertical_row(vertical, index(y), width.clone(), source, out, kernel)?;
                    }
                    let input: Vec<_> = block.chunks_exact(inner).take(rows.len()).collect();
                    horizontal.rows(&input, &mut first_rows(output, len, rows.len()), kernel)?;
                    rows.zip(output.chunks_exact(len)).for_each(|(y, row)| sink.row(y, |out| out.copy_from_slice(row)));
                }
            }
        }
        Ok(())
    }

    /// Some columns of the vertical pass's row at `index`, straight from the source.
    fn vertical_row(
        &self,
        vertical: &Vertical,
        index: usize,
        columns: Range<u32>,
        source: &mut Vec<u8>,
        output: &mut [u8],
        kernel: &mut KernelScratch,
    ) -> Result<()> {
        if let Vertical::Streamed(vertical) = vertical {
            vertical.begin(index, output.len(), kernel)?;
            for part in vertical.parts(index) {
                let input = self.input(part.clone(), columns.clone(), source)?;
                vertical.add(index, part.start, &input, kernel)?;
            }
            vertical.end(kernel, output);
        } else {
            vertical.row(index, &self.input(vertical.window(index), columns, source)?, output, kernel);
        }
        Ok(())
    }

    /// Room for a row that has to be converted.
    fn make_room(&self, scratch: &mut Vec<u8>) -> Result<()> {
        match self.source.interleaving() {
            Some(Interleaving::RGB) => Ok(()),
            _ => try_resize(scratch, self.source.size().width as usize * 3, 0),
        }
    }

    /// Part of a row as packed RGB: in place where it lies so, else converted in `scratch`, which has room for a row.
    fn pack(&self, y: u32, columns: Range<u32>, scratch: &mut [u8], take: impl FnOnce(&[u8])) {
        match self.source.interleaving() {
            Some(Interleaving::RGB) => take(self.source.row_bytes(y, self.from.bytes(columns))),
            Some(from) => {
                let row = &mut scratch[..columns.len() * 3];
                from.pack(self.source.row_bytes(y, from.bytes(columns)), row);
                take(row);
            }
            None => {
                let row = &mut scratch[..self.source.size().width as usize * 3];
                self.source.copy_row(y, row);
                take(&row[self.from.bytes(columns)]);
            }
        }
    }

    /// Columns of some source rows, as they lie where they can be read in place, else converted.
    fn input<'s>(&'s self, rows: Range<u32>, columns: Range<u32>, scratch: &'s mut Vec<u8>) -> Result<Vec<&'s [u8]>> {
        let bytes = self.from.bytes(columns);
        if self.source.interleaving().is_some() {
            return Ok(rows.map(|y| self.source.row_bytes(y, bytes.clone())).collect());
        }
        let width = self.source.size().width as usize * 3;
        try_resize(scratch, rows.len().saturating_mul(width), 0)?;
        for (y, row) in rows.zip(scratch.chunks_exact_mut(width)) {
            self.source.copy_row(y, row);
        }
        Ok(scratch.chunks_exact(width).map(|row| &row[bytes.clone()]).collect())
    }
}

/// Refuses a resize whose rows between the passes are far more than those of both images.
fn check_between(from: Size, to: Size) -> Result<()> {
    let between = Size::new(to.width, from.height);
    let pixels = between.area();
    if pixels > MOST_BETWEEN && pixels / 4 > from.area().max(to.area()) {
        return Err(Error::Canvas {
            width: between.width,
            height: between.height,
            pixels,
            limit: MOST_BETWEEN,
            from_width: from.width,
            from_height: from.height,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Backend;
    use crate::source::{AlphaRule, Strides};
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

    /// Rows of so many bytes, one after the other.
    struct Collected(usize, Vec<u8>);

    impl RowSink for Collected {
        fn row(&mut self, _: u32, make: impl FnOnce(&mut [u8])) {
            let at = self.1.len();
            self.1.resize(at + self.0, 77);
            make(&mut self.1[at..]);
        }
    }

    fn run(resampler: &Resampler<'_>, rows: Range<u32>, band: u32) -> Vec<u8> {
        let mut scratch = Scratch::default();
        let mut out = Collected(resampler.window.columns.len() * 3, Vec::new());
        let mut y = rows.start;
        while y < rows.end {
            let end = (y + band).min(rows.end);
            resampler.rows(y..end, &mut scratch, &mut out).unwrap();
            y = end;
        }
        out.1
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

    /// Every level of this machine against scalar, whole and in bands, from all ways in which pixels lie.
    fn check_levels(from: Size, to: Size, filter: Filter, rule: Arithmetic, seed: u64, band: u32) {
        let data = noise(from.area() as usize * 3, seed);
        let source = PixelView::packed(&data, from).unwrap();
        let scalar = Resampler::at_level(Level::Scalar, source, to, whole(to), filter, rule).unwrap();
        let expected = run(&scalar, 0..to.height, to.height);

        let (w, h) = (from.width as usize, from.height as usize);
        let planar: Vec<u8> = (0..3).flat_map(|c| data.iter().skip(c).step_by(3).copied()).collect();
        let planar_strides = Strides { y: w as isize, x: 1, channel: (w * h) as isize };
        let rgbx: Vec<u8> = data.chunks(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 99]).collect();
        let rgbx_strides = Strides { y: w as isize * 4, x: 4, channel: 1 };
        let bgr: Vec<u8> = data.chunks(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        let bgr_strides = Strides { y: w as isize * 3, x: 3, channel: -1 };
        let view = |data, origin, strides| PixelView::new(data, origin, from, 3, strides, AlphaRule::Ignore).unwrap();
        let sources = [
            source,
            view(&planar, 0, planar_strides),
            view(&rgbx[..rgbx.len() - 1], 0, rgbx_strides),
            view(&bgr, 2, bgr_strides),
        ];
        for level in Level::available() {
            for source in sources {
                let resampler = Resampler::at_level(level, source, to, whole(to), filter, rule).unwrap();
                for band in [to.height, band] {
                    let got = run(&resampler, 0..to.height, band);
                    let lie = source.interleaving();
                    assert!(
                        got == expected,
                        "{level:?} {filter:?} {rule:?} {from:?} -> {to:?} {lie:?} in bands of {band}"
                    );
                }
            }
            let window = Window { columns: to.width / 3..to.width, rows: to.height / 4..to.height };
            let part = Resampler::at_level(level, source, to, window.clone(), filter, rule).unwrap();
            let got = run(&part, window.rows.clone(), to.height);
            for (y, row) in window.rows.zip(got.chunks(window.columns.len() * 3)) {
                let start = ((y * to.width + window.columns.start) * 3) as usize;
                assert_eq!(row, &expected[start..start + row.len()], "{level:?} window of {from:?} -> {to:?}");
            }
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

    /// A side that has more weights than are kept against the same picture, of which a part is kept.
    #[test]
    fn streamed_weights_are_the_same() {
        let wide = Size::new(300_000, 2);
        let data = noise(wide.area() as usize * 3, 5);
        for (which, gray) in [(0, false), (3, true)] {
            let strides =
                if gray { Strides { y: 3, x: 1, channel: 0 } } else { Strides { y: 900_000, x: 3, channel: 1 } };
            let channels = if gray { 1 } else { 3 };
            let source = PixelView::new(&data, 0, wide, channels, strides, AlphaRule::Ignore).unwrap();
            let tall_strides = Strides { y: strides.x, x: strides.y, channel: strides.channel };
            let tall = PixelView::new(&data, 0, wide.transposed(), channels, tall_strides, AlphaRule::Ignore).unwrap();
            for (source, to) in [(source, Size::new(5, 3)), (tall, Size::new(3, 5))] {
                let all = Resampler::new(source, to, whole(to), Filter::Bicubic, arithmetic(which)).unwrap();
                let expected = run(&all, 0..to.height, to.height);
                assert!(matches!(
                    &all.passes,
                    Passes::HorizontalVertical(across, down) | Passes::VerticalHorizontal(across, down)
                        if matches!(**across, Horizontal::Streamed(_)) || matches!(**down, Vertical::Streamed(_))
                ));
                // Windows of one output have weights few enough.
                for (x, y) in [(0, 0), (to.width - 1, to.height - 1)] {
                    let window = Window { columns: x..x + 1, rows: y..y + 1 };
                    let one = Resampler::new(source, to, window.clone(), Filter::Bicubic, arithmetic(which)).unwrap();
                    let at = ((y * to.width + x) * 3) as usize;
                    assert_eq!(run(&one, window.rows, 1), expected[at..at + 3], "{to:?} {x} {y}");
                }
            }
        }
    }

    #[test]
    fn too_many_weights_and_rows_between_are_refused() {
        let data = [0; 3];
        let none = Strides { y: 0, x: 0, channel: 1 };
        let resize = |from: Size, to: Size, rule| {
            let source = PixelView::new(&data, 0, from, 3, none, AlphaRule::Ignore).unwrap();
            Resampler::new(source, to, whole(to), Filter::Bicubic, rule).map(|_| ())
        };
        let [pillow, torch] = [arithmetic(0), arithmetic(3)];
        let long = Size::new(178_956_970, 1);
        assert!(matches!(resize(long, Size::new(384, 384), pillow), Err(Error::Weights { input: 178_956_970, .. })));
        let tall = Size::new(1, 20_000_000);
        assert!(matches!(resize(tall, Size::new(384, 384), torch), Err(Error::Canvas { height: 20_000_000, .. })));
    }
}
