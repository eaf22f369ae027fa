//! Portable loops: the definition that every other level must equal.

use crate::resample::AxisWeights;
use crate::source::Interleaving;

/// One row through the horizontal pass, to `output.len() / 3` pixels of packed RGB.
pub(super) fn horizontal(input: &[u8], output: &mut [u8], axis: &AxisWeights, from: Interleaving) {
    let bits = axis.bits();
    let half = 1i32 << (bits - 1);
    for (index, out) in output.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (start, weights) = axis.of(index);
        let mut sums = [half; 3];
        for (pixel, &weight) in (start..).zip(weights) {
            for (channel, sum) in sums.iter_mut().enumerate() {
                *sum += i32::from(input[from.at(pixel, channel)]) * weight;
            }
        }
        *out = sums.map(|sum| clamp(sum >> bits));
    }
}

/// One row of the vertical pass: row `i` weighted by `weights[i]`. `sums` is scratch.
pub(super) fn vertical(rows: &[&[u8]], weights: &[i32], bits: u32, sums: &mut Vec<i32>, output: &mut [u8]) {
    sums.clear();
    sums.resize(output.len(), 1i32 << (bits - 1));
    for (row, &weight) in rows.iter().zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(*row) {
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
