//! Writes images to their places in the tensors.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use super::earlier::Group;
use super::stage::{Buffers, StageJob};
use crate::error::{Error, Result};
use crate::geometry::{Grid, Point};
use crate::options::{Backend, Sampled};
use crate::plan::{Plan, Stage, View};
use crate::recipe::Pixels;
use crate::resample::{Arithmetic, Table, identity};
use crate::source::{PixelView, Rows};
use crate::threads::{Phase, Threads, parallel, timed};
use crate::write::{Cells, DType, Element, FloatWriter, Placement, Sink, Values, Writer, normalised};

/// Below this many output bytes a call runs on the caller's thread alone.
pub(super) const SERIAL_BYTES: usize = 512 << 10;
/// Bands are cut so that a worker has about this many.
const BANDS_PER_THREAD: usize = 4;

/// Most bytes of buffers that stay with a thread.
const MOST_KEPT: usize = 8 << 20;

/// A thread's buffers. The thread keeps them unless they are large, so that calls need no fresh memory.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) buffers: Buffers,
    pub(super) lines: Vec<u8>,
}

/// Runs work with the buffers. The work may start another call on this thread: a signal handler can do so when the work
/// checks whether it is stopped.
pub(super) fn with_scratch<R>(run: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Scratch> = Cell::default();
    }
    let mut scratch = SCRATCH.take();
    let result = run(&mut scratch);
    if scratch.buffers.bytes() + scratch.lines.capacity() <= MOST_KEPT {
        SCRATCH.set(scratch);
    }
    result
}

/// An image, or a frame of a video: its pixels, and the places of its views.
pub(super) struct Image<'a> {
    /// At the plan's size, or at its reduced size.
    pub(super) source: PixelView<'a>,
    pub(super) plan: &'a Plan,
    pub(super) placements: &'a [Placement],
}

/// Tensors of one type of values.
pub(super) struct Typed<'a, T> {
    pixels: &'a Pixels,
    backend: Backend,
    values: Arc<Values<T>>,
    sinks: &'a [Sink<'a, T>],
}

impl<'a, T: Element> Typed<'a, T> {
    pub(super) fn new(pixels: &'a Pixels, backend: Backend, sinks: &'a [Sink<'a, T>]) -> Result<Self> {
        Ok(Self { pixels, backend, values: Values::of(pixels, backend)?, sinks })
    }
}

/// Tensors of any type of values.
pub(super) trait Destination: Sync {
    /// What a resize of normalised values reads.
    fn table(&self) -> Box<Table>;

    /// Makes some rows of a last stage, and writes them to its place.
    fn rows(&self, source: &mut dyn Rows, stage: &StageJob, to: &Placement, band: Range<u32>) -> Result<()>;
}

impl<T: Element> Destination for Typed<'_, T> {
    fn table(&self) -> Box<Table> {
        // Pixels are not normalised, so the resize works on bytes and rounds.
        if T::DTYPE == DType::UInt8 { identity() } else { normalised(self.pixels, self.backend) }
    }

    fn rows(&self, source: &mut dyn Rows, stage: &StageJob, to: &Placement, band: Range<u32>) -> Result<()> {
        let sink = &self.sinks[to.tensor];
        with_scratch(|Scratch { buffers, lines }| {
            if let Some(of) = stage.floats().filter(|_| T::DTYPE != DType::UInt8) {
                // The normalisation of floats that are not normalised yet.
                let order = (of == Sampled::Floats).then_some((self.pixels, self.backend));
                let writer = FloatWriter::new(to, order, sink);
                return stage.float_rows(source, band, buffers, &mut |y, row| {
                    timed(Phase::Write, || writer.row(y, row));
                });
            }
            let mut writer = Writer::new(to, &self.values, sink, lines)?;
            stage.rows(source, band, buffers, &mut writer)?;
            writer.finish();
            Ok(())
        })
    }
}

/// The destination of images, and how they are written. The type of values is behind a pointer, so that little is compiled
/// for each type.
pub(super) struct Output<'a> {
    pub(super) pixels: &'a Pixels,
    pub(super) arithmetic: Arithmetic,
    pub(super) destination: &'a dyn Destination,
}

