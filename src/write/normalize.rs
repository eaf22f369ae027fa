//! Normalisation as a table: the reference's operations run once for each of the 256 values of a byte, per channel.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use half::bf16;

use super::values::{Form, Values};
use super::{DType, Element, kernels};
use crate::error::Result;
use crate::options::Backend;
use crate::recipe::{NormalizeAs, Pixels};
use crate::simd::Level;

/// Tables that are kept, of the whole process; each is looked at when one is wanted. The least recently used go first.
const MOST_KEPT: usize = 16;

/// A table, of any type of value, and what it depends on.
struct Kept {
    pixels: Pixels,
    backend: Backend,
    values: Arc<dyn Any + Send + Sync>,
}

static KEPT: Mutex<VecDeque<Kept>> = Mutex::new(VecDeque::new());

impl<T: Element> Values<T> {
    /// The values of a recipe's normalisation, by a backend's order of operations. They are kept: of a small image they would be
    /// a tenth of the work. Never waits for the lock: another thread may hold it, even one that a fork left behind.
    pub(crate) fn of(pixels: &Pixels, backend: Backend) -> Result<Arc<Self>> {
        let is_wanted = |kept: &Kept| kept.backend == backend && kept.values.is::<Self>() && kept.pixels == *pixels;
        if let Ok(mut all) = KEPT.try_lock()
            && let Some(found) = all.iter().position(is_wanted)
            && let Some(kept) = all.remove(found)
        {
            let values = Arc::clone(&kept.values);
            all.push_back(kept);
            if let Ok(values) = values.downcast() {
                return Ok(values);
            }
        }
        let values = Arc::new(Self::at_level(Level::current()?, pixels, backend));
        if let Ok(mut all) = KEPT.try_lock() {
            all.push_back(Kept { pixels: pixels.clone(), backend, values: Arc::clone(&values) as _ });
            if all.len() > MOST_KEPT {
                all.pop_front();
            }
        }
        Ok(values)
    }

    /// As [`Self::of`], made anew, with the vectors of a level of this machine.
    pub(super) fn at_level(level: Level, pixels: &Pixels, backend: Backend) -> Self {
        let exact: [[f32; 256]; 3] =
            std::array::from_fn(|channel| std::array::from_fn(|byte| normalise(pixels, backend, channel, byte as f32)));
        let table = exact.map(|channel| std::array::from_fn(|byte| T::new(byte as u8, channel[byte])));
        let form = match T::DTYPE {
            DType::UInt8 => Some(Form::IDENTITY),
            _ => Form::candidate(pixels, backend).filter(|form| kernels::reproduces(level, *form, &exact)),
        };
        Self { table, vectors: form.map(|form| (level, form)) }
    }
}

/// What a value of 0 to 255, or a little beyond, becomes.
pub(super) fn normalise(pixels: &Pixels, backend: Backend, channel: usize, x: f32) -> f32 {
    let (mean, std, rescale) = (pixels.mean[channel], pixels.std[channel], pixels.rescale);
    let standard = |value: f32| (value - mean as f32) / std as f32;
    match (pixels.normalize_as, backend, pixels.do_rescale, pixels.do_normalize) {
        // torchvision ToTensor divides in f32.
        (NormalizeAs::ToTensor, _, true, true) => standard(x / 255.0),
        (NormalizeAs::ToTensor, _, true, false) => x / 255.0,
        // transformers' torchvision backend folds the factor into mean and deviation (f32 tensor times Python float).
        (NormalizeAs::Transformers, Backend::Torch, true, true) => {
            let inverse = (1.0 / rescale) as f32;
            (x - mean as f32 * inverse) / (std as f32 * inverse)
        }
        (NormalizeAs::Transformers, Backend::Torch, true, false) | (NormalizeAs::BFloat16, _, true, false) => {
            x * rescale as f32
        }
        // transformers' PIL backend rescales in f64, then goes on in f32.
        (NormalizeAs::Transformers, Backend::Pillow, true, true) => standard((f64::from(x) * rescale) as f32),
        (NormalizeAs::Transformers, Backend::Pillow, true, false) => (f64::from(x) * rescale) as f32,
        // Each operation of a bfloat16 tensor rounds to it; Python floats and a mean's tensor come as its type.
        (NormalizeAs::BFloat16, _, true, true) => {
            let low = |value: f32| bf16::from_f32(value).to_f32();
            let value = low(low(x) * rescale as f32);
            low(low(value - low(mean as f32)) / low(std as f32))
        }
        (_, _, false, _) => standard(x),
    }
}

impl Form {
    /// Bytes as they are.
    const IDENTITY: Self = Self { divisor: 1.0, mean: [0.0; 3], std: [1.0; 3] };

    /// The form that is likely to give the reference's bits. Orders of operations differ in the last bit of some values, so
    /// it counts only once it has reproduced the table.
    fn candidate(pixels: &Pixels, backend: Backend) -> Option<Self> {
        if !pixels.do_normalize || pixels.normalize_as == NormalizeAs::BFloat16 {
            return None;
        }
        let (mean, std) = (pixels.mean.map(|mean| mean as f32), pixels.std.map(|std| std as f32));
        let inverse = (1.0 / pixels.rescale) as f32;
        Some(match (pixels.do_rescale, pixels.normalize_as, backend) {
            (false, ..) => Self { divisor: 1.0, mean, std },
            (true, NormalizeAs::Transformers, Backend::Torch) => {
                Self { divisor: 1.0, mean: mean.map(|mean| mean * inverse), std: std.map(|std| std * inverse) }
            }
            _ => Self { divisor: inverse, mean, std },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, names};

    #[test]
    fn kept_tables_are_told_apart() {
        let pixels = Recipe::load("clip", &toml::Table::new()).unwrap().pixels.clone();
        let other = Pixels { rescale: 1.0 / 127.5, ..pixels.clone() };
        for _ in 0..2 {
            for (pixels, backend) in [
                (&pixels, Backend::Torch),
                (&other, Backend::Torch),
                (&pixels, Backend::Pillow),
                (&other, Backend::Pillow),
            ] {
                let exact = Values::<f32>::at_level(Level::Scalar, pixels, backend).table;
                assert_eq!(Values::<f32>::of(pixels, backend).unwrap().table, exact);
                let bits = Values::<bf16>::at_level(Level::Scalar, pixels, backend).table;
                assert_eq!(Values::<bf16>::of(pixels, backend).unwrap().table, bits);
            }
        }
        let one = Values::<f32>::of(&pixels, Backend::Torch).unwrap();
        assert!(Arc::ptr_eq(&one, &Values::of(&pixels, Backend::Torch).unwrap()) || KEPT.try_lock().is_err());
        assert!(KEPT.lock().unwrap().len() <= MOST_KEPT);
    }

    #[test]
    fn every_builtin_recipe_that_normalises_in_f32_has_a_vector_form() {
        for (level, name) in Level::available()
            .into_iter()
            .skip(1)
            .flat_map(|level| names().unwrap().into_iter().map(move |name| (level, name)))
        {
            let recipe = Recipe::load(name, &toml::Table::new()).unwrap();
            if !recipe.pixels.do_normalize || recipe.pixels.normalize_as == NormalizeAs::BFloat16 {
                continue;
            }
            for backend in [Backend::Pillow, Backend::Torch] {
                let values = Values::<f32>::at_level(level, &recipe.pixels, backend);
                assert!(values.vectors.is_some(), "{level:?} {name} {backend:?}");
            }
        }
    }
}
