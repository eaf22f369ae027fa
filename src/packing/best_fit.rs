//! Best fit decreasing: the longest samples come first, and each goes to the pack that it fills best.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Packs;

/// Packs samples by their tokens alone. `order` are indices of `lengths`, each once: of equal lengths the first in it
/// comes first, and samples of a pack stand in its order.
///
/// Packs come in the order in which they are opened, the longest sample's first. No length may be over `budget`.
#[must_use]
pub fn best_fit(lengths: &[i64], budget: i64, order: &[i64]) -> Packs {
    let mut sorted: Vec<(Reverse<i64>, usize)> =
        order.iter().enumerate().map(|(at, &index)| (Reverse(lengths[index as usize]), at)).collect();
    sorted.sort_unstable();
    let mut pack_of = vec![0_usize; order.len()];
    let mut rooms = Rooms { budget, count: 0, packs: BTreeMap::new() };
    for group in sorted.chunk_by(|one, other| one.0 == other.0) {
        let length = group[0].0.0;
        let mut rest = group;
        while !rest.is_empty() {
            let taken = rooms.fill(length, rest.len(), |pack, at| pack_of[rest[at].1] = pack);
            rest = &rest[taken..];
        }
    }
    gather(order, &pack_of, rooms.count)
}

/// Packs, ordered by the room that is left.
struct Rooms {
    budget: i64,
    /// Packs that are open.
    count: usize,
    packs: BTreeMap<i64, Vec<usize>>,
}

impl Rooms {
    /// Puts some of `count` samples of one length into one pack: that with the least room of those that have enough. It
    /// stays that one until it has no room for another, so it takes all at once. `put` is told pack and number.
    ///
    /// Returns how many it took, at least one.
    fn fill(&mut self, length: i64, count: usize, mut put: impl FnMut(usize, usize)) -> usize {
        let (room, pack) = if let Some((&room, found)) = self.packs.range_mut(length..).next() {
            let pack = found.pop().expect("no room is kept without a pack");
            if found.is_empty() {
                self.packs.remove(&room);
            }
            (room, pack)
        } else {
            self.count += 1;
            (self.budget, self.count - 1)
        };
        // Any number of empty samples fits.
        let fitting = if length == 0 { count } else { count.min((room / length) as usize) };
        (0..fitting).for_each(|at| put(pack, at));
        self.packs.entry(room - fitting as i64 * length).or_default().push(pack);
        fitting
    }
}

/// Packs of the samples in `order`, of which the one at `i` goes to `pack_of[i]`.
fn gather(order: &[i64], pack_of: &[usize], packs: usize) -> Packs {
    let mut starts = vec![0_usize; packs + 1];
    for &pack in pack_of {
        starts[pack + 1] += 1;
    }
    for pack in 0..packs {
        starts[pack + 1] += starts[pack];
    }
    let ends = starts[1..].iter().map(|&end| end as i64).collect();
    let mut sorted = vec![0; order.len()];
    for (&index, &pack) in order.iter().zip(pack_of) {
        sorted[starts[pack]] = index;
        starts[pack] += 1;
    }
    Packs { order: sorted, ends }
}
