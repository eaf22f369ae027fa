//! Weights of one axis in f32, rounded where the references' compiled CPU kernels round: ATen's (x86-64 with AVX2 or more) multiply
//! and add in one rounding in some places and in two in others, `OpenCV`'s in two everywhere, and each shows in the last bit.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::memory::try_reserve;
use crate::options::{Filter, FloatArithmetic, FloatResize};

/// Products that are added one by one, each rounded first, where a window is longer.
const GROUP: usize = 4;

/// Most weights of an axis: all are kept while an image is resized. A side of a million pixels has fewer.
const MOST_WEIGHTS: u64 = 1 << 24;

/// One weighted input sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tap {
    pub(super) index: u32,
    pub(super) weight: f32,
}

/// Which way an axis goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Across,
    Down,
}

/// Which products are rounded before they are added.
#[derive(Clone, Copy, Debug)]
enum Products {
    /// The first alone.
    First,
    /// Those of whole groups after it.
    Groups,
    /// All.
    All,
}

/// What the outputs of an axis read.
#[derive(Debug)]
pub(super) struct Axis {
    taps: Vec<Tap>,
    /// End of every output's taps.
    ends: Vec<usize>,
    products: Products,
}

impl Axis {
    /// The outputs `range` of an axis that goes from `input` samples to `output`.
    pub(super) fn new(
        sampling: FloatResize,
        direction: Direction,
        input: u32,
        output: u32,
        range: &Range<u32>,
    ) -> Result<Self> {
        let FloatResize { filter, antialias, corners, arithmetic, .. } = sampling;
        let (support, weight): (f32, fn(f32) -> f32) = match filter {
            Filter::Bilinear => (1.0, hat),
            Filter::Bicubic => (2.0, keys),
            _ => return Err(Error::Argument(format!("filter {filter:?} does not resize floats").to_lowercase())),
        };
        let products = match (arithmetic, antialias) {
            (FloatArithmetic::OpenCv, _) => Products::All,
            (FloatArithmetic::Torch, true) => Products::Groups,
            (FloatArithmetic::Torch, false) => Products::First,
        };
        let mut axis = Self { taps: Vec::new(), ends: Vec::new(), products };
        let scale = input as f32 / output as f32;
        let each = if antialias { f64::from(support) * f64::from(scale.max(1.0)) * 2.0 + 2.0 } else { 4.0 };
        let weights = (each.min(f64::from(input)) as u64 + 1) * range.len() as u64;
        if weights > MOST_WEIGHTS {
            return Err(Error::Weights { input, output, weights, limit: MOST_WEIGHTS });
        }
        try_reserve(&mut axis.taps, weights as usize)?;
        try_reserve(&mut axis.ends, range.len())?;
        for index in range.clone() {
            match (arithmetic, antialias, filter) {
                (FloatArithmetic::OpenCv, ..) => axis.opencv(index, input, output, direction),
                (_, true, _) => axis.window(index, input, scale, support, weight),
                (_, false, Filter::Bicubic) => axis.four(index, input, scale),
                (_, false, _) => axis.two(index, input, scale, corners),
            }
            axis.ends.push(axis.taps.len());
        }
        Ok(axis)
    }

    /// The taps of an output, in the order of addition, and how many of those after the first have rounded products.
    pub(super) fn taps(&self, output: usize) -> (&[Tap], usize) {
        let start = output.checked_sub(1).map_or(0, |before| self.ends[before]);
        let taps = &self.taps[start..self.ends[output]];
        let others = taps.len() - 1;
        let rounded = match self.products {
            Products::First => 0,
            Products::Groups => others / GROUP * GROUP,
            Products::All => others,
        };
        (taps, rounded)
    }

    /// Inputs from the first to the last that an output reads.
    pub(super) fn span(&self, output: usize) -> Range<u32> {
        let indices = || self.taps(output).0.iter().map(|tap| tap.index);
        indices().min().unwrap_or(0)..indices().max().map_or(0, |last| last + 1)
    }

    /// The inputs that any output reads, ascending; taps count among these from now on.
    pub(super) fn compact(&mut self) -> Result<Vec<u32>> {
        let mut used: Vec<u32> = Vec::new();
        try_reserve(&mut used, self.taps.len())?;
        used.extend(self.taps.iter().map(|tap| tap.index));
        used.sort_unstable();
        used.dedup();
        for tap in &mut self.taps {
            tap.index = used.partition_point(|&index| index < tap.index) as u32;
        }
        Ok(used)
    }

