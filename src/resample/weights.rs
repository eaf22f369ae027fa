//! One axis of a resample: which input samples make each output sample, with fixed-point weights.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::memory::try_reserve;
use crate::options::{Backend, Filter};
use crate::threads::check_stopped;

/// Pillow's fraction bits.
const PILLOW_BITS: u32 = 32 - 8 - 2;
/// No weight of an axis that grows is larger: those whose window a border cuts come to 9/7 (Lanczos, two inputs) at most.
const MOST_OF_GROWTH: f64 = 1.5;
/// Weights after which somebody is asked whether they are still wanted.
const PATIENCE: usize = 1 << 16;

/// An axis whose weights are computed as they are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    filter: Filter,
    input: u32,
    output: u32,
    /// Outputs that are wanted.
    range: Range<u32>,
    /// Whether inputs and outputs are counted from the last to the first.
    is_mirrored: bool,
    scale: f64,
    support: f64,
    inverse: f64,
    bits: u32,
}

/// The weights of an axis, for a range of its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AxisWeights {
    starts: Vec<u32>,
    ends: Vec<u32>,
    weights: Vec<i32>,
    bits: u32,
    widest: usize,
    input: u32,
}

impl Axis {
    /// The outputs `range` of an axis that goes from `input` samples to `output`.
    pub(crate) fn new(filter: Filter, backend: Backend, input: u32, output: u32, range: Range<u32>) -> Result<Self> {
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
        let bits = PILLOW_BITS;
        let mut axis = Self { filter, input, output, range, is_mirrored: false, scale, support, inverse, bits };
        if backend == Backend::Torch {
            axis.bits = axis.torch_bits(output)?;
        }
        Ok(axis)
    }

    /// The same weights where inputs and outputs lie from the last to the first.
    pub(crate) fn mirrored(self) -> Self {
        Self { is_mirrored: !self.is_mirrored, ..self }
    }

    /// ATen's fraction bits, which depend on the largest weight of the whole axis, kept or not.
    ///
    /// An axis that grows has its answer at a border, soon: one of a thin image may have 10^8 outputs, of which a crop
    /// keeps some hundred.
    fn torch_bits(&self, output: u32) -> Result<u32> {
        let fewest = if self.scale <= 1.0 { torch_bits(MOST_OF_GROWTH) } else { 0 };
        let (mut largest, mut one, mut done) = (0.0f64, Vec::new(), 0);
        for index in 0..output {
            self.fill(index, &mut one)?;
            largest = one.iter().copied().fold(largest, f64::max);
            if torch_bits(largest) == fewest {
                break;
            }
            ask(&mut done, one.len())?;
        }
        Ok(torch_bits(largest))
    }

    /// At least as many weights as such an axis has for so many outputs.
    pub(crate) fn count(filter: Filter, input: u32, output: u32, outputs: usize) -> u64 {
        let support = filter.support() * (f64::from(input) / f64::from(output)).max(1.0);
        widest(support, input) as u64 * outputs as u64
    }

    /// At least the most inputs of one output.
    pub(crate) fn widest(&self) -> usize {
        widest(self.support, self.input)
    }

    /// Fraction bits of the weights.
    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    /// The inputs of an output, counted from the first that is wanted.
    pub(crate) fn window(&self, index: usize) -> Range<u32> {
        let (_, start, end) = self.window_of(self.of_whole(index));
        let (start, end) = (start as u32, end as u32);
        if self.is_mirrored { self.input - end..self.input - start } else { start..end }
    }

    /// Adds an output's weights, counted from the first that is wanted; `floats` is scratch.
    pub(crate) fn push(&self, index: usize, floats: &mut Vec<f64>, weights: &mut Vec<i32>) -> Result<()> {
        self.fill(self.of_whole(index), floats)?;
        if self.is_mirrored {
            floats.reverse();
        }
        try_reserve(weights, floats.len())?;
        let one = f64::from(1u32 << self.bits);
        weights.extend(floats.iter().map(|weight| (weight * one + 0.5f64.copysign(*weight)) as i32));
        Ok(())
    }

    /// Which output of the whole axis, in its own direction, one of those that are wanted is.
    fn of_whole(&self, index: usize) -> u32 {
        let index = self.range.start + index as u32;
        if self.is_mirrored { self.output - 1 - index } else { index }
    }

    /// Centre, first input and end of an output of the whole axis.
    fn window_of(&self, index: u32) -> (f64, i64, i64) {
        let centre = (f64::from(index) + 0.5) * self.scale;
        let start = ((centre - self.support + 0.5) as i64).max(0);
        let end = ((centre + self.support + 0.5) as i64).min(i64::from(self.input));
        (centre, start, end.max(start))
    }

    /// The weights of an output of the whole axis, which sum to one.
    fn fill(&self, index: u32, floats: &mut Vec<f64>) -> Result<()> {
        let (centre, start, end) = self.window_of(index);
        floats.clear();
        if (end - start) as usize > floats.capacity() {
            try_reserve(floats, (end - start) as usize)?;
        }
        let mut sum = 0.0;
        for j in 0..end - start {
            let weight = self.filter.weight(((j + start) as f64 - centre + 0.5) * self.inverse);
            floats.push(weight);
            sum += weight;
        }
        if sum != 0.0 {
            for weight in floats {
                *weight /= sum;
            }
        }
        Ok(())
    }
}

