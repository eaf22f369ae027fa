//! Runs of values in whole cache lines, for any instruction set.
//!
//! Pixels are first split into channels, as bytes in cache. Values are then made in the order of the output, a line at
//! a time. So the output is written from its first to its last byte with aligned stores, which bypass the caches if it
//! is large. Functions here have no features of their own: they are inlined into those of an instruction set.

#![allow(clippy::inline_always)] // they would be slow elsewhere

use super::lines::{Lines, PARTED, Pair, REACH, Segment, Target, Values, step, write};
use super::{PatchRow, TileRows};
use crate::write::Sink;
use crate::write::values::Form;

/// Most patches that are written as one run.
const GROUP: usize = 4;

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
