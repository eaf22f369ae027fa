//! Lines: the bytes that an instruction set stores at once, its operations on them, and runs of values written as
//! lines.
//!
//! Functions here have no features of their own: they are inlined into those of an instruction set.

#![allow(clippy::inline_always)] // they would be slow elsewhere

use std::cell::Cell;

use crate::write::values::Form;

/// Pixels that are split into channels at once.
pub(super) const PARTED: usize = 16;
/// Bytes that a line's load may reach beyond a run of bytes on both sides.
pub(super) const REACH: usize = 64;
/// Most bytes of buffers that stay with a thread.
const MOST_KEPT: usize = 1 << 20;

/// An instruction set that fills lines.
///
/// # Safety of its functions
/// The machine must have the instruction set's features. Each function states its further requirements.
pub(super) trait Lines: Copy {
    /// A line, or as much of one as a store takes.
    type Line: Copy;
    /// Its bytes.
    const BYTES: usize;

    /// Reads a line at any address.
    ///
    /// # Safety
    /// [`Self::BYTES`] bytes from `bytes` on must be readable.
    unsafe fn load(bytes: *const u8) -> Self::Line;

    /// Stores a line; with `PAST` the store bypasses the caches.
    ///
    /// # Safety
    /// `out` must be a multiple of [`Self::BYTES`], and as many bytes from there on must be writable.
    unsafe fn store<const PAST: bool>(out: *mut u8, line: Self::Line);

    /// Stores the first `count` bytes, at any address.
    ///
    /// # Safety
    /// `count` must be less than [`Self::BYTES`], and as many bytes from `out` on must be writable.
    unsafe fn store_first(out: *mut u8, line: Self::Line, count: usize);

    /// The first `count` bytes of `first`, then those of `second`.
    ///
    /// # Safety
    /// `count` must be less than [`Self::BYTES`].
    unsafe fn splice(first: Self::Line, second: Self::Line, count: usize) -> Self::Line;

    /// Splits [`PARTED`] pixels of packed RGB into channels.
    ///
    /// # Safety
    /// 64 bytes from `pixels` on must be readable, and [`PARTED`] bytes from each channel on writable.
    unsafe fn part(pixels: *const u8, channels: [*mut u8; 3]);

    /// Orders stores that bypass the caches before all later ones.
    ///
    /// # Safety
    /// Nothing but the features.
    unsafe fn fence();

    /// Prefetches a line of which only a part will be written.
    ///
    /// # Safety
    /// Nothing but the features: `out` may be any address.
    unsafe fn prefetch(out: *const u8);
}

/// Values of a type out of bytes.
pub(super) trait Values<T>: Lines {
    /// What normalisation needs for a line.
    type Operands: Copy;

    /// Operands of a line whose value `i` belongs to channel `channel(i)`.
    ///
    /// # Safety
    /// Nothing but the features.
    unsafe fn operands(form: Form, channel: impl Fn(usize) -> usize) -> Self::Operands;

    /// A line of values out of as many bytes.
    ///
    /// # Safety
    /// [`REACH`] bytes from `bytes` on must be readable.
    unsafe fn line(bytes: *const u8, operands: &Self::Operands) -> Self::Line;
}

/// Values in a line.
pub(super) const fn step<I: Lines, T>() -> usize {
    I::BYTES / size_of::<T>()
}

/// Two buffers of a thread, used in turn, so that data is not read immediately after it was written. Their initial
/// contents are undefined.
pub(super) struct Pair {
    bytes: Vec<u8>,
    /// Bytes of each.
    len: usize,
}

thread_local! {
    static PAIR: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Pair {
    /// Buffers of so many bytes each.
    pub(super) fn take(len: usize) -> Self {
        let (mut bytes, len) = (PAIR.take(), len.next_multiple_of(REACH));
        if bytes.len() < 2 * len {
            bytes.resize(2 * len, 0);
        }
        Self { bytes, len }
    }

    /// Where they begin.
    pub(super) fn starts(&mut self) -> [*mut u8; 2] {
        let (first, second) = self.bytes.split_at_mut(self.len);
        [first.as_mut_ptr(), second.as_mut_ptr()]
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if self.bytes.len() <= MOST_KEPT {
            PAIR.set(std::mem::take(&mut self.bytes));
        }
    }
}

/// A run of bytes of one channel, with [`REACH`] bytes that are readable before and after it.
pub(super) struct Segment<'o, O> {
    pub(super) bytes: *const u8,
    pub(super) len: usize,
    pub(super) operands: &'o O,
}

