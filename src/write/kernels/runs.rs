//! Runs of values in whole cache lines, for any instruction set.
//!
//! Pixels are first parted into channels, in cache, as bytes. Values are then made in the order of the output, a line at a
//! time, so that the output is written from first to last byte with aligned stores, past the caches where it is large.
//! Functions here have no features of their own: they are inlined into those of an instruction set.

#![allow(clippy::inline_always)] // they would be slow elsewhere

use std::cell::Cell;

use super::{PatchRow, TileRows};
use crate::write::Sink;
use crate::write::values::Form;

/// Pixels that are parted at once.
pub(super) const PARTED: usize = 16;
/// Most patches that are written as one run.
const GROUP: usize = 4;
/// Bytes that a line's load may reach beyond a run of bytes on both sides.
pub(super) const REACH: usize = 64;
/// Most bytes of buffers that stay with a thread.
const MOST_KEPT: usize = 1 << 20;

/// An instruction set that fills lines.
///
/// # Safety of its functions
/// The machine must have the instruction set's features; what more a function demands is said there.
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

    /// Stores a line; past the caches if so.
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

    /// Parts [`PARTED`] pixels of packed RGB into channels.
    ///
    /// # Safety
    /// 64 bytes from `pixels` on must be readable, and [`PARTED`] bytes from each channel on writable.
    unsafe fn part(pixels: *const u8, channels: [*mut u8; 3]);

    /// Orders stores past the caches before all that follow.
    ///
    /// # Safety
    /// Nothing but the features.
    unsafe fn fence();

    /// Brings a line to the cache that will be written in part.
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
const fn step<I: Lines, T>() -> usize {
    I::BYTES / size_of::<T>()
}

/// Two buffers of a thread, used in turn, so that what is read was not written just before. They hold what an earlier user left.
struct Pair {
    bytes: Vec<u8>,
    /// Bytes of each.
    len: usize,
}

