//! Normalisation in vectors of f32, and lines of values of each type, for any instruction set.
//!
//! Functions here have no features of their own: as those of `runs`, they are inlined into those of an instruction set.

#![allow(clippy::inline_always)] // they would be slow elsewhere

use half::{bf16, f16};

use super::lines::{Lines, Values};
use crate::write::values::Form;

/// Most lanes of a vector.
const MOST: usize = 16;

/// An instruction set that normalises. A vector has as many bytes as a line.
///
/// # Safety of its functions
/// The machine must have the instruction set's features; those that read memory demand more.
pub(super) trait Floats: Lines {
    /// A vector of f32.
    type Vector: Copy;
    /// Its lanes.
    const LANES: usize = Self::BYTES / size_of::<f32>();

    unsafe fn splat(value: f32) -> Self::Vector;

    /// Reads a float for each lane.
    ///
    /// # Safety
    /// [`Self::LANES`] floats from `values` on must be readable.
    unsafe fn read(values: *const f32) -> Self::Vector;

    /// Reads a byte for each lane, as a float.
    ///
    /// # Safety
    /// [`Self::LANES`] bytes from `bytes` on must be readable.
    unsafe fn widen(bytes: *const u8) -> Self::Vector;

    unsafe fn subtract(from: Self::Vector, what: Self::Vector) -> Self::Vector;

    unsafe fn multiply(one: Self::Vector, two: Self::Vector) -> Self::Vector;

    unsafe fn divide(values: Self::Vector, by: Self::Vector) -> Self::Vector;

    /// `add + one * two`, rounded once.
    unsafe fn add_product(add: Self::Vector, one: Self::Vector, two: Self::Vector) -> Self::Vector;

    /// `from - one * two`, rounded once.
    unsafe fn subtract_product(from: Self::Vector, one: Self::Vector, two: Self::Vector) -> Self::Vector;

    /// The same bits.
    unsafe fn to_f32(lanes: Self::Vector) -> Self::Line;

    /// Nearest halves, ties to even.
    unsafe fn to_f16(low: Self::Vector, high: Self::Vector) -> Self::Line;

    /// The upper halves of finite floats, rounded to nearest, ties to even.
    unsafe fn to_bf16(low: Self::Vector, high: Self::Vector) -> Self::Line;
}

/// A divisor and its reciprocal.
#[derive(Clone, Copy)]
struct Divisor<I: Floats> {
    value: I::Vector,
    reciprocal: I::Vector,
}

/// # Safety of its functions
/// The machine must have the instruction set's features.
impl<I: Floats> Divisor<I> {
    #[inline(always)]
    unsafe fn new(value: I::Vector) -> Self {
        // SAFETY: as the caller promises.
        unsafe { Self { value, reciprocal: I::divide(I::splat(1.0), value) } }
    }

    /// Division by a product and one correction of it (Markstein), a quarter of the cost of dividing. It is the rounded
    /// quotient for nearly all operands; [`reproduces`] tells whether for all that occur.
    #[inline(always)]
    unsafe fn divide(&self, values: I::Vector) -> I::Vector {
        // SAFETY: as the caller promises.
        unsafe {
            let quotient = I::multiply(values, self.reciprocal);
            let rest = I::subtract_product(values, quotient, self.value);
            I::add_product(quotient, rest, self.reciprocal)
        }
    }
}

/// What the lanes of a vector are normalised by.
#[derive(Clone, Copy)]
pub(super) struct Operands<I: Floats> {
    divisor: Option<Divisor<I>>,
    mean: I::Vector,
    std: Divisor<I>,
}

