//! Plans: everything about an image's preprocessing that follows from its size alone.

mod boxes;
mod chain;
mod clip;
mod crops;
mod grids;
mod inside;
mod native;
mod sampling;
mod stage;
mod tokens;

use arrayvec::ArrayVec;

pub use boxes::{Affine, Coordinates, Units};
use chain::{Chain, Cut};
pub use clip::{Clip, Slots};
pub use sampling::{Footage, sample_frames};
pub use stage::Stage;

use crate::error::{Error, Result};
use crate::geometry::{Grid, Point, Size, py_round};
use crate::recipe::{Crops, PatchOrder, Patches, Recipe, Role, Strategy, Tokens, ViewOrder, ViewSpec, When};

/// Most stages from an image to a view's canvas.
pub const MAX_STAGES: usize = 5;
/// Most patches and tokens of a plan: Python's tables and torch count in this type.
const MOST: u64 = i64::MAX as u64;
/// Most tiles of a view.
const MOST_TILES: u64 = u32::MAX as u64;

/// One view: how the image becomes a canvas, and how the canvas is cut.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its role for the model.
    pub role: Role,
    /// Stages from the image to the canvas, at least one. Each reads the canvas of the stage before it.
    pub stages: ArrayVec<Stage, MAX_STAGES>,
    /// Tiles that the canvas is cut into.
    pub tiles: Grid,
    /// Size of a tile; the canvas is exactly the grid of them, less what neighbours share.
    pub tile: Size,
    /// Pixels that neighbouring tiles share.
    pub overlap: u32,
    /// Patches in a tile.
    pub patches: Grid,
    /// Rows and columns of the language model's tokens over the whole view, newlines excluded.
    pub token_grid: Grid,
    /// Tokens that carry no image features: ends of rows, marks of tiles.
    pub separators: u64,
    /// For crops: whether this one ends a row of crops that is not the last.
    pub ends_row: bool,
}

impl View {
    /// The canvas's size.
    pub fn canvas(&self) -> Size {
        self.tiles.overlapping_canvas(self.tile, self.overlap)
    }

    /// Where a tile's upper left corner lies on the canvas; tiles count row by row.
    pub fn tile_corner(&self, tile: u64) -> Point {
        let (row, col) = (tile / u64::from(self.tiles.cols), tile % u64::from(self.tiles.cols));
        let at = |index: u64, side: u32| (index * u64::from(side - self.overlap)) as i32;
        Point { x: at(col, self.tile.width), y: at(row, self.tile.height) }
    }

    /// Patches of all tiles.
    pub fn num_patches(&self) -> u64 {
        self.tiles.cells() * self.patches.cells()
    }

    /// Tokens, separators included.
    pub fn num_tokens(&self) -> u64 {
        self.token_grid.cells().saturating_add(self.separators)
    }
}

/// The plan of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The image's size.
    pub size: Size,
    /// Frames and patches of a video, whose frames have that size; none for an image.
    pub clip: Option<Clip>,
    /// Its views, in the order in which the language model receives them; a video's one is that of every frame.
    pub views: Vec<View>,
    /// The tile grid of a recipe with tiles (1 x 1 where an image gets none), else the patch grid.
    pub grid: Grid,
    /// Tokens that the language model receives, separators included.
    pub num_tokens: u64,
    /// Tokens that carry image features: no newlines, separators, start or end.
    pub num_visual_tokens: u64,
    /// Visual tokens that are not over padding, by DeepSeek-OCR's formula (arXiv:2510.18234, equation 1, truncated as in its code).
    pub num_valid_tokens: u64,
}

impl Plan {
    /// The plan of an image of this size, alone in its sample.
    pub fn new(recipe: &Recipe, size: Size) -> Result<Self> {
        Self::among(recipe, size, 1)
    }

    /// The plan of an image of this size in a sample of so many images.
    pub fn among(recipe: &Recipe, size: Size, images: usize) -> Result<Self> {
        let mut views = Vec::with_capacity(recipe.views.len());
        for spec in recipe.views.iter().filter(|spec| spec.enabled) {
            if wanted(recipe, spec.when, size, images, &views) {
                match spec.crops {
                    None => {
                        let at = if spec.order == ViewOrder::First { 0 } else { views.len() };
                        views.insert(at, plan_view(recipe, spec, size, Chain::new(recipe, spec, size, &views))?);
                    }
                    Some(crops) => plan_crops(recipe, spec, crops, size, &mut views)?,
                }
            }
        }
        let grid = if recipe.views.iter().any(|spec| spec.tiles.is_some()) {
            views.iter().find(|view| view.role == Role::Tile).map_or(Grid::SINGLE, |view| view.tiles)
        } else {
            views.first().map_or(Grid::SINGLE, |view| view.patches)
        };
        check_patches(&views, 1, size)?;
        let visual = |view: &View| view.token_grid.cells();
        let total = |count: &dyn Fn(&View) -> u64, extra| counted("tokens", views.iter().map(count), 1, extra, size);
        Ok(Self {
            size,
            clip: None,
            grid,
            num_tokens: total(&View::num_tokens, recipe.tokens.extra)?,
            num_visual_tokens: total(&visual, 0)?,
            num_valid_tokens: total(&|view| tokens::valid(view, size), 0)?,
            views,
        })
    }

