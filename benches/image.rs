//! Whole images to tensors, and the same without a resize. `cargo bench --bench image`

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use vlmres::engine::{self, Item, Threads};
use vlmres::geometry::Size;
use vlmres::plan::Plan;
use vlmres::recipe::{Filter, Recipe};
use vlmres::resample::Arithmetic;
use vlmres::source::{DEFAULT_MAX_PIXELS, Encoded, OwnedImage};
use vlmres::write::{BatchLayout, Element, LayoutKind, Sink};

fn photo() -> OwnedImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images/photo.jpg");
    Encoded::Path(&path).decode(DEFAULT_MAX_PIXELS).expect("the sample photo decodes")
}

fn pillow() -> Arithmetic {
    "pillow".parse().expect("the name is one of the known")
}

/// One image through one recipe into recycled memory, on one thread.
fn run<T: Element>(
    criterion: &mut Criterion,
    group: &str,
    name: &str,
    image: &OwnedImage,
    recipe: &Recipe,
    kind: LayoutKind,
) {
    let plan = Plan::new(recipe, image.size()).expect("the size can be planned");
    let layout = BatchLayout::new(recipe, &[&plan], kind).expect("one image makes a batch");
    let mut memory: Vec<Vec<T>> = layout.tensors.iter().map(|tensor| vec![T::zero(); tensor.len()]).collect();
    let items = [Item { source: image.view().expect("a decoded image is whole"), plan: &plan }];
    let mut group = criterion.benchmark_group(group);
    let bytes: usize = memory.iter().map(|values| values.len() * size_of::<T>()).sum();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(format!("{name}/{}", T::DTYPE.name()), |bencher| {
        bencher.iter(|| {
            let sinks: Vec<_> = memory.iter_mut().map(|values| Sink::from_slice(values)).collect();
            engine::execute(black_box(&items), &recipe.pixels, pillow(), &layout, &sinks, Threads::ONE)
        });
    });
}

fn recipe(name: &str) -> Recipe {
    Recipe::load(name, &toml::Table::new()).expect("a built-in recipe loads")
}

/// Images that already have the size of their plan: normalisation and patch order alone.
fn patchify(criterion: &mut Criterion) {
    let photo = photo();
    let view = photo.view().expect("a decoded image is whole");
    let to = Size::new(1288, 728);
    let exact = engine::resize(view, to, Filter::Bicubic, pillow(), Threads::ONE).expect("the photo resizes");
    let qwen = recipe("qwen2-vl");
    run::<f32>(criterion, "patchify", "hf", &exact, &qwen, LayoutKind::Hf);
    run::<bf16>(criterion, "patchify", "hf", &exact, &qwen, LayoutKind::Hf);
    run::<f32>(criterion, "patchify", "packed", &exact, &qwen, LayoutKind::Packed);
    run::<u8>(criterion, "patchify", "packed", &exact, &qwen, LayoutKind::Packed);
}

/// The sample photograph through a recipe of every strategy.
fn image(criterion: &mut Criterion) {
    let photo = photo();
    for name in ["llava-1.5", "internvl2", "qwen2-vl", "deepseek-ocr-gundam"] {
        let recipe = recipe(name);
        run::<f32>(criterion, "image", &format!("{name}/hf"), &photo, &recipe, LayoutKind::Hf);
        run::<u8>(criterion, "image", &format!("{name}/packed"), &photo, &recipe, LayoutKind::Packed);
    }
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = patchify, image }
criterion_main!(benches);