    /// A filter as wide as the image shrinks.
    fn window(&mut self, index: u32, input: u32, scale: f32, support: f32, weight: fn(f32) -> f32) {
        let support = if scale >= 1.0 { support * scale } else { support };
        let inverse = if scale >= 1.0 { (1.0 / f64::from(scale)) as f32 } else { 1.0 };
        let centre = (f64::from(scale) * (f64::from(index) + 0.5)) as f32;
        let bound = |side: f32| (f64::from(side) + 0.5) as i64;
        let first = bound(centre - support).max(0);
        let end = bound(centre + support).min(i64::from(input));
        let most = 2 * i64::from(support.ceil() as u32) + 1;
        let weights = |at: i64| {
            let distance = f64::from(at as f32 - centre) + 0.5;
            weight((distance * f64::from(inverse)) as f32)
        };
        let start = self.taps.len();
        let mut sum = 0.0f32;
        for at in first..first + (end - first).clamp(0, most) {
            let weight = weights(at);
            sum += weight;
            self.taps.push(Tap { index: at as u32, weight });
        }
        if self.taps.len() == start {
            let index = first.min(i64::from(input) - 1) as u32;
            self.taps.push(Tap { index, weight: 0.0 });
        } else if sum != 0.0 {
            self.taps[start..].iter_mut().for_each(|tap| tap.weight /= sum);
        }
    }

    /// Two neighbours; the second is added first. For corners they come in order, and their place is computed in one rounding.
    fn two(&mut self, index: u32, input: u32, scale: f32, corners: bool) {
        let at = if corners { position(index, scale) } else { scale * (index as f32 + 0.5) - 0.5 };
        let at = at.max(0.0);
        let low = (at as u32).min(input - 1);
        let high = (low + 1).min(input - 1);
        let weight = (at - low as f32).clamp(0.0, 1.0);
        let (left, right) = (Tap { index: low, weight: 1.0 - weight }, Tap { index: high, weight });
        self.taps.extend(if corners { [left, right] } else { [right, left] });
    }

    /// Four neighbours; the second is added first.
    fn four(&mut self, index: u32, input: u32, scale: f32) {
        let at = position(index, scale);
        let low = (at.floor() as i64).min(i64::from(input) - 1);
        let x = (at - low as f32).clamp(0.0, 1.0);
        let weights = [cubic_far(x + 1.0), cubic_near(x), cubic_near(1.0 - x), cubic_far((1.0 - x) + 1.0)];
        self.neighbours(low, input, weights, [1, 0, 2, 3]);
    }

    /// Four neighbours as `OpenCV` adds them: from the left, and from below. Their place is computed in f64, and their weights in f32
    /// without a fused product; the last is what the others leave of one.
    fn opencv(&mut self, index: u32, input: u32, output: u32, direction: Direction) {
        const A: f32 = -0.75;
        let scale = 1.0 / (f64::from(output) / f64::from(input));
        let at = ((f64::from(index) + 0.5) * scale - 0.5) as f32;
        let low = at.floor();
        let x = at - low;
        let far = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
        let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
        let (left, right) = (near(x), near(1.0 - x));
        let weights = [far, left, right, 1.0 - far - left - right];
        let order = if direction == Direction::Across { [0, 1, 2, 3] } else { [3, 2, 1, 0] };
        self.neighbours(low as i64, input, weights, order);
    }

    /// The inputs around `low`, from the one before it on, in the order of addition.
    fn neighbours(&mut self, low: i64, input: u32, weights: [f32; 4], order: [usize; 4]) {
        self.taps.extend(order.map(|place| Tap {
            index: (low + place as i64 - 1).clamp(0, i64::from(input) - 1) as u32,
            weight: weights[place],
        }));
    }
}

/// Where an output's centre lies among the inputs' centres.
fn position(index: u32, scale: f32) -> f32 {
    scale.mul_add(index as f32 + 0.5, -0.5)
}

/// Keys' cubic of a = -0.75 within one sample of its centre.
fn cubic_near(x: f32) -> f32 {
    1.25f32.mul_add(x, -2.25) * x * x + 1.0
}

/// And between one and two.
fn cubic_far(x: f32) -> f32 {
    (-0.75f32).mul_add(x, 3.75).mul_add(x, -6.0) * x + 3.0
}

/// Keys' cubic of a = -0.5, for windows.
fn keys(x: f32) -> f32 {
    let x = x.abs();
    if x < 1.0 {
        (1.5f32.mul_add(x, -2.5) * x).mul_add(x, 1.0)
    } else if x < 2.0 {
        (-0.5f32).mul_add(x, 2.5).mul_add(x, -4.0).mul_add(x, 2.0)
    } else {
        0.0
    }
}

fn hat(x: f32) -> f32 {
    let x = x.abs();
    if x < 1.0 { 1.0 - x } else { 0.0 }
}
