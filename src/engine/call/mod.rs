//! A call: images or videos, planned once from their headers, laid out, then decoded and written.

mod compact;
mod run;
mod source;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use source::{DeferredImage, Input, PixelOwner};

use self::compact::Before;
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
    /// Whose bits.
    pub arithmetic: Arithmetic,
    /// Whether a JPEG is decoded to a half, a quarter or an eighth of its sides where every view of its plan is at most that
    /// large.
    pub scaled: bool,
    /// The most that files, images and outputs may take.
    pub limits: Limits,
    /// Who decodes.
    pub decoder: Decoder,
}

/// One item of a call.
pub enum Item<'a> {
    /// An image.
    Image(Input<'a>),
    /// One that is planned by a recipe of its own, which makes the same values of pixels as the call's.
    Drawn(Input<'a>, Arc<Recipe>),
    /// One whose plan, alone in its sample, is known already.
    Planned(Input<'a>, Arc<Plan>),
    /// One whose plan is settled, however many images its sample has.
    Settled(Input<'a>, Arc<Plan>),
    /// The frames of a video.
    Video(Vec<Input<'a>>),
    /// Those of one whose plan is settled.
    SettledVideo(Vec<Input<'a>>, Arc<Plan>),
    /// Something that the caller has refused already: it has an index, and that is all.
    Refused,
}

/// What is wrong with an item.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its index.
    pub item: usize,
    /// The frame of a video that is to blame.
    pub frame: Option<usize>,
    /// What is wrong.
    pub error: Error,
}

/// Images or videos on their way to the tensors of a batch.
pub struct Call<'a> {
    recipe: Arc<Recipe>,
    settings: Settings,
    items: Vec<Entry<'a>>,
    /// Items of each sample, those that are left out too.
    samples: Option<Vec<usize>>,
    /// Of the items that are left, once they are laid out.
    layout: Option<BatchLayout>,
    /// Whether an item's values are in their places.
    written: Vec<bool>,
    /// Whether alpha was dropped of dark pixels that were transparent.
    dark: AtomicBool,
    /// The batch before items were left out, until it is laid out anew.
    before: Option<Before>,
}

/// An item, and what is known of it.
struct Entry<'a> {
    /// The image, or the frames; none of an item that is left out.
    sources: Vec<Source<'a>>,
    size: Size,
    is_video: bool,
    /// Its own, in place of the call's.
    recipe: Option<Arc<Recipe>>,
    plan: Option<Arc<Plan>>,
    /// For how many images in its sample it is planned.
    among: usize,
    /// Whether its plan stays, however many they are.
    settled: bool,
}

impl<'a> Call<'a> {
    /// Reads headers and plans. `samples` are the numbers of items of each sample. Items with which something is wrong are
    /// left out: the batch is that of the others, plans included.
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
                let error = Error::Argument("its size is not that of its plan".into());
                failures.push(Failure { item, frame: None, error });
                sources.clear();
            }
            let among = usize::from(plan.is_some());
            call.items.push(Entry { sources, size, is_video, recipe: drawn, plan, among, settled });
        }
        call.plan(&mut failures);
        Ok((call, failures))
    }

    /// Leaves out items that turned out bad: the rest is planned as without them, and to be laid out anew. Items that cannot be
    /// planned so are left out, too, and returned.
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

    /// Plans what is not planned for its sample as it is.
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
            // Where one goes, its sample's others are among fewer.
            if failures.len() == before || self.samples.is_none() {
                break;
            }
        }
        failures.sort_by_key(|failure| failure.item);
    }

    /// Lays out the items that are left, if any. Where that cannot be done, as they are over the limit of outputs, those that cannot
    /// be laid out on their own either are left out and returned.
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
        failures.sort_by_key(|failure| failure.item);
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

    /// How many items of each sample are left.
    fn left_in_samples(&self) -> Vec<usize> {
        let mut items = self.items.iter();
        let left = |&count: &usize| items.by_ref().take(count).filter(|entry| entry.is_left()).count();
        self.samples.iter().flatten().map(left).collect()
    }

    /// Of every item, how many images its sample has.
    fn images_of_samples(&self) -> Vec<usize> {
        let Some(samples) = &self.samples else { return vec![1; self.items.len()] };
        let counts = samples.iter().zip(self.left_in_samples());
        counts.flat_map(|(&count, left)| std::iter::repeat_n(left, count)).collect()
    }

    /// Indices of the items that are left.
    pub fn left(&self) -> impl Iterator<Item = usize> {
        self.items.iter().enumerate().filter(|(_, entry)| entry.is_left()).map(|(index, _)| index)
    }

    /// The plan of every item; none of those that are left out.
    pub fn plans(&self) -> impl Iterator<Item = Option<&Arc<Plan>>> {
        self.items.iter().map(|entry| entry.plan.as_ref())
    }

    /// The type of pixel values.
    pub fn dtype(&self) -> DType {
        self.settings.dtype
    }

    /// Whether the alpha of a PNG was dropped where dark pixels were transparent: a page may have become black.
    pub fn is_dark(&self) -> bool {
        self.dark.load(Ordering::Relaxed)
    }

    /// The layout, where there is one.
    pub fn layout(&self) -> Option<&BatchLayout> {
        self.layout.as_ref()
    }
}

impl Entry<'_> {
    fn is_left(&self) -> bool {
        !self.sources.is_empty()
    }

    fn leave_out(&mut self) {
        self.sources = Vec::new();
        self.plan = None;
    }

    fn planned(&self, recipe: &Recipe, among: usize) -> Result<Plan> {
        let recipe = self.recipe.as_deref().unwrap_or(recipe);
        if self.is_video {
            Plan::of_video(recipe, self.size, self.sources.len() as i64)
        } else {
            Plan::among(recipe, self.size, among)
        }
    }
}

/// Refuses a recipe whose plans cannot be in a batch of another's: only its views may differ, what is made of their pixels not.
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

/// The sources of an item and their size, or what is wrong and with which frame.
fn gather(
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
