//! Normalisation as a table: a byte has 256 values, so the reference's own operations, in its order, run 256 times per channel.

use super::Element;
use crate::recipe::{Backend, NormalizeOrder, Pixels};

/// The value of every byte in every channel.
pub fn table<T: Element>(pixels: &Pixels, backend: Backend) -> [[T; 256]; 3] {
    std::array::from_fn(|channel| {
        std::array::from_fn(|byte| T::new(byte as u8, normalise(pixels, backend, channel, byte as u8)))
    })
}

fn normalise(pixels: &Pixels, backend: Backend, channel: usize, byte: u8) -> f32 {
    let (mean, std, rescale) = (pixels.mean[channel], pixels.std[channel], pixels.rescale);
    let x = f32::from(byte);
    let standard = |value: f32| (value - mean as f32) / std as f32;
    match (pixels.order, backend, pixels.do_rescale, pixels.do_normalize) {
        // torchvision ToTensor divides in f32.
        (NormalizeOrder::ToTensor, _, true, true) => standard(x / 255.0),
        (NormalizeOrder::ToTensor, _, true, false) => x / 255.0,
        // transformers' torchvision backend folds the factor into mean and deviation (f32 tensor times Python float).
        (NormalizeOrder::Backend, Backend::Torch, true, true) => {
            let inverse = (1.0 / rescale) as f32;
            (x - mean as f32 * inverse) / (std as f32 * inverse)
        }
        (NormalizeOrder::Backend, Backend::Torch, true, false) => x * rescale as f32,
        // transformers' PIL backend rescales in f64, then goes on in f32.
        (NormalizeOrder::Backend, Backend::Pillow, true, true) => standard((f64::from(byte) * rescale) as f32),
        (NormalizeOrder::Backend, Backend::Pillow, true, false) => (f64::from(byte) * rescale) as f32,
        (_, _, false, _) => standard(x),
    }
}
