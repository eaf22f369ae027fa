//! Weighted sums, each product and sum rounded as in ATen's kernels. A fused operation is one instruction where the level has
//! it, and a function of the system where it has not: the bits are the same.

use super::axis::Axis;
use crate::simd::Level;

/// A function that is compiled twice: as it is, and for a level's instructions.
macro_rules! at_level {
    ($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        pub(super) fn $name(level: Level, $($argument: $type),*) {
            #[allow(clippy::inline_always)] // else the second would call the first
            #[inline(always)]
            fn portable($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn fused($($argument: $type),*) {
                    portable($($argument),*);
                }
                if level != Level::Scalar {
                    // SAFETY: the level was found on this machine.
                    unsafe { fused($($argument),*) };
                    return;
                }
            }
            let _ = level;
            portable($($argument),*);
        }
    };
}

at_level! {
    /// The weighted sum of rows; the products of the `rounded` rows after the first are rounded.
    fn rows(rows: &[(&[f32], f32)], rounded: usize, out: &mut [f32]) {
        for (index, &(row, weight)) in rows.iter().enumerate() {
            let pairs = out.iter_mut().zip(row);
            if index == 0 {
                pairs.for_each(|(out, value)| *out = value * weight);
            } else if index <= rounded {
                pairs.for_each(|(out, value)| *out += value * weight);
            } else {
                pairs.for_each(|(out, value)| *out = value.mul_add(weight, *out));
            }
        }
    }
}

at_level! {
    /// Every output pixel of a row.
    fn columns(pixels: &[[f32; 3]], axis: &Axis, out: &mut [[f32; 3]]) {
        for (column, out) in out.iter_mut().enumerate() {
            let (taps, rounded) = axis.taps(column);
            let mut sum = pixels[taps[0].index as usize].map(|value| value * taps[0].weight);
            for tap in &taps[1..=rounded] {
                let pixel = pixels[tap.index as usize];
                (0..3).for_each(|channel| sum[channel] += pixel[channel] * tap.weight);
            }
            for tap in &taps[1 + rounded..] {
                let pixel = pixels[tap.index as usize];
                (0..3).for_each(|channel| sum[channel] = pixel[channel].mul_add(tap.weight, sum[channel]));
            }
            *out = sum;
        }
    }
}

at_level! {
    /// Every output pixel of a row from the pixels of two rows, (row, weight) each: the weights of the four corners are
    /// products, and the upper right corner is the first of the sum.
    fn corners(above: (&[[f32; 3]], f32), below: (&[[f32; 3]], f32), axis: &Axis, out: &mut [[f32; 3]]) {
        let ((above, upper), (below, lower)) = (above, below);
        for (column, out) in out.iter_mut().enumerate() {
            let (taps, _) = axis.taps(column);
            let (left, right) = (taps[0], taps[1]);
            let weight = upper * right.weight;
            let mut sum = above[right.index as usize].map(|value| value * weight);
            for (row, tap, weight) in [
                (above, left, upper * left.weight),
                (below, left, lower * left.weight),
                (below, right, lower * right.weight),
            ] {
                let pixel = row[tap.index as usize];
                (0..3).for_each(|channel| sum[channel] = pixel[channel].mul_add(weight, sum[channel]));
            }
            *out = sum;
        }
    }
}
