//! Which images of a batch form a sample.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::recipe::Recipe;

/// How many images each sample of a batch has, in the images' order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Samples(Vec<usize>);

impl Samples {
    /// These counts of `images` images; without them, what the reference makes of a list of images: one sample where its
    /// output has samples, else one of each image.
    pub(super) fn new(recipe: &Recipe, counts: Option<&[usize]>, images: usize) -> Result<Self> {
        let counts = match counts {
            Some(counts) => counts.to_vec(),
            None if recipe.outputs.iter().any(|spec| spec.per_sample) => vec![images],
            None => vec![1; images],
        };
        if counts.iter().sum::<usize>() != images {
            return Err(Error::Argument(format!("samples of {counts:?} images for {images} images")));
        }
        Ok(Self(counts))
    }

    /// Images of each sample.
    pub(super) fn counts(&self) -> &[usize] {
        &self.0
    }

    /// Images of the largest.
    pub(super) fn most(&self) -> usize {
        self.0.iter().copied().max().unwrap_or(0)
    }

    /// Indices of the images of each sample.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.0.iter().scan(0, |next, count| {
            let start = *next;
            *next += count;
            Some(start..*next)
        })
    }
}
