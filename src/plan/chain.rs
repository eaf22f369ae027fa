//! From a view's steps to stages: resize, then place on a canvas.

use arrayvec::ArrayVec;

use super::{MAX_STAGES, native};
use crate::error::{Error, Result};
use crate::geometry::{Point, Size, py_round};
use crate::recipe::{
    Align, Backend, Fill, LongestRounding, NamedFill, NamedTarget, Recipe, SmartVariant, Step, Target,
};

/// Most pixels of a canvas between two stages, which is made whole.
const MAX_CANVAS: u64 = 1 << 28;

/// One resize and its placement. Where the image does not cover the canvas, `fill` does; where it sticks out, it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stage {
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
}

impl Stage {
    /// A resize that is its own canvas.
    pub fn resize(to: Size, always_pillow: bool) -> Self {
        Self { resized: to, canvas: to, offset: Point::default(), fill: [0; 3], always_pillow }
    }

    fn places(&self) -> bool {
        self.canvas != self.resized || self.offset != Point::default()
    }

    /// Whether some of the canvas is fill.
    pub fn pads(&self) -> bool {
        let covers =
            |offset: i32, inner: u32, outer: u32| offset <= 0 && i64::from(offset) + i64::from(inner) >= outer.into();
        !covers(self.offset.x, self.resized.width, self.canvas.width)
            || !covers(self.offset.y, self.resized.height, self.canvas.height)
    }
}

