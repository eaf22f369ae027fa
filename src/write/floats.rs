//! Writes rows of floats to their final places.

use super::layout::{Layout, Placement};
use super::normalize::normalise;
use super::{Element, Sink};
use crate::options::Backend;
use crate::recipe::Pixels;
use crate::resample::Table;

/// What every byte of every channel is once it is normalised.
pub(crate) fn normalised(pixels: &Pixels, backend: Backend) -> Box<Table> {
    Box::new(std::array::from_fn(|channel| {
        std::array::from_fn(|byte| normalise(pixels, backend, channel, byte as f32))
    }))
}

/// Writes rows of one view that was resized as floats.
pub(crate) struct FloatWriter<'a, T> {
    placement: &'a Placement,
    /// How values are normalised that are not yet.
    order: Option<(&'a Pixels, Backend)>,
    sink: &'a Sink<'a, T>,
}

impl<'a, T: Element> FloatWriter<'a, T> {
    /// A writer of the view placed by `placement` into its tensor's memory.
    pub(crate) fn new(placement: &'a Placement, order: Option<(&'a Pixels, Backend)>, sink: &'a Sink<'a, T>) -> Self {
        Self { placement, order, sink }
    }

    /// Writes canvas row `y`: RGB values over all tiles.
    pub(crate) fn row(&self, y: u32, row: &[f32]) {
        let cells = self.placement.cells;
        let (tile_row, line) = (y / cells.tile.height, y % cells.tile.height);
        let pixels = row.as_chunks::<3>().0;
        match self.placement.layout {
            Layout::Planar { row, plane, fold, step } => {
                let width = cells.tile.width as usize;
                let line = (line % fold) as usize * row + (line / fold) as usize * step;
                for (base, pixels) in self.placement.tiles(tile_row).zip(pixels.chunks_exact(width)) {
                    for channel in 0..3 {
                        self.channel(base + channel * plane + line, pixels, channel);
                    }
                }
            }
            // What a tile has beyond its last whole patch is not encoded.
            Layout::Merged { size, .. } | Layout::Flat { size, .. } if line / size >= cells.patches.rows => {}
            Layout::Merged { size, merge, temporal, order } => {
                let (side, copies) = (size as usize, temporal as usize);
                let plane = side * side;
                let row = line / size;
                for (from, to) in self.placement.patches(tile_row, row..row + 1, size, order, merge, 0) {
                    let pixels = &pixels[from / 3..][..side];
                    let at = to + (line % size) as usize * side;
                    for (channel, copy) in (0..3).flat_map(|channel| (0..copies).map(move |copy| (channel, copy))) {
                        self.channel(at + (channel * copies + copy) * plane, pixels, channel);
                    }
                }
            }
            // A recipe with such a view of frames is refused.
            Layout::Slots { .. } => unreachable!("frames of videos are resized as bytes"),
            Layout::Flat { size, merge, order } => {
                let side = size as usize;
                let row = line / size;
                for (from, to) in self.placement.patches(tile_row, row..row + 1, size, order, merge, 0) {
                    let pixels = &pixels[from / 3..][..side];
                    let values = pixels.iter().flat_map(|pixel| (0..3).map(|channel| self.value(pixel, channel)));
                    self.sink.write(to + (line % size) as usize * side * 3, side * 3, values);
                }
            }
        }
    }

    fn channel(&self, at: usize, pixels: &[[f32; 3]], channel: usize) {
        self.sink.write(at, pixels.len(), pixels.iter().map(|pixel| self.value(pixel, channel)));
    }

    fn value(&self, pixel: &[f32; 3], channel: usize) -> T {
        let value = pixel[channel];
        let value = self.order.map_or(value, |(pixels, backend)| normalise(pixels, backend, channel, value));
        T::new(0, value)
    }
}