    /// The plan of an image of this size that is resized as an image of the size `like` would be: for sizes that the
    /// caller sets.
    pub fn like(recipe: &Recipe, size: Size, like: Size) -> Result<Self> {
        let plan = Self::new(recipe, like)?;
        let reads_all = |view: &View| view.role != Role::Crop && view.stages[0].cut.is_none();
        if recipe.strategy != Strategy::Native || !plan.views.iter().all(reads_all) {
            let message = "a size of one's own is for recipes whose canvas goes by the image's own size".to_owned();
            return Err(Error::Recipe { recipe: recipe.name().to_owned(), message });
        }
        Ok(Self { size, ..plan })
    }

    /// The plan of a video of this many frames of this size, each resized as a frame of the size `like` would be.
    pub fn of_video_like(recipe: &Recipe, size: Size, frames: i64, like: Size) -> Result<Self> {
        let plan = Self::of_video(recipe, like, frames)?;
        if recipe.strategy != Strategy::Native {
            let message = "a size of one's own is for recipes whose canvas goes by the video's own size".to_owned();
            return Err(Error::Recipe { recipe: recipe.name().to_owned(), message });
        }
        Ok(Self { size, ..plan })
    }

    /// The plan of a video of so many frames of this size.
    pub fn of_video(recipe: &Recipe, size: Size, frames: i64) -> Result<Self> {
        let video = recipe.video()?;
        let clip = Clip::new(video, frames)?;
        let mut chain = Chain::of_frames(recipe, &video.view, size, clip);
        for step in &video.view.steps {
            chain.apply(step)?;
        }
        let view = finish_view(recipe, &video.view, video.tokens, size, chain)?;
        let times = if video.pooled { clip.chunks() } else { clip.patches() };
        check_patches(std::slice::from_ref(&view), clip.patches(), size)?;
        let total = |count, extra| counted("tokens", [count], times, extra, size);
        let visual = total(view.token_grid.cells(), 0)?;
        Ok(Self {
            size,
            clip: Some(clip),
            grid: view.patches,
            num_tokens: total(view.num_tokens(), video.tokens.extra)?,
            num_visual_tokens: visual,
            num_valid_tokens: visual,
            views: vec![view],
        })
    }

    /// Images of the source: the frames of a video.
    pub fn num_frames(&self) -> u32 {
        self.clip.map_or(1, |clip| clip.frames)
    }

    /// Patches along time: one of an image.
    pub fn num_times(&self) -> u32 {
        self.clip.map_or(1, Clip::patches)
    }

    /// The largest reduction (8, 4, 2 or 1) with which the image may be decoded so that no view's first resize enlarges
    /// it. It is 1 if a view cuts or pads the image itself.
    pub fn reduction(&self) -> u32 {
        let allows = |by: u32| {
            let first = |view: &View| view.stages[0].resized;
            let whole = |view: &View| view.stages[0].cut.is_none();
            let smaller = |side: u32, than: u32| u64::from(side) * u64::from(by) <= u64::from(than);
            let fits = |view| {
                let resized = first(view);
                whole(view) && smaller(resized.width, self.size.width) && smaller(resized.height, self.size.height)
            };
            self.views.iter().all(fits)
        };
        [8, 4, 2].into_iter().find(|&by| allows(by)).unwrap_or(1)
    }

    /// The image's size after that reduction.
    pub fn reduced_size(&self) -> Size {
        let by = self.reduction();
        Size::new(self.size.width.div_ceil(by), self.size.height.div_ceil(by))
    }

    /// Patches of all views, at all times of a video.
    pub fn num_patches(&self) -> u64 {
        self.views.iter().map(View::num_patches).sum::<u64>() * u64::from(self.num_times())
    }

    /// Tiles of all views, an uncut view counting as one, at all times of a video: the segments of a packed batch.
    pub fn num_tiles(&self) -> u64 {
        self.views.iter().map(|view| view.tiles.cells()).sum::<u64>() * u64::from(self.num_times())
    }