/// Steps applied so far.
pub(super) struct Chain<'a> {
    recipe: &'a Recipe,
    /// The tile grid's canvas, in a view with tiles.
    grid: Option<Size>,
    source: Size,
    stages: ArrayVec<Stage, MAX_STAGES>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(recipe: &'a Recipe, source: Size, grid: Option<Size>) -> Self {
        Self { recipe, grid, source, stages: ArrayVec::new() }
    }

    /// The stages, and the size of their last canvas.
    pub(super) fn finish(mut self) -> Result<(ArrayVec<Stage, MAX_STAGES>, Size)> {
        if self.stages.is_empty() {
            self.stages.push(Stage::resize(self.source, false));
        }
        let canvas = self.size();
        // A stage that changes nothing is no stage, but a view has at least one.
        let mut size = self.source;
        let mut kept = ArrayVec::<Stage, MAX_STAGES>::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let last_resort = index + 1 == self.stages.len() && kept.is_empty();
            if stage.resized != size || stage.places() || last_resort {
                kept.push(*stage);
            }
            size = stage.canvas;
        }
        // All canvases but the last are made whole.
        let earlier = &kept[..kept.len() - 1];
        if let Some(Size { width, height }) =
            earlier.iter().map(|stage| stage.canvas).find(|size| size.area() > MAX_CANVAS)
        {
            let pixels = u64::from(width) * u64::from(height);
            let Size { width: from_width, height: from_height } = self.source;
            return Err(Error::Canvas { width, height, pixels, limit: MAX_CANVAS, from_width, from_height });
        }
        Ok((kept, canvas))
    }

    fn size(&self) -> Size {
        self.stages.last().map_or(self.source, |stage| stage.canvas)
    }

    fn resize(&mut self, width: i64, height: i64, always_pillow: bool) -> Result<()> {
        let to = Size::planned(width, height, self.size())?;
        self.stages
            .try_push(Stage::resize(to, always_pillow))
            .map_err(|_| Error::Argument(format!("a view has at most {MAX_STAGES} stages")))
    }

    fn resize_to(&mut self, to: Size) -> Result<()> {
        self.resize(to.width.into(), to.height.into(), false)
    }

    fn place(&mut self, canvas: Size, offset: Point, fill: [u8; 3]) -> Result<()> {
        if self.stages.last().is_none_or(Stage::places) {
            self.resize_to(self.size())?;
        }
        if let Some(stage) = self.stages.last_mut() {
            *stage = Stage { canvas, offset, fill, ..*stage };
        }
        Ok(())
    }

    fn target(&self, target: Target) -> Size {
        match target {
            Target::Fixed(size) => size,
            Target::Named(NamedTarget::Square) => Size::new(self.size().longest(), self.size().longest()),
            Target::Named(NamedTarget::Grid) => self.grid.unwrap_or(self.size()),
        }
    }

    pub(super) fn apply(&mut self, step: &Step) -> Result<()> {
        let Size { width, height } = self.size();
        let (w, h) = (f64::from(width), f64::from(height));
        match *step {
            Step::Squash { to } => self.resize_to(self.target(to)),
            Step::ShortestEdge { edge } => {
                // transformers get_resize_output_image_size: int(edge * long / short), the product an integer.
                let long = |long: u32, short: u32| (u64::from(edge) * u64::from(long)) as f64 / f64::from(short);
                let edge = i64::from(edge);
                if width <= height {
                    self.resize(edge, long(height, width) as i64, false)
                } else {
                    self.resize(long(width, height) as i64, edge, false)
                }
            }
            Step::LongestEdge { edge, rounding } => {
                let s = f64::from(edge);
                let (new_w, new_h) = match rounding {
                    // PIL.ImageOps.contain into a square.
                    LongestRounding::Contain if width > height => (s, py_round(h / w * s)),
                    LongestRounding::Contain if width < height => (py_round(w / h * s), s),
                    LongestRounding::Contain => (s, s),
                    LongestRounding::Scale => {
                        let scale = s / f64::from(self.size().longest());
                        (py_round(w * scale), py_round(h * scale))
                    }
                };
                self.resize(new_w as i64, new_h as i64, false)
            }
            Step::Inside { to } => {
                // transformers get_patch_output_size.
                let to = self.target(to);
                let (scale_w, scale_h) = (f64::from(to.width) / w, f64::from(to.height) / h);
                if scale_w < scale_h {
                    self.resize(to.width.into(), ((h * scale_w).ceil() as i64).min(to.height.into()), false)
                } else {
                    self.resize(((w * scale_h).ceil() as i64).min(to.width.into()), to.height.into(), false)
                }
            }
            Step::Smart { variant, min_pixels, max_pixels, min_tokens, max_tokens, always_pillow } => {
                let align = u64::from(self.recipe.align());
                let budget = crate::recipe::smart_budget(min_pixels, max_pixels, min_tokens, max_tokens, align);
                let (min, max) = budget.unwrap_or((0, u64::MAX));
                let clamp_first = variant == SmartVariant::QwenVlUtils;
                let (new_w, new_h) = native::smart_resize(self.size(), align, min, max, clamp_first)?;
                self.resize(new_w, new_h, always_pillow)
            }
            Step::Naflex { max_patches } => {
                let to = native::naflex(self.size(), self.recipe.patches.size, max_patches);
                self.resize(to.0, to.1, false)
            }
            Step::CenterCrop { to } => {
                let ceil = self.recipe.pixels.arithmetic == Backend::Pillow;
                let offset = Point { x: crop_offset(width, to.width, ceil), y: crop_offset(height, to.height, ceil) };
                self.place(to, offset, [0; 3])
            }
            Step::Pad { to, align, fill } => {
                let to = self.target(to);
                let offset = Point { x: pad_offset(width, to.width, align), y: pad_offset(height, to.height, align) };
                self.place(to, offset, self.fill(fill))
            }
        }
    }

    fn fill(&self, fill: Fill) -> [u8; 3] {
        match fill {
            Fill::Rgb(colour) => colour,
            Fill::Named(NamedFill::Black) => [0; 3],
            Fill::Named(NamedFill::Mean) => self.recipe.pixels.mean.map(|mean| (mean * 255.0) as u8),
        }
    }
}

/// Where a side of `inner` pixels starts on one of `outer` in a centre crop. Where the image is too small, transformers'
/// PIL backend rounds the padding before it up and the torchvision backend down.
fn crop_offset(inner: u32, outer: u32, ceil: bool) -> i32 {
    if inner >= outer {
        -(((inner - outer) / 2) as i32)
    } else if ceil {
        (outer - inner).div_ceil(2) as i32
    } else {
        ((outer - inner) / 2) as i32
    }
}

fn pad_offset(inner: u32, outer: u32, align: Align) -> i32 {
    let free = i64::from(outer) - i64::from(inner);
    match align {
        Align::TopLeft => 0,
        Align::Floor => free.div_euclid(2) as i32,
        Align::HalfEven => py_round(free as f64 * 0.5) as i32,
    }
}
