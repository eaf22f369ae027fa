//! Compaction: when an item turns out bad, values that are written already move to their places in the batch without
//! it.

use std::sync::Arc;

use super::Call;
use crate::plan::Plan;
use crate::threads::is_stopped;
use crate::write::{BatchLayout, Element, Placement, Sink};

/// The batch as it was before items were left out.
pub(super) struct Before {
    pub(super) layout: BatchLayout,
    /// The plan of every item that was in it.
    pub(super) plans: Vec<Option<Arc<Plan>>>,
    /// Whether an item's values are in their places.
    pub(super) written: Vec<bool>,
}

/// Values that follow each other, and where they go.
struct Move {
    tensor: usize,
    from: usize,
    to: usize,
    count: usize,
}

impl Call<'_> {
    /// After [`Self::leave_out`] and [`Self::lay_out`]: moves the values that are written in `sinks`, the memory of the
    /// previous batch, to their places in the new one. The next [`Self::run`] writes again what cannot be moved; or
    /// everything, if it gets other memory and [`Self::forget`] was called.
    pub fn compact<T: Element>(&mut self, sinks: &mut [Sink<'_, T>]) {
        let Some(before) = self.before.take() else { return };
        let Some(layout) = &self.layout else { return };
        let keys = |layout: &BatchLayout| layout.tensors.iter().map(|tensor| tensor.key.clone()).collect::<Vec<_>>();
        let fits = keys(layout) == keys(&before.layout)
            && layout.tensors.iter().zip(&before.layout.tensors).all(|(new, old)| new.len() <= old.len());
        let (moves, moved) = self.moves(&before, layout);
        if fits && is_in_order(&moves, sinks.len()) {
            for Move { tensor, from, to, count } in moves {
                if is_stopped() {
                    return;
                }
                sinks[tensor].repeat(from, to, count);
            }
            self.written = moved;
        }
    }

    /// Marks the whole batch as not written.
    pub fn forget(&mut self) {
        self.written = vec![false; self.items.len()];
    }

    /// The moves, and the items that they move completely.
    fn moves(&self, before: &Before, layout: &BatchLayout) -> (Vec<Move>, Vec<bool>) {
        let (mut old, mut new) = (before.layout.placements.iter(), layout.placements.iter());
        let mut moves = Vec::new();
        let mut moved = vec![false; self.items.len()];
        for (index, (entry, was)) in self.items.iter().zip(&before.plans).enumerate() {
            let Some(was) = was else { continue };
            let old: Vec<_> = old.by_ref().take(was.num_frames() as usize).flatten().collect();
            let Some(plan) = &entry.plan else { continue };
            let new: Vec<_> = new.by_ref().take(plan.num_frames() as usize).flatten().collect();
            if before.written[index] && Arc::ptr_eq(was, plan) {
                moved[index] = push_moves(&old, &new, &mut moves);
            }
        }
        (moves, moved)
    }
}

/// The moves of an item's views; none if their layout has changed.
fn push_moves(old: &[&Placement], new: &[&Placement], moves: &mut Vec<Move>) -> bool {
    let known = moves.len();
    for (old, new) in old.iter().zip(new) {
        let alike = old.tensor == new.tensor && old.layout == new.layout && old.stride == new.stride;
        let Some(count) = old.tile_len().filter(|_| alike) else {
            moves.truncate(known);
            return false;
        };
        for tile in 0..old.cells.tiles.cells() as usize {
            let (from, to) = (old.base + tile * old.stride, new.base + tile * new.stride);
            // Frames of a patch along time share it.
            if moves[known..].last().is_none_or(|last| (last.tensor, last.from) != (old.tensor, from)) {
                moves.push(Move { tensor: old.tensor, from, to, count });
            }
        }
    }
    true
}

/// Whether no move overwrites what a later move reads: all go towards the beginning, in order of address.
fn is_in_order(moves: &[Move], tensors: usize) -> bool {
    let mut ends = vec![0; tensors];
    moves.iter().all(|&Move { tensor, from, to, count }| {
        let follows = from >= ends[tensor];
        ends[tensor] = from + count;
        follows && to <= from
    })
}