impl<I: Floats> Operands<I> {
    /// Those of a vector whose lane `i` belongs to channel `channel(first + i)`.
    ///
    /// # Safety
    /// The machine must have the features.
    #[inline(always)]
    unsafe fn new(form: Form, first: usize, channel: &impl Fn(usize) -> usize) -> Self {
        let (mut mean, mut std) = ([0.0; MOST], [1.0; MOST]);
        for lane in 0..I::LANES {
            let channel = channel(first + lane);
            (mean[lane], std[lane]) = (form.mean[channel], form.std[channel]);
        }
        // SAFETY: as the caller promises; the arrays are no shorter than a vector.
        unsafe {
            // Division by one changes nothing.
            let divisor = if form.divisor == 1.0 { None } else { Some(Divisor::new(I::splat(form.divisor))) };
            Self { divisor, mean: I::read(mean.as_ptr()), std: Divisor::new(I::read(std.as_ptr())) }
        }
    }

    /// The values of as many bytes as a vector has lanes.
    ///
    /// # Safety
    /// The machine must have the features, and as many bytes from `bytes` on must be readable.
    #[inline(always)]
    unsafe fn values(&self, bytes: *const u8) -> I::Vector {
        // SAFETY: as the caller promises.
        unsafe {
            let mut values = I::widen(bytes);
            if let Some(divisor) = &self.divisor {
                values = divisor.divide(values);
            }
            self.std.divide(I::subtract(values, self.mean))
        }
    }
}

/// As [`super::reproduces`].
///
/// # Safety
/// The machine must have the features.
#[inline(always)]
pub(super) unsafe fn reproduces<I: Floats>(form: Form, exact: &[[f32; 256]; 3]) -> bool {
    let bytes: [u8; 256] = std::array::from_fn(|byte| byte as u8);
    let mut same = true;
    for (channel, exact) in exact.iter().enumerate() {
        let mut made = [0f32; 256];
        // SAFETY: the caller has the features; a vector's bytes and values lie in the arrays.
        unsafe {
            let operands = Operands::<I>::new(form, 0, &|_| channel);
            for at in (0..256).step_by(I::LANES) {
                let values = I::to_f32(operands.values(bytes.as_ptr().add(at)));
                made.as_mut_ptr().add(at).cast::<I::Line>().write_unaligned(values);
            }
        }
        same &= made.map(f32::to_bits) == exact.map(f32::to_bits);
    }
    same
}

impl<I: Floats> Values<f32> for I {
    type Operands = Operands<I>;

    #[inline(always)]
    unsafe fn operands(form: Form, channel: impl Fn(usize) -> usize) -> Operands<I> {
        // SAFETY: as the caller promises.
        unsafe { Operands::new(form, 0, &channel) }
    }

    #[inline(always)]
    unsafe fn line(bytes: *const u8, operands: &Operands<I>) -> I::Line {
        // SAFETY: as the caller promises.
        unsafe { I::to_f32(operands.values(bytes)) }
    }
}

macro_rules! half_values {
    ($type:ty, $convert:ident) => {
        impl<I: Floats> Values<$type> for I {
            type Operands = [Operands<I>; 2];

            #[inline(always)]
            unsafe fn operands(form: Form, channel: impl Fn(usize) -> usize) -> [Operands<I>; 2] {
                // SAFETY: as the caller promises.
                unsafe { [Operands::new(form, 0, &channel), Operands::new(form, I::LANES, &channel)] }
            }

            #[inline(always)]
            unsafe fn line(bytes: *const u8, [low, high]: &[Operands<I>; 2]) -> I::Line {
                // SAFETY: as the caller promises.
                unsafe { I::$convert(low.values(bytes), high.values(bytes.add(I::LANES))) }
            }
        }
    };
}

half_values!(f16, to_f16);
half_values!(bf16, to_bf16);

impl<I: Lines> Values<u8> for I {
    type Operands = ();

    #[inline(always)]
    unsafe fn operands(_: Form, _: impl Fn(usize) -> usize) {}

    #[inline(always)]
    unsafe fn line(bytes: *const u8, (): &()) -> I::Line {
        // SAFETY: as the caller promises.
        unsafe { I::load(bytes) }
    }
}
