//! Passes set up for an axis, kept for the next image of the same size: weights cost as much as resampling some rows.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::kernels::{Horizontal, Vertical};
use super::weights::{Axis, AxisWeights};
use crate::error::{Error, Result};
use crate::options::{Backend, Filter};
use crate::simd::Level;
use crate::source::Interleaving;

/// An axis of more weights is streamed: its weights are computed for every output anew, and nothing is kept.
const MOST_WEIGHTS: u64 = 1 << 20;
/// An axis of more is refused, as by Pillow, whose weights must fit `INT_MAX` bytes.
const MOST_STREAMED: u64 = 1 << 28;
/// Most passes that are kept, of the whole process; each is looked at when one is wanted. The least recently used go first.
const MOST_KEPT: usize = 64;
/// Most bytes of all that are kept.
const MOST_BYTES: usize = 32 << 20;

/// What a pass depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AxisKey {
    level: Level,
    filter: Filter,
    backend: Backend,
    input: u32,
    output: u32,
    range: Range<u32>,
    mirrored: bool,
}

impl AxisKey {
    pub(super) fn new(
        level: Level,
        filter: Filter,
        backend: Backend,
        input: u32,
        output: u32,
        range: &Range<u32>,
        mirrored: bool,
    ) -> Self {
        Self { level, filter, backend, input, output, range: range.clone(), mirrored }
    }

    /// Whether its weights are too many to be kept.
    pub(super) fn is_streamed(&self) -> bool {
        self.count() > MOST_WEIGHTS
    }

    fn count(&self) -> u64 {
        Axis::count(self.filter, self.input, self.output, self.range.len())
    }

    /// The same of no level: a pass beside one that is streamed has none, as that has none.
    pub(super) fn without_level(self) -> Self {
        Self { level: Level::Scalar, ..self }
    }

    fn axis(&self) -> Result<Axis> {
        let (input, output, weights, limit) = (self.input, self.output, self.count(), MOST_STREAMED);
        if weights > limit {
            return Err(Error::Weights { input, output, weights, limit });
        }
        let axis = Axis::new(self.filter, self.backend, self.input, self.output, self.range.clone())?;
        Ok(if self.mirrored { axis.mirrored() } else { axis })
    }

    fn weights(&self) -> Result<AxisWeights> {
        AxisWeights::new(&self.axis()?)
    }
}

/// The horizontal pass of an axis over rows that lie as `from` says.
pub(super) fn horizontal(key: &AxisKey, from: Interleaving) -> Result<Arc<Horizontal>> {
    if key.is_streamed() {
        return Ok(Arc::new(Horizontal::streamed(key.axis()?, from)));
    }
    let make = || Ok(Pass::Horizontal(Arc::new(Horizontal::new(key.level, key.weights()?, from)?)));
    match PASSES.get(&(key.clone(), Some(from)), make)? {
        Pass::Horizontal(pass) => Ok(pass),
        Pass::Vertical(_) => unreachable!("kept under a key without a way to lie"),
    }
}

/// The vertical pass of an axis.
pub(super) fn vertical(key: &AxisKey) -> Result<Arc<Vertical>> {
    if key.is_streamed() {
        return Ok(Arc::new(Vertical::streamed(key.axis()?)));
    }
    let make = || Ok(Pass::Vertical(Arc::new(Vertical::new(key.level, key.weights()?)?)));
    match PASSES.get(&(key.clone(), None), make)? {
        Pass::Vertical(pass) => Ok(pass),
        Pass::Horizontal(_) => unreachable!("kept under a key with a way to lie"),
    }
}

/// Forgets all passes that are kept.
pub(super) fn trim() {
    if let Ok(mut kept) = PASSES.0.try_lock() {
        *kept = Kept::default();
    }
}

static PASSES: Passes = Passes(Mutex::new(Kept { entries: VecDeque::new(), bytes: 0 }));

/// The axis, and how rows lie, of a horizontal pass.
type Key = (AxisKey, Option<Interleaving>);

#[derive(Clone)]
enum Pass {
    Horizontal(Arc<Horizontal>),
    Vertical(Arc<Vertical>),
}

impl Pass {
    fn bytes(&self) -> usize {
        match self {
            Self::Horizontal(pass) => pass.bytes(),
            Self::Vertical(pass) => pass.bytes(),
        }
    }
}

/// The passes of the process.
struct Passes(Mutex<Kept>);

/// Passes that are kept, and their bytes.
#[derive(Default)]
struct Kept {
    entries: VecDeque<(Key, Pass, usize)>,
    bytes: usize,
}

impl Passes {
    /// Never waits for the lock: another thread may hold it, even one that a fork left behind.
    fn get(&self, key: &Key, make: impl FnOnce() -> Result<Pass>) -> Result<Pass> {
        if let Ok(mut kept) = self.0.try_lock()
            && let Some(found) = kept.entries.iter().position(|(other, ..)| other == key)
            && let Some(entry) = kept.entries.remove(found)
        {
            let pass = entry.1.clone();
            kept.entries.push_back(entry);
            return Ok(pass);
        }
        let pass = make()?;
        if let Ok(mut kept) = self.0.try_lock() {
            kept.push(key.clone(), pass.clone());
        }
        Ok(pass)
    }
}

impl Kept {
    fn push(&mut self, key: Key, pass: Pass) {
        let bytes = pass.bytes();
        if bytes > MOST_BYTES / 4 {
            return;
        }
        self.bytes += bytes;
        self.entries.push_back((key, pass, bytes));
        while self.entries.len() > MOST_KEPT || self.bytes > MOST_BYTES {
            let Some((.., bytes)) = self.entries.pop_front() else { break };
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let passes = Passes(Mutex::new(Kept::default()));
        let bytes = || {
            let kept = passes.0.lock().unwrap();
            assert_eq!(kept.bytes, kept.entries.iter().map(|(_, pass, _)| pass.bytes()).sum::<usize>());
            kept.bytes
        };
        let key = |input| AxisKey::new(Level::Scalar, Filter::Bicubic, Backend::Pillow, input, 384, &(0..384), false);
        for input in 240_000..240_200 {
            let key = key(input);
            assert!(!key.is_streamed());
            let make = || Ok(Pass::Vertical(Arc::new(Vertical::new(key.level, key.weights()?)?)));
            let made = passes.get(&(key.clone(), None), make).unwrap();
            assert!(made.bytes() > 1 << 20 && bytes() <= MOST_BYTES);
        }
        assert!(bytes() > MOST_BYTES / 2);
        // The last is still there.
        assert!(passes.get(&(key(240_199), None), || panic!("made again")).is_ok());
        assert!(key(3_000_000).is_streamed());
    }
}
