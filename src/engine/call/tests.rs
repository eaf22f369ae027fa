use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::limits::Limits;
use crate::source::{ColourKey, Decoder, OwnedImage, PixelView};
use crate::threads::stoppable;
use crate::write::{DType, Sink, Tensor};

/// Pixels that count how often they are read.
struct Counted {
    image: OwnedImage,
    reads: Arc<AtomicUsize>,
}

impl PixelOwner for Counted {
    fn view(&self) -> Result<PixelView<'_>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.image.view()
    }
}

fn image(seed: u8) -> OwnedImage {
    let size = Size::new(40, 30);
    let data = (0..size.area() * 3).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect();
    OwnedImage::new(size, data).unwrap()
}

/// A PNG that ends before its pixels do.
fn truncated() -> Input<'static> {
    let mut bytes = Cursor::new(Vec::new());
    let pixels = image::RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * y) as u8, (x * 7) as u8, (y * 5) as u8]));
    pixels.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let mut bytes = bytes.into_inner();
    bytes.truncate(bytes.len() / 2);
    Input::Bytes(Box::new(bytes))
}

fn settings(layout: LayoutKind, scaled: bool) -> Settings {
    let (arithmetic, limits) = ("pillow".parse().unwrap(), Limits::default());
    Settings { layout, dtype: DType::UInt8, arithmetic, scaled, limits, decoder: Decoder::Own }
}

fn recipe(name: &str) -> Arc<Recipe> {
    Arc::new(Recipe::load(name, &toml::Table::new()).unwrap())
}

fn tensors<'c>(call: &'c mut Call<'_>) -> &'c [Tensor] {
    assert!(call.lay_out().unwrap().is_empty());
    &call.layout().unwrap().tensors
}

fn run(call: &mut Call<'_>, memory: &mut [Vec<u8>]) -> Vec<Failure> {
    let lengths: Vec<usize> = tensors(call).iter().map(Tensor::len).collect();
    let mut sinks: Vec<_> =
        memory.iter_mut().zip(lengths).map(|(one, len)| Sink::from_slice(&mut one[..len])).collect();
    call.run(&mut sinks, Threads::ONE).unwrap_or_default()
}

fn memory(call: &mut Call<'_>) -> Vec<Vec<u8>> {
    tensors(call).iter().map(|tensor| vec![7; tensor.len()]).collect()
}

#[test]
fn what_is_written_is_moved_and_not_written_again() {
    for name in ["qwen2-vl", "llava-1.5", "llava-next", "deepseek-ocr-2", "siglip2-naflex"] {
        for layout in [LayoutKind::Hf, LayoutKind::Packed] {
            let reads = Arc::new(AtomicUsize::new(0));
            let good = |seed| {
                let counted = Counted { image: image(seed), reads: Arc::clone(&reads) };
                Item::Image(Input::Pixels(Box::new(counted)))
            };
            let items = vec![good(0), Item::Image(truncated()), good(1), Item::Image(truncated()), good(2)];
            let (mut call, failures) =
                Call::new(recipe(name), settings(layout, false), items, None, Threads::ONE).unwrap();
            assert!(failures.is_empty());
            let mut found = memory(&mut call);
            let failures = run(&mut call, &mut found);
            assert_eq!(failures.iter().map(|failure| failure.item).collect::<Vec<_>>(), [1, 3]);
            let before = reads.load(Ordering::Relaxed);
            assert!(call.leave_out([1, 3]).is_empty());
            tensors(&mut call);
            call.compact(&mut found.iter_mut().map(|values| Sink::from_slice(values)).collect::<Vec<_>>());
            assert!(run(&mut call, &mut found).is_empty());
            assert_eq!(reads.load(Ordering::Relaxed), before, "{name}");

            let items = vec![good(0), good(1), good(2)];
            let (mut alone, _) = Call::new(recipe(name), settings(layout, false), items, None, Threads::ONE).unwrap();
            let mut expected = memory(&mut alone);
            assert!(run(&mut alone, &mut expected).is_empty());
            for (found, expected) in found.iter().zip(&expected) {
                assert!(found.starts_with(expected), "{name} {layout:?}");
            }
        }
    }
}

#[test]
fn padding_is_not_written_once_a_call_is_stopped() {
    let wide = OwnedImage::new(Size::new(1000, 300), vec![9; 900_000]).unwrap();
    let items = [wide, image(0)].map(|image| Item::Image(Input::Pixels(Box::new(image))));
    let make = || Call::new(recipe("llava-next"), settings(LayoutKind::Hf, false), items.into(), None, Threads::ONE);
    let (mut call, _) = make().unwrap();
    let mut found = memory(&mut call);
    assert!(!tensors(&mut call)[0].zeros.is_empty());
    let stopped = stoppable(
        || true,
        || {
            std::thread::sleep(Duration::from_millis(60));
            Ok(run(&mut call, &mut found))
        },
    );
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert!(found[0].iter().all(|&value| value == 7));
}

#[test]
fn a_file_is_decoded_for_the_plan_of_its_sample() {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/vlmres/samples/photo.jpg");
    for name in ["llava-onevision", "llava-1.5"] {
        let items = vec![Item::Image(Input::Path(path.clone())), Item::Image(Input::Path(path.clone()))];
        let (call, _) =
            Call::new(recipe(name), settings(LayoutKind::Hf, true), items, Some(vec![2]), Threads::ONE).unwrap();
        let plan = call.plans().next().flatten().unwrap();
        assert!(plan.reduction() > 1 || name != "llava-1.5");
        let decoded = call.items[0].sources[0].decode(plan, true, ColourKey::Kept, Threads::ONE).unwrap().unwrap();
        assert_eq!(decoded.size(), plan.reduced_size(), "{name}");
    }
}
