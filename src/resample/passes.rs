//! Passes set up for an axis, kept for the next image of the same size: weights cost as much as resampling some rows.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::AxisWeights;
use super::kernels::{Horizontal, Vertical};
use crate::error::Result;
use crate::options::{Backend, Filter};
use crate::simd::Level;
use crate::source::Interleaving;

/// How many passes of each kind are kept, the least recently used going first.
const KEPT: usize = 32;
/// Outputs beyond which a pass is not kept.
const MOST_OUTPUTS: u32 = 1 << 13;

/// What a pass depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AxisKey {
    level: Level,
    filter: Filter,
    backend: Backend,
    input: u32,
    output: u32,
    range: Range<u32>,
}

impl AxisKey {
    pub(super) fn new(
        level: Level,
        filter: Filter,
        backend: Backend,
        input: u32,
        output: u32,
        range: &Range<u32>,
    ) -> Self {
        Self { level, filter, backend, input, output, range: range.clone() }
    }

    fn weights(&self) -> Result<AxisWeights> {
        AxisWeights::new(self.filter, self.backend, self.input, self.output, self.range.clone())
    }
}

/// The horizontal pass of an axis over rows that lie as `from` says.
pub(super) fn horizontal(key: &AxisKey, from: Interleaving) -> Result<Arc<Horizontal>> {
    static CACHE: Cache<(AxisKey, Interleaving), Horizontal> = Cache::new();
    CACHE.get((key.clone(), from), key.output, || Ok(Horizontal::new(key.level, key.weights()?, from)))
}

/// The vertical pass of an axis.
pub(super) fn vertical(key: &AxisKey) -> Result<Arc<Vertical>> {
    static CACHE: Cache<AxisKey, Vertical> = Cache::new();
    CACHE.get(key.clone(), key.output, || Ok(Vertical::new(key.level, key.weights()?)))
}

struct Cache<K, T>(Mutex<VecDeque<(K, Arc<T>)>>);

impl<K: PartialEq, T> Cache<K, T> {
    const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Never waits for the lock: another thread may hold it, even one that a fork left behind.
    fn get(&self, key: K, outputs: u32, make: impl FnOnce() -> Result<T>) -> Result<Arc<T>> {
        if let Ok(mut entries) = self.0.try_lock()
            && let Some(found) = entries.iter().position(|(other, _)| *other == key)
            && let Some(entry) = entries.remove(found)
        {
            let pass = Arc::clone(&entry.1);
            entries.push_back(entry);
            return Ok(pass);
        }
        let pass = Arc::new(make()?);
        if outputs <= MOST_OUTPUTS
            && let Ok(mut entries) = self.0.try_lock()
        {
            if entries.len() == KEPT {
                entries.pop_front();
            }
            entries.push_back((key, Arc::clone(&pass)));
        }
        Ok(pass)
    }
}
