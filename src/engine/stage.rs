//! One stage of a view: its resample and its placement on the canvas, any band of canvas rows on its own.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::options::{Backend, Filter, Sampled};
use crate::plan::Stage;
use crate::resample::{Arithmetic, FloatResampler, FloatScratch, Resampler, RowSink, Scratch, Table, Window, identity};
use crate::source::{Interleaving, OwnedImage, Rows};

/// A worker's buffers.
#[derive(Default)]
pub(super) struct Buffers {
    bytes: Scratch,
    floats: FloatScratch,
}

impl Buffers {
    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.bytes() + self.floats.bytes()
    }
}

enum Pass {
    Bytes(Resampler),
    Floats(Box<FloatResampler>),
}

/// A stage, set up for its source.
pub(super) struct StageJob {
    pass: Pass,
    stage: Stage,
    /// The part of the resized image that lies on the canvas.
    window: Window,
}

impl StageJob {
    /// A stage that reads images of a size, cut already, whose rows lie as `lie` says where they can be read in place. `table` are the normalised values of bytes, for a stage that
    /// resizes those.
    pub(super) fn new(
        size: Size,
        lie: Option<Interleaving>,
        stage: Stage,
        filter: Filter,
        arithmetic: Arithmetic,
        table: impl Fn() -> Box<Table>,
    ) -> Result<Self> {
        let window = seen(&stage);
        let pass = if let Some(sampling) = stage.float_resize {
            let table = if sampling.of == Sampled::Normalized { table() } else { identity() };
            let resampler = FloatResampler::new(size, stage.resized, window.clone(), sampling, table)?;
            Pass::Floats(Box::new(resampler))
        } else {
            let backend = if stage.always_pillow { Backend::Pillow } else { arithmetic.backend };
            let transposed = arithmetic.transposed != stage.transposed;
            let arithmetic = Arithmetic { backend, transposed, ..arithmetic };
            Pass::Bytes(Resampler::new(size, lie, stage.resized, window.clone(), filter, arithmetic)?)
        };
        Ok(Self { pass, stage, window })
    }

    /// Most rows of the source from the first to the last that are read at once.
    pub(super) fn span(&self) -> u32 {
        match &self.pass {
            Pass::Bytes(resampler) => resampler.span(),
            Pass::Floats(_) => 1,
        }
    }

    /// Makes the canvas rows of `band` in order, as packed RGB.
    pub(super) fn rows(
        &self,
        source: &mut dyn Rows,
        band: Range<u32>,
        buffers: &mut Buffers,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        let Stage { offset, fill, .. } = self.stage;
        let on_canvas = |row: u32| (i64::from(row) + i64::from(offset.y)) as u32;
        let content = on_canvas(self.window.rows.start)..on_canvas(self.window.rows.end);
        for y in band.start..band.end.min(content.start) {
            sink.row(y, &mut |out| paint(out, fill));
        }
        let inside = band.start.max(content.start)..band.end.min(content.end);
        if !inside.is_empty() {
            let resized = |y: u32| (i64::from(y) - i64::from(offset.y)) as u32;
            let left = offset.x.max(0) as usize * 3;
            let columns = left..left + self.window.columns.len() * 3;
            let rows = resized(inside.start)..resized(inside.end);
            if self.stage.places() {
                let mut sink = OnCanvas { sink, columns, offset: offset.y, fill };
                self.resample(source, rows, buffers, &mut sink)?;
            } else {
                self.resample(source, rows, buffers, sink)?;
            }
        }
        for y in band.start.max(content.end)..band.end {
            sink.row(y, &mut |out| paint(out, fill));
        }
        Ok(())
    }

    /// Makes rows of the resized image, within the window.
    fn resample(
        &self,
        source: &mut dyn Rows,
        rows: Range<u32>,
        buffers: &mut Buffers,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        match &self.pass {
            Pass::Bytes(resampler) => resampler.rows(source, rows, &mut buffers.bytes, sink),
            Pass::Floats(resampler) => resampler.rows(source, rows, &mut buffers.floats, &mut |y, row| {
                sink.row(y, &mut |out| round(row, out));
            }),
        }
    }

