//! NEON: lines of two vectors, channels parted by a de-interleaving load, values by the reference's own operations.
//!
//! Stores past the caches have no part here: the processors that this is for see a run of whole lines and do so by themselves.

use std::arch::aarch64::{
    float32x4_t, float32x4x2_t, uint8x16x2_t, uint16x8_t, vaddq_u32, vandq_u32, vbslq_u8, vcltq_u8, vcvtq_f32_u32,
    vdivq_f32, vdupq_n_f32, vdupq_n_u8, vdupq_n_u32, vfmaq_f32, vfmsq_f32, vget_low_u16, vld1_u8, vld1q_f32, vld1q_u8,
    vld3q_u8, vmovl_high_u16, vmovl_u8, vmovl_u16, vmulq_f32, vreinterpretq_u8_f32, vreinterpretq_u8_u16,
    vreinterpretq_u16_u32, vreinterpretq_u32_f32, vshrq_n_u32, vst1q_u8, vsubq_f32, vuzp2q_u16,
};
use std::arch::asm;

use super::floats::{self, Floats};
use super::lines::{Lines, Values};
use super::runs;
use super::{PatchRow, Sink, TileRows};
use crate::write::values::Form;

/// The instruction set.
#[derive(Clone, Copy)]
pub(super) struct Neon;

/// The first numbers.
const COUNT: [u8; 32] = {
    let mut count = [0; 32];
    let mut at = 0;
    while at < 32 {
        count[at] = at as u8;
        at += 1;
    }
    count
};

impl Lines for Neon {
    type Line = uint8x16x2_t;
    const BYTES: usize = 32;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(bytes: *const u8) -> uint8x16x2_t {
        // SAFETY: as the caller promises.
        unsafe { uint8x16x2_t(vld1q_u8(bytes), vld1q_u8(bytes.add(16))) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store<const PAST: bool>(out: *mut u8, line: uint8x16x2_t) {
        // SAFETY: as the caller promises.
        unsafe {
            vst1q_u8(out, line.0);
            vst1q_u8(out.add(16), line.1);
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store_first(out: *mut u8, line: uint8x16x2_t, count: usize) {
        let mut bytes = [0u8; 32];
        // SAFETY: as the caller promises.
        unsafe {
            Self::store::<false>(bytes.as_mut_ptr(), line);
            out.copy_from_nonoverlapping(bytes.as_ptr(), count);
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn splice(one: uint8x16x2_t, two: uint8x16x2_t, count: usize) -> uint8x16x2_t {
        let count = vdupq_n_u8(count as u8);
        // SAFETY: the array holds 32 bytes.
        let at = unsafe { Self::load(COUNT.as_ptr()) };
        uint8x16x2_t(vbslq_u8(vcltq_u8(at.0, count), one.0, two.0), vbslq_u8(vcltq_u8(at.1, count), one.1, two.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn part(pixels: *const u8, channels: [*mut u8; 3]) {
        // SAFETY: as the caller promises.
        unsafe {
            let parted = vld3q_u8(pixels);
            vst1q_u8(channels[0], parted.0);
            vst1q_u8(channels[1], parted.1);
            vst1q_u8(channels[2], parted.2);
        }
    }

    #[inline]
    unsafe fn fence() {}

    #[inline]
    unsafe fn prefetch(_: *const u8) {}
}

impl Floats for Neon {
    type Vector = float32x4x2_t;

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn splat(value: f32) -> float32x4x2_t {
        float32x4x2_t(vdupq_n_f32(value), vdupq_n_f32(value))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn read(values: *const f32) -> float32x4x2_t {
        // SAFETY: as the caller promises.
        unsafe { float32x4x2_t(vld1q_f32(values), vld1q_f32(values.add(4))) }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn widen(bytes: *const u8) -> float32x4x2_t {
        // SAFETY: as the caller promises.
        let words = vmovl_u8(unsafe { vld1_u8(bytes) });
        float32x4x2_t(vcvtq_f32_u32(vmovl_u16(vget_low_u16(words))), vcvtq_f32_u32(vmovl_high_u16(words)))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn subtract(from: float32x4x2_t, what: float32x4x2_t) -> float32x4x2_t {
        float32x4x2_t(vsubq_f32(from.0, what.0), vsubq_f32(from.1, what.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn multiply(one: float32x4x2_t, two: float32x4x2_t) -> float32x4x2_t {
        float32x4x2_t(vmulq_f32(one.0, two.0), vmulq_f32(one.1, two.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn divide(values: float32x4x2_t, by: float32x4x2_t) -> float32x4x2_t {
        float32x4x2_t(vdivq_f32(values.0, by.0), vdivq_f32(values.1, by.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn add_product(add: float32x4x2_t, one: float32x4x2_t, two: float32x4x2_t) -> float32x4x2_t {
        float32x4x2_t(vfmaq_f32(add.0, one.0, two.0), vfmaq_f32(add.1, one.1, two.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn subtract_product(from: float32x4x2_t, one: float32x4x2_t, two: float32x4x2_t) -> float32x4x2_t {
        float32x4x2_t(vfmsq_f32(from.0, one.0, two.0), vfmsq_f32(from.1, one.1, two.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn to_f32(lanes: float32x4x2_t) -> uint8x16x2_t {
        uint8x16x2_t(vreinterpretq_u8_f32(lanes.0), vreinterpretq_u8_f32(lanes.1))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn to_f16(low: float32x4x2_t, high: float32x4x2_t) -> uint8x16x2_t {
        let [low, high] = [to_f16(low.0, low.1), to_f16(high.0, high.1)];
        uint8x16x2_t(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn to_bf16(low: float32x4x2_t, high: float32x4x2_t) -> uint8x16x2_t {
        let [low, high] = [to_bf16(low.0, low.1), to_bf16(high.0, high.1)];
        uint8x16x2_t(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high))
    }
}

/// The nearest halves of eight floats. By name: the intrinsics' type is younger than the oldest compiler that we build with.
#[inline]
#[target_feature(enable = "neon")]
fn to_f16(low: float32x4_t, high: float32x4_t) -> uint16x8_t {
    let halves;
    // SAFETY: both instructions are NEON's own, and touch nothing but the registers. They round by the thread's mode, which
    // is to nearest, ties to even, wherever Rust runs.
    unsafe {
        asm!(
            "fcvtn {halves:v}.4h, {low:v}.4s",
            "fcvtn2 {halves:v}.8h, {high:v}.4s",
            halves = out(vreg) halves,
            low = in(vreg) low,
            high = in(vreg) high,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    halves
}

/// The upper halves of eight floats, rounded.
#[inline]
#[target_feature(enable = "neon")]
fn to_bf16(low: float32x4_t, high: float32x4_t) -> uint16x8_t {
    let rounded = |lanes: float32x4_t| {
        let bits = vreinterpretq_u32_f32(lanes);
        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        vreinterpretq_u16_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd))
    };
    vuzp2q_u16(rounded(low), rounded(high))
}

runs::entries!(Neon, "neon");
