//! The work of a call: decoding, resizing and writing image by image, on several threads.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::super::streamed::reads_in_order;
use super::super::write::{Image, Output, SERIAL_BYTES, Typed};
use super::source::Source;
use super::{Call, Entry, Failure};
use crate::error::{Error, Result};
use crate::options::Backend;
use crate::plan::Plan;
use crate::recipe::Convert;
use crate::source::{ColourKey, OwnedImage, Streamed, recycle, take_dark};
use crate::threads::{Crew, Phase, Threads, check_stopped, parallel, timed};
use crate::write::{Element, Placement, Sink, Tensor};

/// Cost of decoding a pixel, relative to resizing one.
const DECODING: u64 = 8;
/// An image that costs more than a thread's share divided by this is resized by all threads together.
const PARTS_OF_A_SHARE: u64 = 8;

/// Bytes of padding that are written at once.
const FILL_BYTES: usize = 4 << 20;

/// An image or a frame that must be written.
struct Task<'c> {
    item: usize,
    frame: Option<usize>,
    source: &'c Source<'c>,
    plan: &'c Plan,
    placements: &'c [Placement],
}

/// The threads that work.
#[derive(Clone, Copy)]
enum By<'a> {
    /// This many threads of the process's pool, including the caller's.
    Threads(Threads),
    /// A crew, which calls share.
    Crew(&'a Crew),
}

/// A job of a thread: an image as a whole, or only its decoding.
#[derive(Clone, Copy)]
enum Job {
    Whole(usize),
    Decode(usize),
}