    /// The input of the resize, if the stage produces floats.
    pub(super) fn floats(&self) -> Option<Sampled> {
        self.stage.float_resize.map(|sampling| sampling.of).filter(|of| *of != Sampled::Bytes)
    }

    /// As [`Self::rows`], for a stage that produces floats: the rows before rounding. Its canvas is the resized image.
    pub(super) fn float_rows(
        &self,
        source: &mut dyn Rows,
        band: Range<u32>,
        buffers: &mut Buffers,
        emit: &mut dyn FnMut(u32, &[f32]),
    ) -> Result<()> {
        debug_assert!(!self.stage.places());
        if let Pass::Floats(resampler) = &self.pass {
            resampler.rows(source, band, &mut buffers.floats, emit)?;
        }
        Ok(())
    }

    /// The whole canvas.
    pub(super) fn canvas(&self, source: &mut dyn Rows) -> Result<OwnedImage> {
        let canvas = self.stage.canvas;
        let mut rows = Canvas { data: reserve(canvas)?, len: canvas.width as usize * 3 };
        self.rows(source, 0..canvas.height, &mut Buffers::default(), &mut rows)?;
        OwnedImage::new(canvas, rows.data)
    }
}

/// Rows of an image within those of its canvas.
struct OnCanvas<'s> {
    sink: &'s mut dyn RowSink,
    /// Bytes of a canvas row that are the image's.
    columns: Range<usize>,
    /// The canvas row of the image's first.
    offset: i32,
    fill: [u8; 3],
}

impl RowSink for OnCanvas<'_> {
    fn row(&mut self, y: u32, make: &mut dyn FnMut(&mut [u8])) {
        let Self { columns, fill, .. } = self;
        self.sink.row((i64::from(y) + i64::from(self.offset)) as u32, &mut |out| {
            paint(&mut out[..columns.start], *fill);
            paint(&mut out[columns.end..], *fill);
            make(&mut out[columns.clone()]);
        });
    }
}

/// Rows of a canvas, one after the other.
struct Canvas {
    data: Vec<u8>,
    len: usize,
}

impl RowSink for Canvas {
    fn row(&mut self, _: u32, make: &mut dyn FnMut(&mut [u8])) {
        let at = self.data.len();
        self.data.resize(at + self.len, 0);
        make(&mut self.data[at..]);
    }
}

/// The nearest bytes, halves to even.
fn round(values: &[f32], out: &mut [u8]) {
    for (byte, value) in out.iter_mut().zip(values) {
        *byte = value.round_ties_even() as u8;
    }
}

/// Pixels of one colour.
fn paint(pixels: &mut [u8], colour: [u8; 3]) {
    pixels.as_chunks_mut().0.fill(colour);
}

/// Memory for an image's bytes, or an error if the system has none.
pub fn reserve(size: Size) -> Result<Vec<u8>> {
    let bytes = size.area() as usize * 3;
    let mut data = Vec::new();
    data.try_reserve_exact(bytes).map_err(|_| Error::Memory { bytes })?;
    Ok(data)
}

/// What of a stage's resized image lies on its canvas.
pub(super) fn seen(stage: &Stage) -> Window {
    Window {
        columns: visible(stage.offset.x, stage.resized.width, stage.canvas.width),
        rows: visible(stage.offset.y, stage.resized.height, stage.canvas.height),
    }
}

/// Which of `inner` pixels, the first lying at `offset`, are on a canvas of `outer`.
fn visible(offset: i32, inner: u32, outer: u32) -> Range<u32> {
    let start = (-i64::from(offset)).clamp(0, inner.into());
    let end = (i64::from(outer) - i64::from(offset)).clamp(start, inner.into());
    start as u32..end as u32
}
