//! A stage: one resize and its placement on a canvas.

use crate::geometry::{Grid, Point, Rect, Size};
use crate::options::FloatResize;

/// One resize and its placement on a canvas. `fill` covers the rest of the canvas; what lies outside is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stage {
    /// The part of the image that is resized, if not all of it.
    pub cut: Option<Rect>,
    /// Size after the resize.
    pub resized: Size,
    /// Size of the canvas.
    pub canvas: Size,
    /// Where the resized image's upper left corner lies on the canvas.
    pub offset: Point,
    /// Colour of the canvas.
    pub fill: [u8; 3],
    /// Whether the resize is Pillow's in every arithmetic.
    pub always_pillow: bool,
    /// Whether the image is transposed while it is resized.
    pub transposed: bool,
    /// How a floating-point resize works, if this is one.
    pub float_resize: Option<FloatResize>,
}

impl Stage {
    /// A resize that is its own canvas.
    pub fn resize(to: Size, always_pillow: bool) -> Self {
        Self {
            cut: None,
            resized: to,
            canvas: to,
            offset: Point::default(),
            fill: [0; 3],
            always_pillow,
            transposed: false,
            float_resize: None,
        }
    }

    /// Whether the canvas is not just the resized image.
    pub fn places(&self) -> bool {
        self.canvas != self.resized || self.offset != Point::default()
    }

    /// Rows and columns of the canvas's patches that show some of the image, where its padding is right and below.
    pub fn shown_patches(&self, patch: u32) -> Grid {
        let begun = |side: u32, canvas: u32| side.div_ceil(patch).min(canvas / patch);
        Grid {
            rows: begun(self.resized.height, self.canvas.height),
            cols: begun(self.resized.width, self.canvas.width),
        }
    }

    /// Whether some of the canvas is fill.
    pub fn pads(&self) -> bool {
        let covers =
            |offset: i32, inner: u32, outer: u32| offset <= 0 && i64::from(offset) + i64::from(inner) >= outer.into();
        !covers(self.offset.x, self.resized.width, self.canvas.width)
            || !covers(self.offset.y, self.resized.height, self.canvas.height)
    }
}
