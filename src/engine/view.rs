//! One stage of a view: its resample and its placement on the canvas, any band of canvas rows on its own.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::plan::Stage;
use crate::recipe::{Backend, Filter};
use crate::resample::{Arithmetic, Resampler, Scratch, Window};
use crate::source::{OwnedImage, PixelView};

/// A worker's buffers.
#[derive(Default)]
pub(super) struct Buffers {
    resample: Scratch,
    line: Vec<u8>,
}

/// A stage, set up over its source.
pub(super) struct StageJob<'a> {
    resampler: Resampler<'a>,
    stage: Stage,
    /// The part of the resized image that lies on the canvas.
    window: Window,
}

impl<'a> StageJob<'a> {
    pub(super) fn new(source: PixelView<'a>, stage: Stage, filter: Filter, arithmetic: Arithmetic) -> Result<Self> {
        let backend = if stage.always_pillow { Backend::Pillow } else { arithmetic.backend };
        let window = Window {
            columns: visible(stage.offset.x, stage.resized.width, stage.canvas.width),
            rows: visible(stage.offset.y, stage.resized.height, stage.canvas.height),
        };
        let arithmetic = Arithmetic { backend, ..arithmetic };
        let source = stage.cut.map_or(source, |cut| source.crop(cut));
        let resampler = Resampler::new(source, stage.resized, window.clone(), filter, arithmetic)?;
        Ok(Self { resampler, stage, window })
    }

    /// Makes the canvas rows of `band` in order and hands each to `emit` as packed RGB.
    pub(super) fn rows(&self, band: Range<u32>, buffers: &mut Buffers, mut emit: impl FnMut(u32, &[u8])) {
        let Buffers { resample, line } = buffers;
        let Stage { canvas, offset, fill, .. } = self.stage;
        let on_canvas = |row: u32| (i64::from(row) + i64::from(offset.y)) as u32;
        let content = on_canvas(self.window.rows.start)..on_canvas(self.window.rows.end);

        line.clear();
        line.extend(fill.iter().cycle().take(canvas.width as usize * 3));
        for y in band.start..band.end.min(content.start) {
            emit(y, line);
        }
        let inside = band.start.max(content.start)..band.end.min(content.end);
        if !inside.is_empty() {
            let source = |y: u32| (i64::from(y) - i64::from(offset.y)) as u32;
            let left = offset.x.max(0) as usize * 3;
            let whole = self.window.columns.len() == canvas.width as usize;
            self.resampler.rows(source(inside.start)..source(inside.end), resample, |y, row| {
                if whole {
                    emit(on_canvas(y), row);
                } else {
                    line[left..left + row.len()].copy_from_slice(row);
                    emit(on_canvas(y), line);
                }
            });
        }
        if band.end > content.end {
            line.clear();
            line.extend(fill.iter().cycle().take(canvas.width as usize * 3));
            for y in band.start.max(content.end)..band.end {
                emit(y, line);
            }
        }
    }

    /// The whole canvas.
    fn canvas(&self) -> Result<OwnedImage> {
        let canvas = self.stage.canvas;
        let mut data = reserve(canvas)?;
        self.rows(0..canvas.height, &mut Buffers::default(), |_, row| data.extend_from_slice(row));
        OwnedImage::new(canvas, data)
    }
}

/// Room for an image's bytes, or an error where the system has none.
pub fn reserve(size: Size) -> Result<Vec<u8>> {
    let bytes = size.area() as usize * 3;
    let mut data = Vec::new();
    data.try_reserve_exact(bytes).map_err(|_| Error::Memory { bytes })?;
    Ok(data)
}

/// What the last of these stages reads, where that is not the image itself.
pub(super) fn earlier_stages(
    source: PixelView<'_>,
    stages: &[Stage],
    filter: Filter,
    arithmetic: Arithmetic,
) -> Result<Option<OwnedImage>> {
    let mut made: Option<OwnedImage> = None;
    for &stage in &stages[..stages.len() - 1] {
        let input = match &made {
            Some(image) => image.view()?,
            None => source,
        };
        made = Some(StageJob::new(input, stage, filter, arithmetic)?.canvas()?);
    }
    Ok(made)
}

/// Which of `inner` pixels, the first lying at `offset`, are on a canvas of `outer`.
fn visible(offset: i32, inner: u32, outer: u32) -> Range<u32> {
    let start = (-i64::from(offset)).clamp(0, inner.into());
    let end = (i64::from(outer) - i64::from(offset)).clamp(start, inner.into());
    start as u32..end as u32
}