impl Call<'_> {
    /// Writes the batch: every value of the layout's tensors that is not written yet. `sinks` are the memory of the
    /// tensors, in order. Items that turn out bad are returned in order; the contents of their places are undefined.
    pub fn run<T: Element>(&mut self, sinks: &mut [Sink<'_, T>], threads: Threads) -> Result<Vec<Failure>> {
        self.run_by(sinks, By::Threads(threads))
    }

    /// As [`Call::run`], on a crew's threads while the caller's waits. One thread handles an image from its file to its
    /// values.
    pub fn run_by_crew<T: Element>(&mut self, sinks: &mut [Sink<'_, T>], crew: &Crew) -> Result<Vec<Failure>> {
        self.run_by(sinks, By::Crew(crew))
    }

    fn run_by<T: Element>(&mut self, sinks: &mut [Sink<'_, T>], by: By<'_>) -> Result<Vec<Failure>> {
        let Some(layout) = &self.layout else { return Ok(Vec::new()) };
        let sinks = &*sinks;
        let lengths = sinks.iter().map(Sink::len);
        if T::DTYPE != self.settings.dtype || !lengths.eq(layout.tensors.iter().map(Tensor::len)) {
            return Err(Error::Argument("the buffers do not match the tensors in number, type or length".into()));
        }
        let (pixels, arithmetic) = (&self.recipe.pixels, self.settings.arithmetic);
        let typed = Typed::new(pixels, arithmetic.backend, sinks)?;
        let output = Output { pixels, arithmetic, destination: &typed };
        let tasks = self.tasks(&layout.placements);
        let bytes: usize = layout.tensors.iter().map(|tensor| tensor.len() * size_of::<T>()).sum();
        // A thread has two decoded images at most.
        let largest = tasks.iter().map(|task| task.source.decoding_bytes()).max().unwrap_or(0).max(1);
        let together = (self.settings.limits.decoded_bytes / 2 / largest) as usize;
        let mut failures = match by {
            By::Crew(crew) if crew.threads().get() <= together => {
                let zeros = crew.run(&[()], false, |()| write_zeros(&layout.tensors, sinks, Threads::ONE))?;
                zeros.into_iter().collect::<Result<()>>()?;
                let done = crew.run(&tasks, true, |task| self.write_whole(task, &output))?;
                let failed = |(task, done): (&Task<'_>, Result<()>)| Some(task.failure(done.err()?));
                tasks.iter().zip(done).filter_map(failed).collect()
            }
            by => {
                let threads = match by {
                    By::Threads(threads) => threads,
                    By::Crew(crew) => crew.threads(),
                };
                let bands = if bytes < SERIAL_BYTES { Threads::ONE } else { threads };
                write_zeros(&layout.tensors, sinks, bands)?;
                // Decoding justifies a thread, however small the result.
                let images = if tasks.iter().any(|task| task.source.is_encoded()) { threads } else { bands };
                let images = Threads::new(images.get().min(together));
                self.run_tasks(&tasks, &output, images, bands)
            }
        };
        Failure::sort(&mut failures);
        failures.dedup_by_key(|failure| failure.item);
        self.written = self.items.iter().map(Entry::is_left).collect();
        for failure in &failures {
            self.written[failure.item] = false;
        }
        Ok(failures)
    }

    fn run_tasks(&self, tasks: &[Task<'_>], output: &Output<'_>, images: Threads, bands: Threads) -> Vec<Failure> {
        let jobs = jobs(tasks, images, bands);
        // Those that no image keeps busy.
        let each = Threads::new(bands.get() / jobs.len().max(1));
        let done = parallel(&jobs, images, |job| match *job {
            Job::Whole(index) => self.write_whole(&tasks[index], output).map(|()| None),
            Job::Decode(index) => self.decode(&tasks[index], each),
        });
        let mut failures = Vec::new();
        let mut shared = Vec::new();
        for (job, done) in jobs.into_iter().zip(done) {
            match (job, done) {
                (Job::Whole(index) | Job::Decode(index), Err(error)) => failures.push(tasks[index].failure(error)),
                (Job::Decode(index), Ok(decoded)) => shared.push((&tasks[index], decoded)),
                (Job::Whole(_), Ok(_)) => {}
            }
        }
        // In order, so that views with equal first stages are neighbours.
        shared.sort_by_key(|(task, _)| (task.item, task.frame));
        let mut written = Vec::with_capacity(shared.len());
        let mut views = Vec::with_capacity(shared.len());
        for (task, decoded) in &shared {
            match task.image(decoded.as_ref()) {
                Ok(image) => {
                    written.push(*task);
                    views.push(image);
                }
                Err(error) => failures.push(task.failure(error)),
            }
        }
        let failed = output.write(&views, bands);
        failures.extend(failed.into_iter().map(|(index, error)| written[index].failure(error)));
        for (_, decoded) in shared {
            decoded.into_iter().for_each(recycle);
        }
        failures
    }

    /// Decodes, resizes and writes an image while it, or some rows of it, are in cache.
    fn write_whole(&self, task: &Task<'_>, output: &Output<'_>) -> Result<()> {
        if let ([view], [to]) = (&task.plan.views[..], task.placements)
            && let Some(lies) = task.source.lies()
            && reads_in_order(view, task.plan.size, lies)
            && let Some(file) = task.streamed(self.settings.scaled)?
        {
            return output.stream(&file, view, to);
        }
        let decoded = self.decode(task, Threads::ONE)?;
        let failed = output.write(&[task.image(decoded.as_ref())?], Threads::ONE);
        decoded.into_iter().for_each(recycle);
        failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Whether a file's colour key becomes white. transformers' PIL backend composites it, if its recipe composites.
    /// The torchvision backend drops it, and so do videos.
    fn colour_key(&self, task: &Task<'_>) -> ColourKey {
        let composites = self.recipe.pixels.convert == Convert::White;
        let is_pillow = self.settings.arithmetic.backend == Backend::Pillow;
        if composites && is_pillow && task.frame.is_none() { ColourKey::White } else { ColourKey::Kept }
    }

    /// Decodes an image, on so many threads as its file lets work.
    fn decode(&self, task: &Task<'_>, threads: Threads) -> Result<Option<OwnedImage>> {
        check_stopped()?;
        let colour_key = self.colour_key(task);
        // Clears what earlier calls left on this thread.
        take_dark();
        let decoded = timed(Phase::Decode, || task.source.decode(task.plan, self.settings.scaled, colour_key, threads));
        if take_dark() {
            self.dark.store(true, Ordering::Relaxed);
        }
        decoded
    }

    /// All images and frames that are not written yet.
    fn tasks<'c>(&'c self, placements: &'c [Vec<Placement>]) -> Vec<Task<'c>> {
        let mut placements = placements.iter();
        let mut tasks = Vec::with_capacity(placements.len());
        for (item, entry) in self.items.iter().enumerate() {
            let Some(plan) = &entry.plan else { continue };
            let placements = placements.by_ref().take(entry.sources.len());
            if self.written[item] {
                placements.for_each(drop);
                continue;
            }
            for ((frame, source), placements) in entry.sources.iter().enumerate().zip(placements) {
                let frame = entry.is_video.then_some(frame);
                tasks.push(Task { item, frame, source, plan, placements });
            }
        }
        tasks
    }
}

impl Task<'_> {
    fn streamed(&self, scaled: bool) -> Result<Option<Streamed<'_>>> {
        check_stopped()?;
        timed(Phase::Decode, || self.source.streamed(self.plan, scaled))
    }

    fn image<'i>(&'i self, decoded: Option<&'i OwnedImage>) -> Result<Image<'i>> {
        let source = self.source.view(decoded, self.plan)?;
        Ok(Image { source, plan: self.plan, placements: self.placements })
    }

    fn failure(&self, error: Error) -> Failure {
        Failure { item: self.item, frame: self.frame, error }
    }

    /// Estimated cost, in resized pixels.
    fn cost(&self) -> u64 {
        let reading = if self.source.is_encoded() { DECODING } else { 1 };
        let written: u64 = self.plan.views.iter().map(|view| view.canvas().area()).sum();
        self.plan.size.area() * reading + written * 2
    }
}

/// Writes the padding.
fn write_zeros<T: Element>(tensors: &[Tensor], sinks: &[Sink<'_, T>], threads: Threads) -> Result<()> {
    let most = FILL_BYTES / size_of::<T>();
    let cut = |range: &Range<usize>| {
        let end = range.end;
        range.clone().step_by(most).map(move |start| start..end.min(start + most))
    };
    let zeros = tensors.iter().zip(sinks).map(|(tensor, sink)| (tensor.zeros.iter().flat_map(cut), sink));
    let pieces: Vec<_> = zeros.flat_map(|(ranges, sink)| ranges.map(move |range| (range, sink))).collect();
    let done = parallel(&pieces, threads, |(range, sink)| {
        check_stopped()?;
        timed(Phase::Write, || sink.fill(range.start, range.len(), T::zero()));
        Ok(())
    });
    done.into_iter().collect()
}

/// The jobs of the threads, in order. One thread handles an image from its file to its values, while it is in cache.
/// The largest images come first, so that none is left alone at the end. Images that are too large for one thread, at
/// most one per thread, are only decoded; then all threads write them together, in bands.
fn jobs(tasks: &[Task<'_>], images: Threads, bands: Threads) -> Vec<Job> {
    if images == Threads::ONE {
        return (0..tasks.len()).map(Job::Whole).collect();
    }
    let costs: Vec<u64> = tasks.iter().map(Task::cost).collect();
    let total: u64 = costs.iter().sum();
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(costs[index]));
    let is_large = |index: usize| costs[index].saturating_mul(images.get() as u64 * PARTS_OF_A_SHARE) > total;
    let most = if bands == Threads::ONE { 0 } else { images.get() };
    let place = |(place, index): (usize, usize)| {
        if place < most && is_large(index) { Job::Decode(index) } else { Job::Whole(index) }
    };
    order.into_iter().enumerate().map(place).collect()
}