impl<O> Segment<'_, O> {
    /// The line that begins with value `at`, which may lie before the run.
    ///
    /// # Safety
    /// The machine must have the features, and `at` must be in `-REACH..=len`.
    #[inline(always)]
    unsafe fn line<I: Values<T, Operands = O>, T>(&self, at: isize) -> I::Line {
        // SAFETY: as the caller promises; REACH bytes from there on belong to the run or to what is around it.
        unsafe { I::line(self.bytes.offset(at), self.operands) }
    }
}

/// Where a run goes: a multiple of `T`'s alignment.
pub(super) struct Target<T> {
    pub(super) out: *mut T,
    pub(super) past: bool,
}

impl<T> Target<T> {
    /// Values before the first whole line.
    pub(super) fn head<I: Lines>(&self, len: usize) -> usize {
        self.out.align_offset(I::BYTES).min(len)
    }

    /// Prefetches the lines that a run of `len` values fills only in part. A store that waits for its line delays all
    /// later stores.
    #[inline(always)]
    pub(super) fn prefetch<I: Lines>(&self, len: usize) {
        let ends = [self.out.cast_const(), self.out.wrapping_add(len)];
        for end in ends.into_iter().filter(|end| self.past && !(*end as usize).is_multiple_of(I::BYTES)) {
            // SAFETY: a prefetch may have any address.
            unsafe { I::prefetch(end.cast()) };
        }
    }

    /// Stores a line at value `at`.
    ///
    /// # Safety
    /// The machine must have the features; that value's address must be a multiple of a line's bytes, and a line from there
    /// on must lie in the run.
    #[inline(always)]
    pub(super) unsafe fn store<I: Lines>(&self, at: usize, line: I::Line) {
        // SAFETY: as the caller promises.
        unsafe {
            let out = self.out.add(at).cast();
            if self.past { I::store::<true>(out, line) } else { I::store::<false>(out, line) }
        }
    }

    /// Stores the first `count` values of a line at value `at`.
    ///
    /// # Safety
    /// The machine must have the features; `count` must be fewer values than a line has, and they must lie in the run.
    #[inline(always)]
    pub(super) unsafe fn store_first<I: Lines>(&self, at: usize, line: I::Line, count: usize) {
        if count > 0 {
            // SAFETY: as the caller promises.
            unsafe { I::store_first(self.out.add(at).cast(), line, count * size_of::<T>()) };
        }
    }
}

/// Writes segments one after the other.
///
/// # Safety
/// The machine must have the features; there must be a segment, each must have at least a line's values, and the run at `to`
/// as many places as all have values together.
#[inline(always)]
pub(super) unsafe fn write<I: Values<T>, T>(segments: &[Segment<'_, I::Operands>], to: &Target<T>) {
    let step = const { step::<I, T>() };
    let total = segments.iter().map(|segment| segment.len).sum();
    let (mut index, mut start) = (0, 0);
    // SAFETY: a line within REACH of its segment may be read; `at` and `count` stay in the run.
    unsafe {
        let mut at = to.head::<I>(total);
        to.store_first::<I>(0, segments[0].line::<I, T>(0), at);
        while at < total {
            let segment = &segments[index];
            let end = start + segment.len;
            // Copied to registers: through a reference they would be read again after every store.
            let (bytes, operands) = (segment.bytes, *segment.operands);
            while at + step <= end {
                to.store::<I>(at, I::line(bytes.add(at - start), &operands));
                at += step;
            }
            if at < end {
                let mut line = segment.line::<I, T>((at - start) as isize);
                if end < total {
                    let count = end - at;
                    let second = segments[index + 1].line::<I, T>(-(count as isize));
                    line = I::splice(line, second, count * size_of::<T>());
                }
                if at + step <= total {
                    to.store::<I>(at, line);
                } else {
                    to.store_first::<I>(at, line, total - at);
                }
                at += step;
            }
            (index, start) = (index + 1, end);
        }
    }
}
