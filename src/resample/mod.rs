//! Exact separable resampling of 8-bit RGB, band by band.
//!
//! Pillow and ATen agree on geometry and weights and differ in fixed point and in the order of the two passes; both round
//! to bytes between the passes, so the order shows in the result.

mod filter;
mod floats;
mod input;
mod kernels;
mod nearest;
mod passes;
mod resampler;
mod weights;

use std::str::FromStr;

pub(crate) use floats::{FloatResampler, FloatScratch, Table, identity};
pub(crate) use resampler::{Resampler, RowSink, Scratch, Window};
use weights::AxisWeights;

/// Forgets what is kept of earlier resizes.
pub fn trim() {
    passes::trim();
}

use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::options::Backend;
use crate::source::Orientation;

/// When Pillow resamples columns before rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PassOrder {
    /// Never: up to Pillow 12.1.
    Pillow11,
    /// Where the image is over a hundred times taller than wide and shrinks: Pillow 12.2 and 12.3 (python-pillow/Pillow#9524).
    Pillow12,
    /// Where the height shrinks by more than twice as many pixels as the width: Pillow 13 (python-pillow/Pillow#9549).
    #[default]
    Pillow13,
}

impl PassOrder {
    fn vertical_first(self, from: Size, to: Size) -> bool {
        let [in_w, in_h, out_w, out_h] = [from.width, from.height, to.width, to.height].map(i64::from);
        match self {
            Self::Pillow11 => false,
            Self::Pillow12 => in_h > 100 * in_w && out_h < in_h,
            Self::Pillow13 => out_h < in_h && (in_h - out_h) > 2 * (in_w - out_w),
        }
    }
}

/// Whose arithmetic to follow, and how Pillow's passes go where a step is Pillow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    /// Pillow's or ATen's.
    pub backend: Backend,
    /// Pillow's order of passes.
    pub pass_order: PassOrder,
    /// Whether the image lies on its side meanwhile: rows are columns to the rule of passes.
    pub transposed: bool,
    /// Whether its columns, and whether its rows, lie from the last to the first meanwhile: weights are those of the other
    /// direction.
    pub mirrored: [bool; 2],
}

impl Arithmetic {
    /// The names that parse.
    pub const NAMES: &'static str = "pillow, pillow-13, pillow-12, pillow-11, torch";

    /// That of an image which lies as it is meant to.
    pub fn new(backend: Backend, pass_order: PassOrder) -> Self {
        Self { backend, pass_order, transposed: false, mirrored: [false; 2] }
    }

    /// The same for an image as it is stored, which is turned afterwards.
    pub(crate) fn lying(self, orientation: Orientation) -> Self {
        Self { transposed: self.transposed != orientation.swaps_sides(), mirrored: orientation.mirrors(), ..self }
    }

    /// Whether a resize goes over the columns first.
    fn vertical_first(self, from: Size, to: Size) -> bool {
        let first = |from, to| self.backend == Backend::Pillow && self.pass_order.vertical_first(from, to);
        if self.transposed { !first(from.transposed(), to.transposed()) } else { first(from, to) }
    }
}

impl FromStr for Arithmetic {
    type Err = Error;

    /// `pillow` is the newest Pillow's; `pillow-12` is that of 12.2 and 12.3, `pillow-11` that of all before. With `torch`,
    /// steps that are always Pillow's are the newest's.
    fn from_str(name: &str) -> Result<Self> {
        let (backend, pass_order) = match name {
            "torch" => (Backend::Torch, PassOrder::Pillow13),
            "pillow" | "pillow-13" => (Backend::Pillow, PassOrder::Pillow13),
            "pillow-12" => (Backend::Pillow, PassOrder::Pillow12),
            "pillow-11" => (Backend::Pillow, PassOrder::Pillow11),
            _ => return Err(Error::Argument(format!("arithmetic must be one of {}, got {name:?}", Self::NAMES))),
        };
        Ok(Self::new(backend, pass_order))
    }
}
