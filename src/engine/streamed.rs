//! Views that are made while the file of their image is decoded, without the whole image.

use super::stage::{StageJob, seen};
use super::write::{Output, with_scratch};
use crate::error::Result;
use crate::geometry::{Point, Size};
use crate::plan::{Stage, View};
use crate::resample::{Arithmetic, RowSink};
use crate::source::{Interleaving, Orientation, Streamed, Turning, recycle};
use crate::write::Placement;

/// Whether a view of an image of a size, stored as `lies` says, is made of its rows from the first to the last, each read once.
///
/// What is stored otherwise than it is seen is resized as it is stored, and the result is turned: sums in floating point depend on
/// their order, and a result that is larger is more to turn than the image.
pub(super) fn reads_in_order(view: &View, size: Size, lies: Orientation) -> bool {
    let stage = view.stages[0];
    let all = view.overlap == 0 && view.stages.len() == 1 && stage.cut.is_none();
    let area = seen(&stage).size().area();
    all && (lies == Orientation::Upright || stage.float_resize.is_none() && (1..=size.area()).contains(&area))
}

impl Output<'_> {
    /// Writes an image while it is decoded, of which a view is made that [`reads_in_order`].
    pub(super) fn stream(&self, file: &Streamed<'_>, view: &View, to: &Placement) -> Result<()> {
        let (stage, lies) = (view.stages[0], file.orientation());
        let rows = 0..stage.canvas.height;
        if lies == Orientation::Upright {
            let job = self.job(file.size(), stage, self.arithmetic)?;
            return file.read(job.span(), &mut |source| self.destination.rows(source, &job, to, rows.clone()));
        }
        let (stored, placed) = parted(stage, lies);
        let job = self.job(file.size(), stored, self.arithmetic.lying(lies))?;
        let image = file.read(job.span(), &mut |source| {
            let mut turning = Turning::new(stored.canvas, lies)?;
            with_scratch(|scratch| job.rows(source, 0..stored.canvas.height, &mut scratch.buffers, &mut turning))?;
            turning.finish()
        })?;
        let job = self.job(image.size(), placed, self.arithmetic)?;
        self.destination.rows(&mut image.view()?, &job, to, rows)?;
        recycle(image);
        Ok(())
    }

    /// Sets up a stage over packed RGB.
    fn job(&self, size: Size, stage: Stage, arithmetic: Arithmetic) -> Result<StageJob> {
        let lie = Some(Interleaving::RGB);
        StageJob::new(size, lie, stage, self.pixels.filter, arithmetic, || self.destination.table())
    }
}

impl RowSink for Turning {
    fn row(&mut self, y: u32, make: &mut dyn FnMut(&mut [u8])) {
        Turning::row(self, y, make);
    }
}

/// A stage as two, for an image that is turned between them: the resize of what is seen, as the image is stored, and its
/// place on the canvas.
fn parted(stage: Stage, lies: Orientation) -> (Stage, Stage) {
    let part = seen(&stage);
    let stored = part.stored(stage.resized, lies);
    let corner = Point { x: -(stored.columns.start as i32), y: -(stored.rows.start as i32) };
    let resize = Stage { resized: lies.turned(stage.resized), canvas: stored.size(), offset: corner, ..stage };
    let corner = Point { x: stage.offset.x.max(0), y: stage.offset.y.max(0) };
    let place = Stage { canvas: stage.canvas, offset: corner, fill: stage.fill, ..Stage::resize(part.size(), false) };
    (resize, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::recipe::Recipe;

    #[test]
    fn a_photograph_is_read_in_order_however_it_lies() {
        let plan = |name, size| Plan::new(&Recipe::load(name, &toml::Table::new()).unwrap(), size).unwrap();
        let reads = |name, (width, height), lies| {
            let size = Size::new(width, height);
            reads_in_order(&plan(name, size).views[0], size, lies)
        };
        for lies in [Orientation::Upright, Orientation::HalfTurn, Orientation::Clockwise] {
            assert!(reads("qwen2-vl", (3024, 4032), lies) && reads("clip", (3024, 4032), lies));
            // What grows is turned before, and so is what is resized in floating point.
            assert_eq!(reads("llava-1.5", (30, 40), lies), lies == Orientation::Upright);
            assert_eq!(reads("molmo2", (3024, 4032), lies), lies == Orientation::Upright);
        }
    }

    #[test]
    fn a_stage_is_parted_where_its_image_is_turned() {
        // Of 40x30 pixels as they are seen, 24x30 are on the canvas, from the sixth column on; six rows above are fill.
        let resized = Stage::resize(Size::new(40, 30), false);
        let stage = Stage { canvas: Size::new(24, 36), offset: Point { x: -6, y: 6 }, ..resized };
        let seen = Size::new(24, 30);
        for (lies, stored, corner) in [
            (Orientation::FlipX, Size::new(40, 30), (-10, 0)),
            (Orientation::FlipY, Size::new(40, 30), (-6, 0)),
            (Orientation::Transpose, Size::new(30, 40), (0, -6)),
            (Orientation::Clockwise, Size::new(30, 40), (0, -10)),
            (Orientation::Counterclockwise, Size::new(30, 40), (0, -6)),
        ] {
            let (resize, place) = parted(stage, lies);
            let corner = Point { x: corner.0, y: corner.1 };
            assert_eq!((resize.resized, resize.canvas, resize.offset), (stored, lies.turned(seen), corner), "{lies:?}");
            assert_eq!((place.resized, place.canvas, place.offset), (seen, stage.canvas, Point { x: 0, y: 6 }));
        }
    }
}
