//! Packing: samples are combined into sequences within a budget of tokens and, optionally, of images and cost.

mod best_fit;
mod online;

pub use best_fit::best_fit;
pub use online::online;

/// The samples to pack. All slices have the same length.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Tokens of each sample, none negative.
    pub lengths: &'a [i64],
    /// Images of each sample, none negative; not counted if absent.
    pub items: Option<&'a [i64]>,
    /// Cost of each sample, none negative, all finite; not counted if absent.
    pub costs: Option<&'a [f64]>,
}

impl Samples<'_> {
    /// Tokens, images and cost of a sample.
    pub(crate) fn of(&self, sample: usize) -> Load {
        Load {
            tokens: self.lengths[sample],
            items: self.items.map_or(0, |items| items[sample]),
            cost: self.costs.map_or(0.0, |costs| costs[sample]),
        }
    }
}

/// Tokens, images and cost of a sample or a pack, or the limits of a pack.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Tokens.
    pub tokens: i64,
    /// Images.
    pub items: i64,
    /// Cost, in a unit of the caller's.
    pub cost: f64,
}

impl Load {
    /// The sum of two loads; saturated, so that it is over every limit where it is over the type's.
    fn plus(self, other: Self) -> Self {
        Self {
            tokens: self.tokens.saturating_add(other.tokens),
            items: self.items.saturating_add(other.items),
            cost: self.cost + other.cost,
        }
    }

    /// Whether it is within `limits`.
    #[must_use]
    pub fn is_within(self, limits: Self) -> bool {
        self.tokens <= limits.tokens && self.items <= limits.items && self.cost <= limits.cost
    }

    /// The largest of its shares of `limits`: 1 where one of them is reached.
    #[allow(clippy::cast_precision_loss)]
    fn share(self, limits: Self) -> f64 {
        let tokens = self.tokens as f64 / limits.tokens as f64;
        let items = self.items as f64 / limits.items as f64;
        tokens.max(items).max(self.cost / limits.cost)
    }
}

/// Packs in their order: pack `i` holds the samples `order[ends[i - 1]..ends[i]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packs {
    /// Indices of samples.
    pub order: Vec<i64>,
    /// Where each pack ends in `order`.
    pub ends: Vec<i64>,
}

impl Packs {
    /// Adds a pack of these samples.
    fn push(&mut self, samples: &[i64]) {
        self.order.extend_from_slice(samples);
        self.ends.push(self.order.len() as i64);
    }
}

#[cfg(test)]
mod tests;
