//! A call: images or videos, planned once from their headers, laid out, then decoded and written.

mod compact;
mod entry;
mod run;
mod source;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use source::{DeferredImage, Input, PixelOwner};

use self::compact::Before;
use self::entry::{Entry, gather};
use self::source::Source;
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::resample::Arithmetic;
use crate::source::Decoder;
use crate::threads::Threads;
use crate::write::{BatchLayout, DType, LayoutKind};

/// How a call's items become tensors.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The form of the batch.
    pub layout: LayoutKind,
    /// The type of pixel values.
    pub dtype: DType,
    /// Whose rounding to follow.
    pub arithmetic: Arithmetic,
    /// Whether a JPEG is decoded to a half, a quarter or an eighth of its sides if no view of its plan is larger.
    pub scaled: bool,
    /// Limits of files, images and outputs.
    pub limits: Limits,
    /// Which decoder reads files.
    pub decoder: Decoder,
}

/// One item of a call.
pub enum Item<'a> {
    /// An image.
    Image(Input<'a>),
    /// An image with a recipe of its own, which differs from the call's in its views only.
    Drawn(Input<'a>, Arc<Recipe>),
    /// An image with a known plan, which was made for a sample of one.
    Planned(Input<'a>, Arc<Plan>),
    /// An image whose plan is fixed, whatever the number of images in its sample.
    Settled(Input<'a>, Arc<Plan>),
    /// The frames of a video.
    Video(Vec<Input<'a>>),
    /// The frames of a video whose plan is fixed.
    SettledVideo(Vec<Input<'a>>, Arc<Plan>),
    /// An item that the caller has refused already. It only keeps its index.
    Refused,
}

/// The error of an item.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its index.
    pub item: usize,
    /// The bad frame of a video.
    pub frame: Option<usize>,
    /// The error.
    pub error: Error,
}

impl Failure {
    /// Brings failures into the order of their items and frames.
    pub fn sort(failures: &mut [Self]) {
        failures.sort_by_key(|failure| (failure.item, failure.frame));
    }
}

/// A call: images or videos that become the tensors of a batch.
pub struct Call<'a> {
    recipe: Arc<Recipe>,
    settings: Settings,
    items: Vec<Entry<'a>>,
    /// Number of items of each sample, including those that are left out.
    samples: Option<Vec<usize>>,
    /// The layout of the remaining items, once it is made.
    layout: Option<BatchLayout>,
    /// Whether an item's values are in their places.
    written: Vec<bool>,
    /// Whether the alpha of dark transparent pixels was dropped.
    dark: AtomicBool,
    /// The batch before items were left out, until the next layout.
    before: Option<Before>,
}

impl<'a> Call<'a> {
    /// Reads headers and makes plans. `samples` are the numbers of items of each sample. Bad items are left out: the
    /// others are planned and laid out as if the bad ones did not exist.
    pub fn new(
        recipe: Arc<Recipe>,
        settings: Settings,
        items: Vec<Item<'a>>,
        samples: Option<Vec<usize>>,
        threads: Threads,
    ) -> Result<(Self, Vec<Failure>)> {
        if let Some(counts) = samples.as_ref().filter(|counts| counts.iter().sum::<usize>() != items.len()) {
            return Err(Error::Argument(format!("samples of {counts:?} images for {} images", items.len())));
        }
        let mut inputs = Vec::with_capacity(items.len());
        let mut shapes = Vec::with_capacity(items.len());
        for item in items {
            let before = inputs.len();
            let is_video = matches!(item, Item::Video(_) | Item::SettledVideo(..));
            let settled = matches!(item, Item::Settled(..) | Item::SettledVideo(..));
            let (mut known, mut drawn) = (None, None);
            match item {
                Item::Image(input) => inputs.push(input),
                Item::Drawn(input, own) => {
                    check_alike(&recipe, &own, settings.layout)?;
                    inputs.push(input);
                    drawn = Some(own);
                }
                Item::Planned(input, plan) | Item::Settled(input, plan) => {
                    inputs.push(input);
                    known = Some(plan);
                }
                Item::Video(frames) => inputs.extend(frames),
                Item::SettledVideo(frames, plan) => {
                    inputs.extend(frames);
                    known = Some(plan);
                }
                Item::Refused => {}
            }
            shapes.push((inputs.len() - before, is_video, drawn, known, settled));
        }
        let mut opened = Source::open_all(inputs, &settings.limits, &settings.decoder, threads).into_iter();
        let mut call = Self {
            recipe,
            settings,
            items: Vec::with_capacity(shapes.len()),
            samples,
            layout: None,
            written: vec![false; shapes.len()],
            dark: AtomicBool::new(false),
            before: None,
        };
        let mut failures = Vec::new();
        for (item, (count, is_video, drawn, known, settled)) in shapes.into_iter().enumerate() {
            let opened: Vec<_> = opened.by_ref().take(count).collect();
            let (mut sources, size) = gather(opened, is_video).unwrap_or_else(|(frame, error)| {
                failures.push(Failure { item, frame, error });
                (Vec::new(), Size::new(1, 1))
            });
            let fits = |plan: &Arc<Plan>| plan.size == size && plan.num_frames() as usize == sources.len();
            let plan = known.filter(|plan| !sources.is_empty() && fits(plan));
            if settled && plan.is_none() && !sources.is_empty() {
                let error = Error::Argument("its size differs from its plan's".into());
                failures.push(Failure { item, frame: None, error });
                sources.clear();
            }
            let among = usize::from(plan.is_some());
            call.items.push(Entry { sources, size, is_video, recipe: drawn, plan, among, settled });
        }
        call.plan(&mut failures);
        Ok((call, failures))
    }

    /// Leaves out items that turned out bad. The rest is planned as if they did not exist, and must be laid out again.
    /// Items that cannot be planned then are left out and returned, too.
    pub fn leave_out(&mut self, items: impl IntoIterator<Item = usize>) -> Vec<Failure> {
        if let Some(layout) = self.layout.take() {
            let plans = self.items.iter().map(|entry| entry.plan.clone()).collect();
            let written = std::mem::replace(&mut self.written, vec![false; self.items.len()]);
            self.before = Some(Before { layout, plans, written });
        }
        for item in items {
            self.items[item].leave_out();
        }
        let mut failures = Vec::new();
        self.plan(&mut failures);
        failures
    }

    /// Plans the items whose plan does not fit the present size of their sample.
    fn plan(&mut self, failures: &mut Vec<Failure>) {
        self.layout = None;
        loop {
            let before = failures.len();
            for (item, among) in self.images_of_samples().into_iter().enumerate() {
                let entry = &mut self.items[item];
                if entry.is_left() && !entry.settled && entry.among != among {
                    match entry.planned(&self.recipe, among) {
                        Ok(plan) => (entry.plan, entry.among) = (Some(Arc::new(plan)), among),
                        Err(error) => {
                            entry.leave_out();
                            failures.push(Failure { item, frame: None, error });
                        }
                    }
                }
            }
            // When an item is left out, the others of its sample are among fewer.
            if failures.len() == before || self.samples.is_none() {
                break;
            }
        }
        Failure::sort(failures);
    }

    /// Lays out the remaining items, if any. If they are over the limit of outputs, items that are over it alone are
    /// left out and returned.
    pub fn lay_out(&mut self) -> Result<Vec<Failure>> {
        if self.layout.is_some() || self.left().next().is_none() {
            return Ok(Vec::new());
        }
        let error = match self.laid_out() {
            Ok(layout) => {
                self.layout = Some(layout);
                return Ok(Vec::new());
            }
            Err(error) => error,
        };
        let alone = |(item, entry): (usize, &Entry<'_>)| {
            let plan = entry.plan.as_deref()?;
            let error = self.layout_of(&[plan], None, entry.sources.len()).err()?;
            Some(Failure { item, frame: None, error })
        };
        let mut failures: Vec<Failure> = self.items.iter().enumerate().filter_map(alone).collect();
        if failures.is_empty() {
            return Err(error);
        }
        let planned = self.leave_out(failures.iter().map(|failure| failure.item).collect::<Vec<_>>());
        failures.extend(planned);
        if self.left().next().is_some() {
            self.layout = Some(self.laid_out()?);
        }
        Failure::sort(&mut failures);
        Ok(failures)
    }

    fn laid_out(&self) -> Result<BatchLayout> {
        let plans: Vec<&Plan> = self.items.iter().filter_map(|entry| entry.plan.as_deref()).collect();
        let counts = self.samples.as_ref().map(|_| self.left_in_samples());
        let images = self.items.iter().map(|entry| entry.sources.len()).sum();
        self.layout_of(&plans, counts.as_deref(), images)
    }

    fn layout_of(&self, plans: &[&Plan], samples: Option<&[usize]>, images: usize) -> Result<BatchLayout> {
        let Settings { layout, dtype, limits, .. } = &self.settings;
        BatchLayout::new(&self.recipe, plans, *layout, samples, limits.outputs(images, dtype.size()))
    }

    /// The number of remaining items of each sample.
    fn left_in_samples(&self) -> Vec<usize> {
        let mut items = self.items.iter();
        let left = |&count: &usize| items.by_ref().take(count).filter(|entry| entry.is_left()).count();
        self.samples.iter().flatten().map(left).collect()
    }

    /// For every item, the number of images of its sample.
    fn images_of_samples(&self) -> Vec<usize> {
        let Some(samples) = &self.samples else { return vec![1; self.items.len()] };
        let counts = samples.iter().zip(self.left_in_samples());
        counts.flat_map(|(&count, left)| std::iter::repeat_n(left, count)).collect()
    }

    /// Indices of the remaining items.
    pub fn left(&self) -> impl Iterator<Item = usize> {
        self.items.iter().enumerate().filter(|(_, entry)| entry.is_left()).map(|(index, _)| index)
    }

    /// The plan of every item; none for an item that is left out.
    pub fn plans(&self) -> impl Iterator<Item = Option<&Arc<Plan>>> {
        self.items.iter().map(|entry| entry.plan.as_ref())
    }

    /// The type of pixel values.
    pub fn dtype(&self) -> DType {
        self.settings.dtype
    }

    /// Whether the alpha of dark transparent pixels of a PNG was dropped, so that a page may have become black.
    pub fn is_dark(&self) -> bool {
        self.dark.load(Ordering::Relaxed)
    }

    /// The layout, if it is made.
    pub fn layout(&self) -> Option<&BatchLayout> {
        self.layout.as_ref()
    }
}

/// Refuses a recipe whose images cannot be in one batch with those of another recipe: the two may differ in their views
/// only.
fn check_alike(one: &Recipe, other: &Recipe, layout: LayoutKind) -> Result<()> {
    let parts = [
        ("pixels", one.pixels == other.pixels),
        ("patches", one.patches == other.patches),
        ("outputs", layout == LayoutKind::Packed || one.outputs == other.outputs),
        ("tokens", layout == LayoutKind::Packed || one.tokens.stride == other.tokens.stride),
    ];
    match parts.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((part, _)) => Err(Error::Argument(format!(
            "recipes {:?} and {:?} cannot be in one batch: their {part} differ",
            one.name(),
            other.name()
        ))),
    }
}