thread_local! {
    static PAIR: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Pair {
    /// Buffers of so many bytes each.
    fn take(len: usize) -> Self {
        let (mut bytes, len) = (PAIR.take(), len.next_multiple_of(REACH));
        if bytes.len() < 2 * len {
            bytes.resize(2 * len, 0);
        }
        Self { bytes, len }
    }

    /// Where they begin.
    fn starts(&mut self) -> [*mut u8; 2] {
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
struct Segment<'o, O> {
    bytes: *const u8,
    len: usize,
    operands: &'o O,
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
struct Target<T> {
    out: *mut T,
    past: bool,
}

impl<T> Target<T> {
    /// Values before the first whole line.
    fn head<I: Lines>(&self, len: usize) -> usize {
        self.out.align_offset(I::BYTES).min(len)
    }

    /// Asks for the lines that a run of `len` values fills in part only. A store that waits for its line holds up all that
    /// follow, those past the caches among them.
    #[inline(always)]
    fn prefetch<I: Lines>(&self, len: usize) {
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
    unsafe fn store<I: Lines>(&self, at: usize, line: I::Line) {
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
    unsafe fn store_first<I: Lines>(&self, at: usize, line: I::Line, count: usize) {
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
unsafe fn write<I: Values<T>, T>(segments: &[Segment<'_, I::Operands>], to: &Target<T>) {
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
            // In registers: what a reference points to would be read again after every store.
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

/// As [`super::Kernels::merged`]; false where patches are too small.
///
/// # Safety
/// The machine must have the features. The row's lines must be as [`PatchRow`] says: each patch's `size` lines of `3 * size`
/// bytes lie in them, and [`super::SLACK`] bytes before and after. No other worker may write the patches' places in the sink.
#[inline(always)]
pub(super) unsafe fn merged<I: Values<T>, T: Copy>(
    row: &PatchRow<'_>,
    temporal: usize,
    form: Form,
    sink: &Sink<'_, T>,
) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        match row.size {
            14 => merged_of::<I, T, 14>(row, temporal, form, sink),
            16 => merged_of::<I, T, 16>(row, temporal, form, sink),
            _ => merged_of::<I, T, 0>(row, temporal, form, sink),
        }
    }
}

/// `SIZE` is the patch side, or zero where it is not constant.
///
/// # Safety
/// As of [`merged`].
#[inline(always)]
unsafe fn merged_of<I: Values<T>, T: Copy, const SIZE: usize>(
    row: &PatchRow<'_>,
    temporal: usize,
    form: Form,
    sink: &Sink<'_, T>,
) -> bool {
    let size = if SIZE == 0 { row.size } else { SIZE };
    let plane = size * size;
    if plane < const { step::<I, T>() } {
        return false;
    }
    let stride = REACH + plane + REACH;
    // SAFETY: the caller has the features; every plane has REACH on both sides, and a line of pixels SLACK after it.
    unsafe {
        let operands = [0, 1, 2].map(|channel| I::operands(form, |_| channel));
        let mut parted = Pair::take(stride * 3 * GROUP);
        let starts = parted.starts();
        let segments = starts.map(|start| {
            let of = |plane_index: usize| Segment {
                bytes: start.add(plane_index * stride + REACH).cast_const(),
                len: plane,
                operands: &operands[plane_index % 3],
            };
            (0..3 * temporal * GROUP).map(|index| of(index / temporal)).collect::<Vec<_>>()
        });
        let past = sink.is_past_caches();
        let len = 3 * temporal * plane;
        let target = |to: usize, count: usize| Target { out: sink.run(to, count * len), past };
        let mut waiting: Option<(usize, usize)> = None;
        // One place that writes, with no closure around it: what is not inlined here has no features.
        for (index, group) in row.groups(len, GROUP).map(Some).chain([None]).enumerate() {
            for (patch, &(from, _)) in group.iter().flat_map(|group| group.iter().enumerate()) {
                let start = starts[index % 2].add(patch * 3 * stride + REACH);
                for line in 0..size {
                    for done in (0..size).step_by(PARTED) {
                        let pixels = row.start(from, line).add(done * 3);
                        // What a store spills beyond the line is overwritten by the next line, or lies beyond the plane.
                        let at = start.add(line * size + done);
                        I::part(pixels, [at, at.add(stride), at.add(2 * stride)]);
                    }
                }
            }
            if let Some((to, count)) = waiting {
                write::<I, T>(&segments[1 - index % 2][..count * 3 * temporal], &target(to, count));
            }
            waiting = group.map(|group| (group[0].1, group.len()));
            if let Some((to, count)) = waiting {
                target(to, count).prefetch::<I>(count * len);
            }
        }
        if past {
            I::fence();
        }
    }
    true
}

/// As [`super::Kernels::flat`]; false where patches are too small.
///
/// # Safety
/// As of [`merged`].
#[inline(always)]
pub(super) unsafe fn flat<I: Values<T>, T: Copy>(row: &PatchRow<'_>, form: Form, sink: &Sink<'_, T>) -> bool {
    let step = const { step::<I, T>() };
    let (width, total) = (row.size * 3, row.size * row.size * 3);
    if total < step {
        return false;
    }
    if size_of::<T>() == 1 {
        // SAFETY: as the caller promises; a byte has one type.
        unsafe { joined::<I, T>(row, sink) };
        return true;
    }
    let mut joined = Pair::take(total * GROUP + REACH);
    let starts = joined.starts();
    // SAFETY: the caller has the features; joined lines have REACH after them, and a line of pixels SLACK, which is as much.
    unsafe {
        let phases = [0, 1, 2].map(|phase| I::operands(form, |lane| (lane + phase) % 3));
        let past = sink.is_past_caches();
        let target = |to: usize, total: usize| Target { out: sink.run(to, total), past };
        let mut waiting: Option<(usize, usize)> = None;
        for (index, group) in row.groups(total, GROUP).map(Some).chain([None]).enumerate() {
            for (patch, &(from, _)) in group.iter().flat_map(|group| group.iter().enumerate()) {
                for line in 0..row.size {
                    for done in (0..width).step_by(REACH) {
                        // Whole vectors: what they spill beyond the line is overwritten by the next line, or not read.
                        let from = row.start(from, line).add(done);
                        let to = starts[index % 2].add((patch * row.size + line) * width + done);
                        to.copy_from_nonoverlapping(from, REACH);
                    }
                }
            }
            if let Some((to, total)) = waiting {
                let to = target(to, total);
                let bytes = starts[1 - index % 2].cast_const();
                let mut at = to.head::<I>(total);
                to.store_first::<I>(0, I::line(bytes, &phases[0]), at);
                while at + step <= total {
                    to.store::<I>(at, I::line(bytes.add(at), &phases[at % 3]));
                    at += step;
                }
                to.store_first::<I>(at, I::line(bytes.add(at), &phases[at % 3]), total - at);
            }
            waiting = group.map(|group| (group[0].1, group.len() * total));
            if let Some((to, total)) = waiting {
                target(to, total).prefetch::<I>(total);
            }
        }
        if past {
            I::fence();
        }
    }
    true
}

/// Lines of flat patches of bytes, joined in registers to lines of the output.
///
/// # Safety
/// As of [`merged`]; `T` must have one byte, and a patch no fewer bytes than a line.
#[inline(always)]
unsafe fn joined<I: Lines, T: Copy>(row: &PatchRow<'_>, sink: &Sink<'_, T>) {
    let (width, total) = (row.size * 3, row.size * row.size * 3);
    let past = sink.is_past_caches();
    // SAFETY: the caller has the features; a load reaches at most SLACK beyond the lines, on either side.
    unsafe {
        for run in row.runs(total) {
            let len = run.len() * total;
            let to = Target { out: sink.run(run[0].1, len), past };
            to.prefetch::<I>(len);
            let head = to.head::<I>(len);
            // What fills the output's line so far, how much that is, and where the line begins. The output's first bytes
            // are a line of their own, of which the rest is written again.
            let mut line = I::load(row.start(run[0].0, 0));
            let (mut filled, mut at, mut end) = (0, 0, if head > 0 { head } else { I::BYTES });
            for &(from, _) in run {
                for source in 0..row.size {
                    let bytes = row.start(from, source);
                    let mut used = 0;
                    while filled + (width - used) >= end {
                        let whole = I::splice(line, I::load(bytes.add(used).wrapping_sub(filled)), filled);
                        if end == I::BYTES {
                            to.store::<I>(at, whole);
                        } else {
                            to.store_first::<I>(at, whole, end);
                        }
                        (at, used, filled, end) = (at + end, used + (end - filled), 0, I::BYTES);
                    }
                    line = I::splice(line, I::load(bytes.add(used).wrapping_sub(filled)), filled);
                    filled += width - used;
                }
            }
            to.store_first::<I>(at, line, filled);
        }
        if past {
            I::fence();
        }
    }
}

/// As [`super::Kernels::planar`]; false where tiles are too small.
///
/// # Safety
/// The machine must have the features. The rows must be as [`TileRows`] says: of each tile, `count` lines of `3 * width` bytes
/// lie in the lines, and [`super::SLACK`] bytes after them. No other worker may write the tiles' places in the sink.
#[inline(always)]
pub(super) unsafe fn planar<I: Values<T>, T: Copy>(rows: &TileRows<'_>, form: Form, sink: &Sink<'_, T>) -> bool {
    let len = rows.width * rows.count;
    if len < const { step::<I, T>() } {
        return false;
    }
    let stride = len + REACH;
    // SAFETY: the caller has the features; every channel has REACH after it, and a row of pixels SLACK.
    unsafe {
        let operands = [0, 1, 2].map(|channel| I::operands(form, |_| channel));
        let mut parted = Pair::take(stride * 3);
        let starts = parted.starts();
        let past = sink.is_past_caches();
        let mut waiting: Option<usize> = None;
        for (index, tile) in rows.tiles.iter().copied().map(Some).chain([None]).enumerate() {
            for (row, (from, _)) in (0..rows.count).filter_map(|row| tile.map(|tile| (row, tile))) {
                for done in (0..rows.width).step_by(PARTED) {
                    let pixels = rows.lines.as_ptr().add(row * rows.stride + from + done * 3);
                    // What a store spills beyond the row is overwritten by the next row, or lies beyond the channel.
                    let at = starts[index % 2].add(row * rows.width + done);
                    I::part(pixels, [at, at.add(stride), at.add(2 * stride)]);
                }
            }
            for (channel, to) in (0..3).filter_map(|channel| waiting.map(|to| (channel, to))) {
                let bytes = starts[1 - index % 2].add(channel * stride).cast_const();
                let to = Target { out: sink.run(to + channel * rows.plane, len), past };
                to.prefetch::<I>(len);
                write::<I, T>(&[Segment { bytes, len, operands: &operands[channel] }], &to);
            }
            waiting = tile.map(|(_, to)| to);
        }
        if past {
            I::fence();
        }
    }
    true
}

/// The functions of an instruction set that the rest calls, with its features.
macro_rules! entries {
    ($isa:ty, $features:literal) => {
        /// As [`super::reproduces`].
        ///
        /// # Safety
        /// The machine must have the features.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn reproduces(form: Form, exact: &[[f32; 256]; 3]) -> bool {
            // SAFETY: as the caller promises.
            unsafe { floats::reproduces::<$isa>(form, exact) }
        }

        /// As [`super::Kernels::merged`]; false where patches are too small.
        ///
        /// # Safety
        /// As of [`runs::merged`].
        #[target_feature(enable = $features)]
        pub(super) unsafe fn merged<T: Copy>(
            row: &PatchRow<'_>,
            temporal: usize,
            form: Form,
            sink: &Sink<'_, T>,
        ) -> bool
        where
            $isa: Values<T>,
        {
            // SAFETY: as the caller promises.
            unsafe { runs::merged::<$isa, T>(row, temporal, form, sink) }
        }

        /// As [`super::Kernels::flat`]; false where patches are too small.
        ///
        /// # Safety
        /// As of [`runs::flat`].
        #[target_feature(enable = $features)]
        pub(super) unsafe fn flat<T: Copy>(row: &PatchRow<'_>, form: Form, sink: &Sink<'_, T>) -> bool
        where
            $isa: Values<T>,
        {
            // SAFETY: as the caller promises.
            unsafe { runs::flat::<$isa, T>(row, form, sink) }
        }

        /// As [`super::Kernels::planar`]; false where tiles are too small.
        ///
        /// # Safety
        /// As of [`runs::planar`].
        #[target_feature(enable = $features)]
        pub(super) unsafe fn planar<T: Copy>(rows: &TileRows<'_>, form: Form, sink: &Sink<'_, T>) -> bool
        where
            $isa: Values<T>,
        {
            // SAFETY: as the caller promises.
            unsafe { runs::planar::<$isa, T>(rows, form, sink) }
        }
    };
}
pub(super) use entries;
