//! One image resized, bytes to bytes.

use super::stage::{StageJob, reserve};
use super::write::{SERIAL_BYTES, Scratch, cut, with_scratch};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::memory::try_resize;
use crate::options::Filter;
use crate::plan::Stage;
use crate::resample::{Arithmetic, RowSink, identity};
use crate::source::{OwnedImage, PixelView};
use crate::threads::{Threads, parallel};
use crate::write::Sink;

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
    let mut sink = Sink::from_uninit(&mut data.spare_capacity_mut()[..len]);
    resize_into(source, to, filter, arithmetic, &mut sink, threads)?;
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
    sink: &mut Sink<'_, u8>,
    threads: Threads,
) -> Result<()> {
    let row_bytes = to.width as usize * 3;
    if sink.len() != to.area() as usize * 3 {
        return Err(Error::Argument(format!("{}x{} pixels do not fill {} bytes", to.width, to.height, sink.len())));
    }
    let sink = &*sink;
    let job =
        StageJob::new(source.size(), source.interleaving(), Stage::resize(to, false), filter, arithmetic, identity)?;
    let threads = if sink.len() < SERIAL_BYTES { Threads::ONE } else { threads };
    let bands: Vec<_> = cut(to.height, 1, to.height as usize, threads).collect();
    let done = parallel(&bands, threads, |band| {
        with_scratch(|Scratch { buffers, lines }| {
            try_resize(lines, row_bytes, 0)?;
            job.rows(&mut source.clone(), band.clone(), buffers, &mut Copied { line: lines, sink })
        })
    });
    done.into_iter().collect()
}

/// Makes rows in cache and copies them to memory that need not be initialised.
struct Copied<'a> {
    line: &'a mut [u8],
    sink: &'a Sink<'a, u8>,
}

impl RowSink for Copied<'_> {
    fn row(&mut self, y: u32, make: &mut dyn FnMut(&mut [u8])) {
        make(self.line);
        self.sink.copy(y as usize * self.line.len(), self.line);
    }
}
