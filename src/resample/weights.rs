//! One axis of a resample: which input samples make each output sample, with fixed-point weights.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::options::{Backend, Filter};

/// Pillow's fraction bits.
const PILLOW_BITS: u32 = 32 - 8 - 2;

/// The weights of an axis, for a range of its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AxisWeights {
    starts: Vec<u32>,
    ends: Vec<u32>,
    weights: Vec<i32>,
    bits: u32,
    widest: usize,
    input: u32,
}

impl AxisWeights {
    /// Weights from `input` to `output` samples, of which only `range` is kept.
    pub fn new(filter: Filter, backend: Backend, input: u32, output: u32, range: Range<u32>) -> Result<Self> {
        if backend == Backend::Torch && matches!(filter, Filter::Box | Filter::Hamming) {
            return Err(Error::Filter {
                filter: format!("{filter:?}").to_lowercase(),
                arithmetic: "torch".into(),
                known: "nearest, bilinear, bicubic, lanczos".into(),
            });
        }
        let scale = f64::from(input) / f64::from(output);
        let filter_scale = scale.max(1.0);
        let support = filter.support() * filter_scale;
        let inverse = 1.0 / filter_scale;

        let mut axis =
            Self { starts: Vec::new(), ends: Vec::new(), weights: Vec::new(), bits: PILLOW_BITS, widest: 0, input };
        let mut floats: Vec<f64> = Vec::new();
        let mut largest = 0.0f64;
        let window = |index: u32| {
            let centre = (f64::from(index) + 0.5) * scale;
            let start = ((centre - support + 0.5) as i64).max(0);
            let end = ((centre + support + 0.5) as i64).min(i64::from(input));
            (centre, start, end.max(start))
        };
        let fill = |floats: &mut Vec<f64>, (centre, start, end): (f64, i64, i64)| {
            let first = floats.len();
            let mut sum = 0.0;
            for j in 0..end - start {
                let weight = filter.weight(((j + start) as f64 - centre + 0.5) * inverse);
                floats.push(weight);
                sum += weight;
            }
            if sum != 0.0 {
                for weight in &mut floats[first..] {
                    *weight /= sum;
                }
            }
        };
        if backend == Backend::Torch {
            // ATen's precision depends on the largest weight of the whole axis, kept or not.
            let mut one = Vec::new();
            for index in 0..output {
                one.clear();
                fill(&mut one, window(index));
                largest = one.iter().copied().fold(largest, f64::max);
            }
            axis.bits = torch_bits(largest);
        }
        for index in range {
            let (centre, start, end) = window(index);
            fill(&mut floats, (centre, start, end));
            axis.starts.push(start as u32);
            axis.ends.push(floats.len() as u32);
            axis.widest = axis.widest.max((end - start) as usize);
        }
        let one = f64::from(1u32 << axis.bits);
        axis.weights = floats.iter().map(|weight| (weight * one + 0.5f64.copysign(*weight)) as i32).collect();
        Ok(axis)
    }

    /// First input sample and weights of the output at `index` of the kept range.
    pub fn of(&self, index: usize) -> (usize, &[i32]) {
        let first = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        (self.starts[index] as usize, &self.weights[first..self.ends[index] as usize])
    }

    /// Number of outputs kept.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether no output is kept.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Input samples of the axis.
    pub fn input(&self) -> usize {
        self.input as usize
    }

    /// Fraction bits of the weights.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Most inputs of one output.
    pub fn widest(&self) -> usize {
        self.widest
    }
}

/// The most fraction bits, up to 22, with which the largest weight still fits 16 signed bits.
fn torch_bits(largest: f64) -> u32 {
    (0..PILLOW_BITS)
        .find(|bits| (0.5 + largest * f64::from(1u32 << (bits + 1))) as i64 >= 1 << 15)
        .unwrap_or(PILLOW_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_within_rounding() {
        for backend in [Backend::Pillow, Backend::Torch] {
            for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
                for (input, output) in [(1, 1), (1, 7), (7, 1), (100, 33), (33, 100), (5000, 3)] {
                    let axis = AxisWeights::new(filter, backend, input, output, 0..output).unwrap();
                    for index in 0..output as usize {
                        let (start, weights) = axis.of(index);
                        assert!(start + weights.len() <= input as usize && !weights.is_empty());
                        let sum: i64 = weights.iter().copied().map(i64::from).sum();
                        assert!((sum - (1 << axis.bits())).abs() <= weights.len() as i64);
                    }
                }
            }
        }
    }

    #[test]
    fn a_range_is_part_of_the_whole() {
        let whole = AxisWeights::new(Filter::Bicubic, Backend::Torch, 100, 40, 0..40).unwrap();
        let part = AxisWeights::new(Filter::Bicubic, Backend::Torch, 100, 40, 11..23).unwrap();
        assert_eq!((part.len(), part.bits()), (12, whole.bits()));
        for index in 0..12 {
            assert_eq!(part.of(index), whole.of(index + 11));
        }
    }

    #[test]
    fn torch_has_no_box_filter() {
        let error = AxisWeights::new(Filter::Box, Backend::Torch, 10, 5, 0..5).unwrap_err();
        assert!(error.to_string().contains("box"));
    }
}
