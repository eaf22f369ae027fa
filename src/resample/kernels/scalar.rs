//! Portable loops: the definition that every other level must equal.

use super::Rows;
use crate::resample::AxisWeights;

/// One row through the horizontal pass: packed RGB `input` to `output.len() / 3` pixels.
pub(super) fn horizontal(input: &[u8], output: &mut [u8], axis: &AxisWeights) {
    let bits = axis.bits();
    let half = 1i32 << (bits - 1);
    for (index, out) in output.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (start, weights) = axis.of(index);
        let (pixels, _) = input[start * 3..].as_chunks::<3>();
        let mut sums = [half; 3];
        for (pixel, &weight) in pixels.iter().zip(weights) {
            for channel in 0..3 {
                sums[channel] += i32::from(pixel[channel]) * weight;
            }
        }
        *out = sums.map(|sum| clamp(sum >> bits));
    }
}

/// One row of the vertical pass: row `i` weighted by `weights[i]`. `sums` is scratch.
pub(super) fn vertical(rows: Rows<'_>, weights: &[i32], bits: u32, sums: &mut Vec<i32>, output: &mut [u8]) {
    sums.clear();
    sums.resize(output.len(), 1i32 << (bits - 1));
    for (index, &weight) in weights.iter().enumerate() {
        for (sum, &value) in sums.iter_mut().zip(rows.row(index)) {
            *sum += i32::from(value) * weight;
        }
    }
    for (out, &sum) in output.iter_mut().zip(sums.iter()) {
        *out = clamp(sum >> bits);
    }
}

fn clamp(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}