impl AxisWeights {
    /// All weights of an axis.
    pub(crate) fn new(axis: &Axis) -> Result<Self> {
        let outputs = axis.range.len();
        let (mut starts, mut ends, mut weights, mut floats) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        try_reserve(&mut starts, outputs)?;
        try_reserve(&mut ends, outputs)?;
        try_reserve(&mut weights, outputs.saturating_mul(axis.widest()))?;
        let (mut widest, mut done) = (0, 0);
        for index in 0..outputs {
            axis.push(index, &mut floats, &mut weights)?;
            starts.push(axis.window(index).start);
            ends.push(weights.len() as u32);
            widest = widest.max(floats.len());
            ask(&mut done, floats.len())?;
        }
        Ok(Self { starts, ends, weights, bits: axis.bits, widest, input: axis.input })
    }

    /// First input sample and weights of the output at `index` of the kept range.
    pub(crate) fn of(&self, index: usize) -> (usize, &[i32]) {
        let first = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        (self.starts[index] as usize, &self.weights[first..self.ends[index] as usize])
    }

    /// Number of outputs kept.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Input samples of the axis.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // a row's length, which one level wants to know
    pub(crate) fn input(&self) -> usize {
        self.input as usize
    }

    /// Fraction bits of the weights.
    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    /// Most inputs of one output.
    pub(crate) fn widest(&self) -> usize {
        self.widest
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        (self.starts.capacity() + self.ends.capacity() + self.weights.capacity()) * 4
    }
}

/// At least the most inputs within so much of any centre.
fn widest(support: f64, input: u32) -> usize {
    ((2.0 * support).ceil() as usize + 1).min(input as usize)
}

/// Asks after every so many weights whether they are still wanted; `done` counts them.
fn ask(done: &mut usize, weights: usize) -> Result<()> {
    *done += weights + 1;
    if *done < PATIENCE {
        return Ok(());
    }
    *done = 0;
    check_stopped()
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

    fn of(filter: Filter, backend: Backend, input: u32, output: u32, range: Range<u32>) -> AxisWeights {
        AxisWeights::new(&Axis::new(filter, backend, input, output, range).unwrap()).unwrap()
    }

    #[test]
    fn weights_sum_to_one_within_rounding() {
        for backend in [Backend::Pillow, Backend::Torch] {
            for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
                for (input, output) in [(1, 1), (1, 7), (7, 1), (100, 33), (33, 100), (5000, 3)] {
                    let axis = of(filter, backend, input, output, 0..output);
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
        let whole = of(Filter::Bicubic, Backend::Torch, 100, 40, 0..40);
        let part = of(Filter::Bicubic, Backend::Torch, 100, 40, 11..23);
        assert_eq!((part.len(), part.bits()), (12, whole.bits()));
        for index in 0..12 {
            assert_eq!(part.of(index), whole.of(index + 11));
        }
    }

    #[test]
    fn a_mirrored_axis_has_the_same_weights_backwards() {
        for backend in [Backend::Pillow, Backend::Torch] {
            for (input, output) in [(1, 7), (7, 1), (100, 33), (33, 100), (101, 40)] {
                let axis = |range| Axis::new(Filter::Bicubic, backend, input, output, range).unwrap();
                let whole = AxisWeights::new(&axis(0..output)).unwrap();
                let part = output / 3..output;
                let mirrored = axis(part.clone()).mirrored();
                let weights = AxisWeights::new(&mirrored).unwrap();
                for (index, place) in part.enumerate() {
                    let (start, there) = whole.of((output - 1 - place) as usize);
                    let (first, here) = weights.of(index);
                    assert!(here.iter().eq(there.iter().rev()) && first + here.len() == input as usize - start);
                    assert_eq!(mirrored.window(index), first as u32..(first + here.len()) as u32);
                }
            }
        }
    }

    #[test]
    fn an_axis_that_grows_has_the_bits_of_all_its_weights() {
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            for input in (1..40).chain([99, 640, 1080]) {
                for output in (input..input + 60).chain([input * 7 - 1, input * 50 + 3]) {
                    let axis = Axis::new(filter, Backend::Torch, input, output, 0..output).unwrap();
                    let (mut largest, mut weights) = (0.0f64, Vec::new());
                    for index in 0..output {
                        axis.fill(index, &mut weights).unwrap();
                        largest = weights.iter().copied().fold(largest, f64::max);
                    }
                    assert!(largest < 9.0 / 7.0, "{filter:?} {input} {output}: {largest}");
                    assert_eq!(axis.bits(), torch_bits(largest), "{filter:?} {input} {output}");
                }
            }
        }
    }

    #[test]
    fn a_crop_of_a_hundred_million_outputs_costs_what_it_keeps() {
        // A minute or two before the scan stopped at the border: nobody waits for it.
        for _ in 0..1000 {
            let axis = of(Filter::Bicubic, Backend::Torch, 736_060, 164_877_440, 82_438_608..82_438_832);
            assert_eq!((axis.len(), axis.bits()), (224, 14));
        }
    }

    #[test]
    fn torch_has_no_box_filter() {
        let error = Axis::new(Filter::Box, Backend::Torch, 10, 5, 0..5).unwrap_err();
        assert!(error.to_string().contains("box"));
    }

    #[test]
    fn no_window_is_wider_than_said() {
        for filter in [Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos] {
            for (input, output) in [(1, 1), (1, 7), (7, 1), (100, 33), (33, 100), (5000, 3), (4999, 17), (6000, 448)] {
                let axis = Axis::new(filter, Backend::Pillow, input, output, 0..output).unwrap();
                let all = AxisWeights::new(&axis).unwrap();
                assert!(all.widest() <= axis.widest());
                assert!(all.weights.len() as u64 <= Axis::count(filter, input, output, output as usize));
                for index in 0..output as usize {
                    let (start, weights) = all.of(index);
                    assert_eq!(axis.window(index), start as u32..(start + weights.len()) as u32);
                }
            }
        }
    }
}
