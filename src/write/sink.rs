//! Output memory that several workers write at once.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Size from which writes that bypass the caches are faster (measured: faster from about 16 MB, slower below 8 MB).
const LARGE: usize = 12 << 20;

/// An output buffer that several workers write at once, each to places that no other writes. Only this crate writes.
///
/// Who writes one borrows it mutably, so that two calls cannot write it at once:
///
/// ```
/// # use vlmres::{engine, geometry::Size, options::Filter, source::PixelView, threads::Threads, write::Sink};
/// # let (view, to) = (PixelView::packed(&[7; 3], Size::new(1, 1))?, Size::new(2, 2));
/// let mut pixels = [0; 12];
/// let mut sink = Sink::from_slice(&mut pixels);
/// engine::resize_into(view, to, Filter::Bicubic, "pillow".parse()?, &mut sink, Threads::ONE)?;
/// assert_eq!(pixels, [7; 12]);
/// # Ok::<(), vlmres::error::Error>(())
/// ```
///
/// ```compile_fail,E0499
/// # use vlmres::{engine, geometry::Size, options::Filter, source::PixelView, threads::Threads, write::Sink};
/// # let (view, to) = (PixelView::packed(&[7; 3], Size::new(1, 1))?, Size::new(2, 2));
/// # let pillow = "pillow".parse()?;
/// let mut pixels = [0; 12];
/// let mut sink = Sink::from_slice(&mut pixels);
/// std::thread::scope(|scope| {
///     scope.spawn(|| engine::resize_into(view, to, Filter::Bicubic, pillow, &mut sink, Threads::ONE));
///     scope.spawn(|| engine::resize_into(view, to, Filter::Bicubic, pillow, &mut sink, Threads::ONE));
/// });
/// # Ok::<(), vlmres::error::Error>(())
/// ```
pub struct Sink<'a, T> {
    start: *mut T,
    len: usize,
    past_caches: bool,
    marker: PhantomData<&'a mut [T]>,
}

// SAFETY: every write is bounds-checked and goes to a run that belongs to one row of one view of one image; the engine
// gives each such row to one worker.
unsafe impl<T: Send> Sync for Sink<'_, T> {}
// SAFETY: as above; the buffer is borrowed for the sink's lifetime.
unsafe impl<T: Send> Send for Sink<'_, T> {}

impl<'a, T: Copy> Sink<'a, T> {
    /// A sink over memory that need not be initialised.
    ///
    /// # Safety
    /// `start` must be valid for writes of `len` values, aligned, and used by nobody else for `'a`.
    pub unsafe fn new(start: *mut T, len: usize) -> Self {
        Self { start, len, past_caches: len * size_of::<T>() >= LARGE, marker: PhantomData }
    }

    /// A sink over a slice.
    pub fn from_slice(slice: &'a mut [T]) -> Self {
        // SAFETY: the slice is borrowed mutably for 'a.
        unsafe { Self::new(slice.as_mut_ptr(), slice.len()) }
    }

    /// A sink over memory that holds no values yet.
    pub fn from_uninit(slice: &'a mut [MaybeUninit<T>]) -> Self {
        // SAFETY: the slice is borrowed mutably for 'a, and a sink only writes.
        unsafe { Self::new(slice.as_mut_ptr().cast(), slice.len()) }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether writes bypass the caches, because the memory is too large to stay in them.
    pub(super) fn is_past_caches(&self) -> bool {
        self.past_caches
    }

    /// The same sink, with writes that bypass the caches or not.
    #[cfg(test)]
    pub(super) fn past_caches(self, past_caches: bool) -> Self {
        Self { past_caches, ..self }
    }

    /// Copies values to `at` and on.
    pub(crate) fn copy(&self, at: usize, values: &[T]) {
        let run = self.run(at, values.len());
        // SAFETY: `run` holds as many places, and a sink's memory is nobody else's.
        unsafe { run.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }

    /// Writes `count` values from `at` on.
    pub(super) fn write(&self, at: usize, count: usize, values: impl Iterator<Item = T>) {
        let run = self.run(at, count);
        for (index, value) in values.take(count).enumerate() {
            // SAFETY: `run` holds `count` places and `index < count`.
            unsafe { run.add(index).write(value) };
        }
    }

    /// Copies `count` values that this worker wrote from `from` to `to`.
    pub(crate) fn repeat(&self, from: usize, to: usize, count: usize) {
        let (from, to) = (self.run(from, count), self.run(to, count));
        // SAFETY: both runs lie in the buffer, and belong to this worker.
        unsafe { to.copy_from(from, count) };
    }

    /// Writes one value `count` times from `at` on.
    pub(crate) fn fill(&self, at: usize, count: usize, value: T) {
        let run = self.run(at, count);
        for index in 0..count {
            // SAFETY: `run` holds `count` places.
            unsafe { run.add(index).write(value) };
        }
    }

    /// `count` places from `at` on.
    pub(super) fn run(&self, at: usize, count: usize) -> *mut T {
        let end = at.checked_add(count);
        assert!(end.is_some_and(|end| end <= self.len), "a run of {count} at {at} leaves a buffer of {}", self.len);
        // SAFETY: the whole run lies in the buffer.
        unsafe { self.start.add(at) }
    }
}
