//! From a view's steps to stages: resize, then place on a canvas.

use arrayvec::ArrayVec;

use super::clip::Clip;
use super::crops::Part;
use super::stage::Stage;
use super::{MAX_STAGES, View, grids, inside, native};
use crate::error::{Error, Result};
use crate::geometry::{Grid, Point, Rect, Size, py_round};
use crate::recipe::{
    Align, Backend, Fill, FloatResize, FrameCount, NamedFill, NamedTarget, Recipe, Step, Target, Tiles, ViewSpec,
};

/// Most pixels of a canvas between two stages, which is made whole.
const MAX_CANVAS: u64 = 1 << 28;

/// How a canvas is cut.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) tiles: Grid,
    pub(super) tile: Size,
    /// Pixels that neighbouring tiles share.
    pub(super) overlap: u32,
}

impl Cut {
    fn canvas(self) -> Size {
        self.tiles.overlapping_canvas(self.tile, self.overlap)
    }
}

/// Steps applied so far.
#[derive(Clone)]
pub(super) struct Chain<'a> {
    recipe: &'a Recipe,
    /// Of a video.
    clip: Option<Clip>,
    tiles: Option<&'a Tiles>,
    /// The tiles: this view's own once a step has asked for them, before that an earlier view's.
    grid: Option<Cut>,
    searched: bool,
    /// The part of the image that the next stage reads.
    cut: Option<Rect>,
    source: Size,
    stages: ArrayVec<Stage, MAX_STAGES>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(recipe: &'a Recipe, spec: &'a ViewSpec, source: Size, earlier: &[View]) -> Self {
        let tiled = earlier.iter().rev().find(|view| view.tiles != Grid::SINGLE).or(earlier.last());
        Self {
            recipe,
            clip: None,
            tiles: spec.tiles.as_ref(),
            grid: tiled.map(|view| Cut { tiles: view.tiles, tile: view.tile, overlap: view.overlap }),
            searched: false,
            cut: None,
            source,
            stages: ArrayVec::new(),
        }
    }

    /// Steps of every frame of a video.
    pub(super) fn of_frames(recipe: &'a Recipe, spec: &'a ViewSpec, frame: Size, clip: Clip) -> Self {
        Self { clip: Some(clip), ..Self::new(recipe, spec, frame, &[]) }
    }

    /// The stages and the tiles: the last canvas is exactly their grid.
    pub(super) fn finish(mut self) -> Result<(ArrayVec<Stage, MAX_STAGES>, Cut)> {
        if self.stages.is_empty() || self.cut.is_some() {
            self.resize_to(self.size())?;
        }
        let canvas = self.size();
        let whole = Cut { tiles: Grid::SINGLE, tile: canvas, overlap: 0 };
        let tiles = self.grid.filter(|_| self.searched).unwrap_or(whole);
        debug_assert_eq!(tiles.canvas(), canvas);
        // A stage that changes nothing is dropped, but a view has at least one stage.
        let mut size = self.source;
        let mut kept = ArrayVec::<Stage, MAX_STAGES>::new();
        for (index, stage) in self.stages.iter().enumerate() {
            let last_resort = index + 1 == self.stages.len() && kept.is_empty();
            if stage.resized != size || stage.cut.is_some() || stage.places() || last_resort {
                kept.push(*stage);
            }
            size = stage.canvas;
        }
        // All canvases except the last are made as a whole.
        let earlier = &kept[..kept.len() - 1];
        if let Some(Size { width, height }) =
            earlier.iter().map(|stage| stage.canvas).find(|size| size.area() > MAX_CANVAS)
        {
            let pixels = u64::from(width) * u64::from(height);
            let Size { width: from_width, height: from_height } = self.source;
            return Err(Error::Canvas { width, height, pixels, limit: MAX_CANVAS, from_width, from_height });
        }
        Ok((kept, tiles))
    }

    /// Makes the last resize one in floating point.
    pub(super) fn resize_floats(&mut self, how: Option<FloatResize>) {
        if let Some(stage) = self.stages.last_mut() {
            stage.float_resize = how;
        }
    }

    /// Size of what the next step sees.
    pub(super) fn size(&self) -> Size {
        let whole = self.stages.last().map_or(self.source, |stage| stage.canvas);
        self.cut.map_or(whole, |cut| cut.size)
    }

    /// Goes on with a part of the image.
    pub(super) fn cut(&mut self, part: Part) -> Result<()> {
        if let Some(whole) = part.whole {
            self.resize_to(whole)?;
        }
        self.cut = Some(part.cut);
        Ok(())
    }

    fn resize(&mut self, width: i64, height: i64, always_pillow: bool) -> Result<()> {
        let to = Size::planned(width, height, self.size())?;
        let cut = self.cut.take();
        self.stages
            .try_push(Stage { cut, ..Stage::resize(to, always_pillow) })
            .map_err(|_| Error::Argument(format!("a view has at most {MAX_STAGES} stages")))
    }

    fn resize_to(&mut self, to: Size) -> Result<()> {
        self.resize(to.width.into(), to.height.into(), false)
    }

    fn place(&mut self, canvas: Size, offset: Point, fill: [u8; 3]) -> Result<()> {
        if self.cut.is_some() || self.stages.last().is_none_or(Stage::places) {
            self.resize_to(self.size())?;
        }
        if let Some(stage) = self.stages.last_mut() {
            *stage = Stage { canvas, offset, fill, ..*stage };
        }
        Ok(())
    }

    fn search(&mut self) {
        if let Some(tiles) = self.tiles.filter(|_| !self.searched) {
            let grid = grids::search(tiles, self.size(), self.recipe.align());
            let tile = grids::tile(tiles.size, self.size(), grid, self.recipe.align());
            self.grid = Some(Cut { tiles: grid, tile, overlap: tiles.overlap });
            self.searched = true;
        }
    }

    fn target(&mut self, target: Target) -> Size {
        match target {
            Target::Fixed(size) => size,
            Target::Named(NamedTarget::Square) => Size::new(self.size().longest(), self.size().longest()),
            Target::Named(NamedTarget::Aligned) => {
                let Size { width, height } = self.size();
                let align = self.recipe.align();
                Size::new(width.next_multiple_of(align), height.next_multiple_of(align))
            }
            Target::Named(NamedTarget::Grid) => {
                self.search();
                self.grid.map_or(self.size(), Cut::canvas)
            }
        }
    }

    pub(super) fn apply(&mut self, step: &Step) -> Result<()> {
        let size = self.size();
        let align = u64::from(self.recipe.align());
        let patch = self.recipe.patches.size;
        match *step {
            Step::Squash { to } => {
                let to = self.target(to);
                self.resize_to(to)
            }
            Step::ShortestEdge { edge } => self.resize_pair(inside::shortest_edge(size, edge)),
            Step::LongestEdge { edge, rounding, min, enlarge } => {
                self.resize_pair(inside::longest_edge(size, edge, rounding, min, enlarge))
            }
            Step::Contain { to, rounding, at_most_tile, at_least, precision } => {
                let to = self.target(to);
                let tile = self.grid.filter(|_| at_most_tile).map(|cut| cut.tile);
                let (width, height) = inside::contain(size, to, rounding, tile, precision);
                if width.min(height) < i64::from(at_least) {
                    let (from_width, from_height) = (size.width, size.height);
                    return Err(Error::ThinSize { width, height, from_width, from_height, limit: at_least });
                }
                self.resize_pair((width, height))
            }
            Step::HdTransform { edge, max } => {
                let (width, height) = inside::hd_transform(size, edge, max);
                self.resize_pair((width, height))?;
                if let Some(stage) = self.stages.last_mut() {
                    stage.transposed = size.width < size.height;
                }
                Ok(())
            }
            Step::SmartResize {
                clamp,
                enlarge,
                frames,
                cap,
                max_ratio,
                min_pixels,
                max_pixels,
                min_tokens,
                max_tokens,
                always_pillow,
            } => {
                let budget = crate::recipe::smart_budget(min_pixels, max_pixels, min_tokens, max_tokens, align);
                let (min, max) = budget.unwrap_or((0, u64::MAX));
                let max = match (cap, self.clip) {
                    (Some(cap), Some(clip)) if cap.enabled => clip.capped(cap, align, min, max),
                    _ => native::Most::whole(max),
                };
                let frames = match (frames, self.clip) {
                    (FrameCount::Count(count), _) => (count, count),
                    (FrameCount::Named(_), Some(clip)) => (clip.frames, clip.whole_frames()?),
                    (FrameCount::Named(_), None) => (1, 1),
                };
                let rules = native::Smart { align, min, max, clamp, enlarge, frames, max_ratio };
                let (width, height) = native::smart_resize(size, rules)?;
                self.resize(width, height, always_pillow)
            }
            Step::Naflex { max_patches } => self.resize_pair(native::naflex(size, patch, max_patches)),
            Step::CeilPatches { longest, rounding: by } => {
                self.resize_pair(native::ceil_patches(size, align, longest, by))
            }
            Step::ShrinkToPatches { max_patches, max_side_patches } => {
                self.resize_pair(native::shrink_to_patches(size, patch, max_patches, max_side_patches))
            }
            Step::FloorPatches { max_tokens } => {
                self.resize_pair(native::floor_patches(size, patch, self.recipe.patches.merge, max_tokens)?)
            }
            Step::PatchBudget { min_patches, max_patches } => {
                let merge = self.recipe.patches.merge;
                self.resize_pair(native::patch_budget(size, patch, merge, min_patches, max_patches))
            }
            Step::PadToPatches { min_tokens, max_tokens } => {
                let clip = self.clip.unwrap_or_else(|| Clip::of_patch(self.recipe.patches.temporal));
                let (canvas, content) = native::pad_to_patches(size, align, clip, min_tokens, max_tokens)?;
                self.resize_pair(content)?;
                let canvas = Size::planned(canvas.0, canvas.1, size)?;
                self.place(canvas, Point::default(), [0; 3])
            }
            Step::MatchArea { edge } => {
                let (w, h) = (f64::from(size.width), f64::from(size.height));
                self.resize_to(native::match_area(w, h, edge, align as u32))
            }
            Step::CenterCrop { to, align } => {
                let ceil = self.recipe.pixels.arithmetic == Backend::Pillow;
                let at = |inner, outer| crop_offset(inner, outer, align, ceil);
                self.place(to, Point { x: at(size.width, to.width), y: at(size.height, to.height) }, [0; 3])
            }
            Step::PadThinToSquare { under, ratio } => {
                let (long, short) = (size.longest(), size.shortest());
                if short < under && u64::from(long) > u64::from(short) * u64::from(ratio) {
                    self.place(Size::new(long, long), Point::default(), [0; 3])?;
                }
                Ok(())
            }
            Step::Pad { to, align, fill } => {
                let to = self.target(to);
                let at = |inner, outer| pad_offset(inner, outer, align);
                self.place(to, Point { x: at(size.width, to.width), y: at(size.height, to.height) }, self.fill(fill))
            }
        }
    }

    fn resize_pair(&mut self, (width, height): (i64, i64)) -> Result<()> {
        self.resize(width, height, false)
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
/// PIL backend rounds the padding before it up, the torchvision backend and torchvision itself down.
fn crop_offset(inner: u32, outer: u32, align: Align, ceil: bool) -> i32 {
    if inner >= outer {
        return if align == Align::CenterHalfEven {
            pad_offset(inner, outer, align)
        } else {
            -(((inner - outer) / 2) as i32)
        };
    }
    let free = outer - inner;
    if ceil && align == Align::Center { free.div_ceil(2) as i32 } else { (free / 2) as i32 }
}

fn pad_offset(inner: u32, outer: u32, align: Align) -> i32 {
    let free = i64::from(outer) - i64::from(inner);
    match align {
        Align::TopLeft => 0,
        Align::Center => free.div_euclid(2) as i32,
        Align::CenterHalfEven => py_round(free as f64 * 0.5) as i32,
    }
}