    /// The main view: the first global one, else the first.
    pub fn main_view(&self) -> usize {
        self.views.iter().position(|view| view.role == Role::Global).unwrap_or(0)
    }
}

/// Refuses views of more patches, at so many times, than can be counted.
fn check_patches(views: &[View], times: u32, size: Size) -> Result<()> {
    counted("patches", views.iter().map(View::num_patches), times, 0, size)?;
    counted("tiles", views.iter().map(|view| view.tiles.cells()), times, 0, size)?;
    Ok(())
}

/// The sum of counts, at so many times, and of what comes once.
fn counted(
    what: &'static str,
    counts: impl IntoIterator<Item = u64>,
    times: u32,
    once: u64,
    size: Size,
) -> Result<u64> {
    let sum = counts.into_iter().try_fold(0u64, u64::checked_add);
    let total = sum.and_then(|sum| sum.checked_mul(times.into())?.checked_add(once));
    let Size { width, height } = size;
    total.filter(|&total| total <= MOST).ok_or(Error::PlannedCount { width, height, what, limit: MOST })
}

fn wanted(recipe: &Recipe, when: When, size: Size, images: usize, earlier: &[View]) -> bool {
    match when {
        When::Always => true,
        When::EarlierTiled => earlier.iter().any(|view| view.tiles.cells() > 1),
        When::Alone => images == 1,
        When::Several => images > 1,
        When::LongestOver(side) => size.longest() > side,
        When::AreaOver(side) => size.area() > u64::from(side) * u64::from(side),
        When::RoundedOver { tokens, tolerance } => {
            // Lfm2VlImageProcessor._is_image_too_large.
            let align = f64::from(recipe.align());
            let rounded = |side: u32| (py_round(f64::from(side) / align) * align).max(recipe.patches.size.into());
            rounded(size.height) * rounded(size.width) > tokens as f64 * align * align * tolerance
        }
    }
}

fn plan_crops(recipe: &Recipe, spec: &ViewSpec, crops: Crops, size: Size, views: &mut Vec<View>) -> Result<()> {
    let mut whole = Chain::new(recipe, spec, size, views);
    for step in &spec.pre_crop_steps {
        whole.apply(step)?;
    }
    for part in crops::parts(crops, whole.size()) {
        let mut chain = whole.clone();
        chain.cut(part)?;
        let mut view = plan_view(recipe, spec, size, chain)?;
        if part.ends_row {
            view.ends_row = true;
            view.separators = view.separators.saturating_add(spec.separators.per_row.max(0) as u64);
        }
        views.push(view);
    }
    Ok(())
}

fn plan_view(recipe: &Recipe, spec: &ViewSpec, size: Size, mut chain: Chain<'_>) -> Result<View> {
    for step in &spec.steps {
        chain.apply(step)?;
    }
    finish_view(recipe, spec, recipe.tokens, size, chain)
}

fn finish_view(recipe: &Recipe, spec: &ViewSpec, tokens: Tokens, size: Size, mut chain: Chain<'_>) -> Result<View> {
    chain.resize_floats(spec.float_resize);
    let (stages, Cut { tiles, tile, overlap }) = chain.finish()?;
    let patches = Grid { rows: tile.height / recipe.patches.size, cols: tile.width / recipe.patches.size };
    let Size { width, height } = size;
    if tiles.cells() > MOST_TILES {
        return Err(Error::PlannedCount { width, height, what: "tiles", limit: MOST_TILES });
    }
    if tiles.cells().checked_mul(patches.cells()).is_none() {
        return Err(Error::PlannedCount { width, height, what: "patches", limit: MOST });
    }
    let Patches { merge, order, .. } = recipe.patches;
    if order == PatchOrder::Merge && !(patches.rows.is_multiple_of(merge) && patches.cols.is_multiple_of(merge)) {
        let message = format!(
            "an image of {}x{} has {} rows and {} columns of patches, which are not whole merged patches of {merge}x{merge}: patches.order must be \"raster\", or the size another",
            size.width, size.height, patches.rows, patches.cols
        );
        return Err(Error::Recipe { recipe: recipe.name().to_owned(), message });
    }
    let shown = stages[stages.len() - 1].shown_patches(recipe.patches.size);
    let cut = tokens::Patches { tiles, of_tile: patches, shared: overlap / recipe.patches.size, shown };
    let token_grid = tokens::grid(spec, tokens, cut, size);
    let separators = tokens::separators(spec, tiles, token_grid);
    Ok(View { role: spec.role, stages, tiles, tile, overlap, patches, token_grid, separators, ends_row: false })
}

#[cfg(test)]
mod tests;