impl Output<'_> {
    /// Writes images. Returns those that could not be written, with their errors.
    pub(super) fn write(&self, images: &[Image<'_>], threads: Threads) -> Vec<(usize, Error)> {
        let views: Vec<Placed<'_>> = images
            .iter()
            .enumerate()
            .flat_map(|(index, image)| {
                let placed = move |(view, to)| Placed { image: index, source: image.source, view, to };
                image.plan.views.iter().zip(image.placements).map(placed)
            })
            .collect();
        let mut failed = Vec::new();
        let stages = views.iter().map(|placed| (placed.image, placed.source, &placed.view.stages[..]));
        for group in Group::all(stages) {
            let made = group.make(self.pixels.filter, self.arithmetic, threads);
            let views = &views[group.views.clone()];
            let mut jobs = Vec::with_capacity(views.len());
            for (index, placed) in views.iter().enumerate() {
                let input = group.input(index, placed.source, &made);
                if let Err(error) = input.and_then(|input| self.set_up(placed, input, &mut jobs)) {
                    failed.push((placed.image, error));
                }
            }
            failed.extend(self.run(&jobs, threads));
        }
        failed
    }

    /// Sets up the last stage of a view over what it reads.
    fn set_up<'p>(&self, placed: &Placed<'_>, input: PixelView<'p>, jobs: &mut Vec<Job<'p>>) -> Result<()> {
        for (stage, to) in parts(placed.view, placed.to) {
            let (height, source) = (stage.canvas.height, input.cut(stage.cut));
            let stage = StageJob::new(
                source.size(),
                source.interleaving(),
                stage,
                self.pixels.filter,
                self.arithmetic,
                || self.destination.table(),
            )?;
            jobs.push(Job { image: placed.image, source, stage, height, to });
        }
        Ok(())
    }

    /// Runs last stages, in bands, into their places. Returns the images whose stages failed.
    fn run(&self, jobs: &[Job<'_>], threads: Threads) -> Vec<(usize, Error)> {
        let rows = jobs.iter().map(|job| job.height as usize).sum();
        let cut = |(index, job): (usize, &Job<'_>)| {
            cut(job.height, job.to.unit(), rows, threads).map(move |band| (index, band))
        };
        let bands: Vec<(usize, Range<u32>)> = jobs.iter().enumerate().flat_map(cut).collect();
        let done = parallel(&bands, threads, |(index, band)| {
            let Job { source, stage, to, .. } = &jobs[*index];
            self.destination.rows(&mut source.clone(), stage, to, band.clone())
        });
        let failed = |((index, _), done): ((usize, _), Result<()>)| Some((jobs[index].image, done.err()?));
        bands.into_iter().zip(done).filter_map(failed).collect()
    }
}

/// A view of an image, and its place.
struct Placed<'a> {
    /// Which image's.
    image: usize,
    source: PixelView<'a>,
    view: &'a View,
    to: &'a Placement,
}

/// A view's last stage and its place: the whole view, or tile by tile if tiles share pixels.
fn parts(view: &View, to: &Placement) -> Vec<(Stage, Placement)> {
    let last = view.stages[view.stages.len() - 1];
    if view.overlap == 0 {
        return vec![(last, *to)];
    }
    let tile = |index: u64| {
        let corner = view.tile_corner(index);
        let offset = Point { x: last.offset.x - corner.x, y: last.offset.y - corner.y };
        let cells = Cells { tiles: Grid::SINGLE, ..to.cells };
        let to = Placement { base: to.base + index as usize * to.stride, cells, ..*to };
        (Stage { canvas: view.tile, offset, ..last }, to)
    };
    (0..view.tiles.cells()).map(tile).collect()
}

/// A last stage, set up, and its place.
struct Job<'a> {
    /// Which image's.
    image: usize,
    source: PixelView<'a>,
    stage: StageJob,
    /// Rows of its canvas.
    height: u32,
    to: Placement,
}

/// Cuts a view's rows into bands that begin at multiples of `unit`; one band on one thread, because a band's first rows cost
/// a whole filter window.
pub(super) fn cut(height: u32, unit: u32, rows: usize, threads: Threads) -> impl Iterator<Item = Range<u32>> {
    let bands = threads.get() * BANDS_PER_THREAD;
    let band = if threads.get() == 1 { height } else { rows.div_ceil(bands).max(32) as u32 };
    let band = band.next_multiple_of(unit);
    (0..height.div_ceil(band)).map(move |index| index * band..((index + 1) * band).min(height))
}
