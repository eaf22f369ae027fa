//! Plans and pixels to tensors. It never looks at a recipe's family.

mod earlier;
mod view;

use std::cell::RefCell;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::geometry::{Grid, Point, Size};
use crate::memory::try_resize;
use crate::options::{Backend, Filter, Sampled};
use crate::plan::{Plan, Stage, View};
use crate::recipe::Pixels;
use crate::resample::{Arithmetic, RowSink, identity};
use crate::source::{OwnedImage, PixelView};
use crate::threads::{Threads, parallel};
use crate::write::{BatchLayout, Cells, DType, Element, FloatWriter, Placement, Sink, Values, Writer, normalised};
use earlier::Group;
pub use view::reserve;
use view::{Buffers, StageJob};

/// Below this many output bytes a call runs on the caller's thread alone.
const SERIAL_BYTES: usize = 512 << 10;
/// Bands are cut so that a worker has about this many.
const BANDS_PER_THREAD: usize = 4;

/// Most bytes of buffers that stay with a thread.
const MOST_KEPT: usize = 8 << 20;

/// A thread's buffers. They stay with it unless they are large, so that a call touches no fresh memory of its own.
#[derive(Default)]
struct Scratch {
    buffers: Buffers,
    lines: Vec<u8>,
}

fn with_scratch<R>(run: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let result = run(scratch);
        if scratch.buffers.bytes() + scratch.lines.capacity() > MOST_KEPT {
            *scratch = Scratch::default();
        }
        result
    })
}

/// One image of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its pixels: at the plan's size, or at its reduced size.
    pub source: PixelView<'a>,
    /// Its plan.
    pub plan: &'a Plan,
}

/// Writes a batch: every value of every tensor of `layout`, each once. `sinks` are the tensors' memory in their order.
pub fn execute<T: Element>(
    items: &[Item<'_>],
    pixels: &Pixels,
    arithmetic: Arithmetic,
    layout: &BatchLayout,
    sinks: &[Sink<'_, T>],
    threads: Threads,
) -> Result<()> {
    check(items, layout, sinks)?;
    let values = Values::<T>::new(pixels, arithmetic.backend)?;
    for (tensor, sink) in layout.tensors.iter().zip(sinks) {
        for range in &tensor.zeros {
            sink.fill(range.start, range.len(), T::zero());
        }
    }
    let bytes: usize = layout.tensors.iter().map(|tensor| tensor.len() * size_of::<T>()).sum();
    let threads = if bytes < SERIAL_BYTES { Threads::ONE } else { threads };
    let views: Vec<Placed<'_>> = items
        .iter()
        .zip(&layout.placements)
        .enumerate()
        .flat_map(|(index, (item, placements))| {
            let placed = move |(view, to)| Placed { item: index, source: item.source, view, to };
            item.plan.views.iter().zip(placements).map(placed)
        })
        .collect();
    // Pixels are not normalised: a resize of normalised values becomes one of bytes, and is rounded.
    let table = || if T::DTYPE == DType::UInt8 { identity() } else { normalised(pixels, arithmetic.backend) };
    let stages = views.iter().map(|placed| (placed.item, placed.source, &placed.view.stages[..]));
    for group in Group::all(stages) {
        let made = group.make(pixels.filter, arithmetic, threads)?;
        let views = &views[group.views.clone()];
        let mut jobs = Vec::with_capacity(views.len());
        for (index, placed) in views.iter().enumerate() {
            let input = group.input(index, placed.source, &made)?;
            for (stage, to) in parts(placed.view, placed.to) {
                let height = stage.canvas.height;
                let stage = StageJob::new(input, stage, pixels.filter, arithmetic, table)?;
                jobs.push(Job { stage, height, to });
            }
        }
        write(&jobs, &values, (pixels, arithmetic.backend), sinks, threads)?;
    }
    Ok(())
}

/// A view of an image, and where it goes.
struct Placed<'a> {
    /// Which image's.
    item: usize,
    source: PixelView<'a>,
    view: &'a View,
    to: &'a Placement,
}

/// A view's last stage and where it goes: all at once, or tile by tile where tiles share pixels.
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
    stage: StageJob<'a>,
    /// Rows of its canvas.
    height: u32,
    to: Placement,
}

