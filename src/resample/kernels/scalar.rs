//! Portable loops: the definition that every other level must equal.

use crate::resample::AxisWeights;
use crate::source::Interleaving;

/// One row through the horizontal pass, to `output.len() / 3` pixels of packed RGB.
pub(super) fn horizontal(input: &[u8], output: &mut [u8], axis: &AxisWeights, from: Interleaving) {
    for (index, out) in output.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (start, weights) = axis.of(index);
        *out = pixel(input, start, weights, axis.bits(), from);
    }
}

/// One pixel of a row: the weighted sum of those from `start` on.
pub(super) fn pixel(input: &[u8], start: usize, weights: &[i32], bits: u32, from: Interleaving) -> [u8; 3] {
    let mut sums = [1i32 << (bits - 1); 3];
    if from == Interleaving::RGB {
        let pixels = input[start * 3..].as_chunks::<3>().0[..weights.len()].iter();
        for (pixel, &weight) in pixels.zip(weights) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(value) * weight;
            }
        }
    } else {
        for (pixel, &weight) in (start..).zip(weights) {
            for (channel, sum) in sums.iter_mut().enumerate() {
                *sum += i32::from(input[from.at(pixel, channel)]) * weight;
            }
        }
    }
    sums.map(|sum| clamp(sum >> bits))
}

/// One row of the vertical pass: row `i` weighted by `weights[i]`. `sums` is scratch.
pub(super) fn vertical(rows: &[&[u8]], weights: &[i32], bits: u32, sums: &mut Vec<i32>, output: &mut [u8]) {
    sums.clear();
    sums.resize(output.len(), 1i32 << (bits - 1));
    add(rows, weights, sums);
    round(sums, bits, output);
}

/// Adds rows, row `i` weighted by `weights[i]`.
pub(super) fn add(rows: &[&[u8]], weights: &[i32], sums: &mut [i32]) {
    for (row, &weight) in rows.iter().zip(weights) {
        for (sum, &value) in sums.iter_mut().zip(*row) {
            *sum += i32::from(value) * weight;
        }
    }
}

/// Sums without their fraction bits, as bytes.
pub(super) fn round(sums: &[i32], bits: u32, output: &mut [u8]) {
    for (out, &sum) in output.iter_mut().zip(sums) {
        *out = clamp(sum >> bits);
    }
}

fn clamp(value: i32) -> u8 {
    value.clamp(0, 255) as u8
}
