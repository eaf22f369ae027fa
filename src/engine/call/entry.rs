//! An item of a call: its sources, and its plan while it is not left out.

use std::sync::Arc;

use super::source::Source;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::plan::Plan;
use crate::recipe::Recipe;

/// An item and its state.
pub(super) struct Entry<'a> {
    /// The image, or the frames; none if the item is left out.
    pub(super) sources: Vec<Source<'a>>,
    pub(super) size: Size,
    pub(super) is_video: bool,
    /// Its own recipe, in place of the call's.
    pub(super) recipe: Option<Arc<Recipe>>,
    pub(super) plan: Option<Arc<Plan>>,
    /// The number of images in its sample for which it is planned.
    pub(super) among: usize,
    /// Whether its plan is fixed, whatever that number.
    pub(super) settled: bool,
}

impl Entry<'_> {
    pub(super) fn is_left(&self) -> bool {
        !self.sources.is_empty()
    }

    pub(super) fn leave_out(&mut self) {
        self.sources = Vec::new();
        self.plan = None;
    }

    pub(super) fn planned(&self, recipe: &Recipe, among: usize) -> Result<Plan> {
        let recipe = self.recipe.as_deref().unwrap_or(recipe);
        if self.is_video {
            Plan::of_video(recipe, self.size, self.sources.len() as i64)
        } else {
            Plan::among(recipe, self.size, among)
        }
    }
}

/// The sources of an item and their size; or the error, and the frame that has it.
pub(super) fn gather(
    opened: Vec<Result<Source<'_>>>,
    is_video: bool,
) -> std::result::Result<(Vec<Source<'_>>, Size), (Option<usize>, Error)> {
    let mut sources = Vec::with_capacity(opened.len());
    let mut first = None;
    for (index, source) in opened.into_iter().enumerate() {
        let sized = source.and_then(|source| Ok((source.size()?, source)));
        let (size, source) = sized.map_err(|error| (is_video.then_some(index), error))?;
        let whole = *first.get_or_insert(size);
        if size != whole {
            let [one, other] = [size, whole].map(|size| format!("{}x{}", size.width, size.height));
            let message = format!("frame {index} is {one}, the first {other}: the frames of a video have one size");
            return Err((None, Error::Argument(message)));
        }
        sources.push(source);
    }
    Ok((sources, first.unwrap_or(Size::new(1, 1))))
}
