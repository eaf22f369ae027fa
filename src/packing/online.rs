//! Best fit with a bounded number of open packs, in one pass over the samples.

use super::{Load, Packs, Samples};

/// Packs samples in `order` (indices, each once): each goes to the open pack that it leaves the fullest. Where it fits
/// none, a new pack is opened; with `open` packs open, the one nearest to a limit is closed for it.
///
/// Packs come in the order in which they are closed. Every sample must be within `limits` alone.
#[must_use]
pub fn online(samples: Samples<'_>, limits: Load, order: &[i64], open: usize) -> Packs {
    let mut packs = Packs { order: Vec::with_capacity(order.len()), ends: Vec::new() };
    let mut slots: Vec<Slot> = Vec::new();
    for &index in order {
        let load = samples.of(index as usize);
        let slot = match fullest_with_room(&slots, load, limits) {
            Some(slot) => slot,
            None if slots.len() < open.max(1) => {
                slots.push(Slot::default());
                slots.len() - 1
            }
            None => {
                let slot = nearest_to_a_limit(&slots, limits);
                packs.push(&slots[slot].samples);
                slots[slot].clear();
                slot
            }
        };
        let slot = &mut slots[slot];
        slot.load = slot.load.plus(load);
        slot.samples.push(index);
    }
    for slot in &slots {
        packs.push(&slot.samples);
    }
    packs
}

/// An open pack.
#[derive(Default)]
struct Slot {
    load: Load,
    samples: Vec<i64>,
}

impl Slot {
    /// Makes it an empty pack, in the same memory.
    fn clear(&mut self) {
        self.load = Load::default();
        self.samples.clear();
    }
}

/// The pack with the most tokens of those that have room for `load`; the first of equals.
fn fullest_with_room(slots: &[Slot], load: Load, limits: Load) -> Option<usize> {
    let mut best: Option<(i64, usize)> = None;
    for (at, slot) in slots.iter().enumerate() {
        if slot.load.plus(load).is_within(limits) && best.is_none_or(|(tokens, _)| slot.load.tokens > tokens) {
            best = Some((slot.load.tokens, at));
        }
    }
    best.map(|(_, at)| at)
}

/// The pack with the largest share of one of its limits; the first of equals. By tokens alone, packs that are full of
/// images would stay open for ever.
fn nearest_to_a_limit(slots: &[Slot], limits: Load) -> usize {
    let mut best = (f64::NEG_INFINITY, 0);
    for (at, slot) in slots.iter().enumerate() {
        let share = slot.load.share(limits);
        if share > best.0 {
            best = (share, at);
        }
    }
    best.1
}