/// Runs last stages, in bands, into their places. `order` is how floats are normalised that are not yet.
fn write<T: Element>(
    jobs: &[Job<'_>],
    values: &Values<T>,
    order: (&Pixels, Backend),
    sinks: &[Sink<'_, T>],
    threads: Threads,
) -> Result<()> {
    let rows = jobs.iter().map(|job| job.height as usize).sum();
    let cut =
        |(index, job): (usize, &Job<'_>)| cut(job.height, job.to.unit(), rows, threads).map(move |band| (index, band));
    let bands: Vec<(usize, Range<u32>)> = jobs.iter().enumerate().flat_map(cut).collect();
    let done = parallel(&bands, threads, |(index, band)| {
        let Job { stage, to, .. } = &jobs[*index];
        with_scratch(|Scratch { buffers, lines }| {
            if let Some(of) = stage.floats().filter(|_| T::DTYPE != DType::UInt8) {
                let writer = FloatWriter::new(to, (of == Sampled::Floats).then_some(order), &sinks[to.tensor]);
                return stage.float_rows(band.clone(), buffers, |y, row| writer.row(y, row));
            }
            let mut writer = Writer::new(to, values, &sinks[to.tensor], lines)?;
            stage.rows(band.clone(), buffers, &mut writer)?;
            writer.finish();
            Ok(())
        })
    });
    done.into_iter().collect()
}

/// Resizes one image, bytes to bytes.
pub fn resize(
    source: PixelView<'_>,
    to: Size,
    filter: Filter,
    arithmetic: Arithmetic,
    threads: Threads,
) -> Result<OwnedImage> {
    let mut data = reserve(to)?;
    let len = to.area() as usize * 3;
    let sink = Sink::from_uninit(&mut data.spare_capacity_mut()[..len]);
    resize_into(source, to, filter, arithmetic, &sink, threads)?;
    // SAFETY: every row was written.
    unsafe { data.set_len(len) };
    OwnedImage::new(to, data)
}

/// Resizes one image into memory for packed RGB rows; all of them are written.
pub fn resize_into(
    source: PixelView<'_>,
    to: Size,
    filter: Filter,
    arithmetic: Arithmetic,
    sink: &Sink<'_, u8>,
    threads: Threads,
) -> Result<()> {
    let row_bytes = to.width as usize * 3;
    if sink.len() != to.area() as usize * 3 {
        return Err(Error::Argument(format!("{}x{} pixels do not fill {} bytes", to.width, to.height, sink.len())));
    }
    let job = StageJob::new(source, Stage::resize(to, false), filter, arithmetic, identity)?;
    let threads = if sink.len() < SERIAL_BYTES { Threads::ONE } else { threads };
    let bands: Vec<_> = cut(to.height, 1, to.height as usize, threads).collect();
    let done = parallel(&bands, threads, |band| {
        with_scratch(|Scratch { buffers, lines }| {
            try_resize(lines, row_bytes, 0)?;
            job.rows(band.clone(), buffers, &mut Copied { line: lines, sink })
        })
    });
    done.into_iter().collect()
}

/// Rows that are made in cache and copied to memory that may hold no values yet.
struct Copied<'a> {
    line: &'a mut [u8],
    sink: &'a Sink<'a, u8>,
}

impl RowSink for Copied<'_> {
    fn row(&mut self, y: u32, make: impl FnOnce(&mut [u8])) {
        make(self.line);
        self.sink.copy(y as usize * self.line.len(), self.line);
    }
}

fn check<T: Element>(items: &[Item<'_>], layout: &BatchLayout, sinks: &[Sink<'_, T>]) -> Result<()> {
    let fits = items.len() == layout.placements.len() && sinks.len() == layout.tensors.len();
    let has_size = |item: &Item<'_>| [item.plan.size, item.plan.reduced_size()].contains(&item.source.size());
    let sizes = items.iter().all(has_size);
    let lengths = sinks.iter().zip(&layout.tensors).all(|(sink, tensor)| sink.len() == tensor.len());
    if fits && sizes && lengths {
        Ok(())
    } else {
        Err(Error::Argument("images, plans and buffers do not belong together".into()))
    }
}

/// Cuts a view's rows into bands that begin at multiples of `unit`; one band on one thread, because a band's first rows cost
/// a whole filter window.
fn cut(height: u32, unit: u32, rows: usize, threads: Threads) -> impl Iterator<Item = Range<u32>> {
    let bands = threads.get() * BANDS_PER_THREAD;
    let band = if threads.get() == 1 { height } else { rows.div_ceil(bands).max(32) as u32 };
    let band = band.next_multiple_of(unit);
    (0..height.div_ceil(band)).map(move |index| index * band..((index + 1) * band).min(height))
}
