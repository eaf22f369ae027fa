//! Whole images to tensors, and the same without a resize. `cargo bench --bench image`

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use vlmres::engine::{self, Call, Input, Item, Settings};
use vlmres::geometry::Size;
use vlmres::limits::Limits;
use vlmres::recipe::{Filter, Recipe};
use vlmres::resample::Arithmetic;
use vlmres::source::{Decoder, Encoded, OwnedImage};
use vlmres::threads::Threads;
use vlmres::write::{Element, LayoutKind, Sink};

fn photo() -> OwnedImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/vlmres/samples/photo.jpg");
    Encoded::Path(&path).decode(&Limits::default()).expect("the sample photo decodes")
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
    arithmetic: Arithmetic,
) {
    let recipe = Arc::new(recipe.clone());
    let limits = Limits::default();
    let settings = Settings { layout: kind, dtype: T::DTYPE, arithmetic, scaled: false, limits, decoder: Decoder::Own };
    let planned = || {
        let view = image.view().expect("a decoded image is whole");
        let items = vec![Item::Image(Input::Pixels(Box::new(view)))];
        Call::new(Arc::clone(&recipe), settings.clone(), items, None, Threads::ONE).expect("the size can be planned").0
    };
    let mut call = planned();
    call.lay_out().expect("one image makes a batch");
    let tensors = &call.layout().expect("it is laid out").tensors;
    let mut memory: Vec<Vec<T>> = tensors.iter().map(|tensor| vec![T::zero(); tensor.len()]).collect();
    let mut group = criterion.benchmark_group(group);
    let bytes: usize = memory.iter().map(|values| values.len() * size_of::<T>()).sum();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function(format!("{name}/{}", T::DTYPE.name()), |bencher| {
        bencher.iter(|| {
            let mut sinks: Vec<_> = memory.iter_mut().map(|values| Sink::from_slice(values)).collect();
            let mut call = black_box(planned());
            call.lay_out().expect("one image makes a batch");
            call.run(&mut sinks, Threads::ONE)
        });
    });
}

fn recipe_at(name: &str, parameter: &str, value: i64) -> Recipe {
    let overrides = toml::Table::from_iter([(parameter.to_owned(), value.into())]);
    Recipe::load(name, &overrides).expect("a built-in recipe loads")
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
    run::<f32>(criterion, "patchify", "hf", &exact, &qwen, LayoutKind::Hf, pillow());
    run::<bf16>(criterion, "patchify", "hf", &exact, &qwen, LayoutKind::Hf, pillow());
    run::<f32>(criterion, "patchify", "packed", &exact, &qwen, LayoutKind::Packed, pillow());
    run::<u8>(criterion, "patchify", "packed", &exact, &qwen, LayoutKind::Packed, pillow());
}

/// The sample photograph through a recipe of every strategy.
fn image(criterion: &mut Criterion) {
    let photo = photo();
    for name in ["llava-1.5", "internvl2", "qwen2-vl", "deepseek-ocr-gundam"] {
        let recipe = recipe(name);
        run::<f32>(criterion, "image", &format!("{name}/hf"), &photo, &recipe, LayoutKind::Hf, pillow());
        run::<u8>(criterion, "image", &format!("{name}/packed"), &photo, &recipe, LayoutKind::Packed, pillow());
    }
}

/// Stores every line of some memory past the caches: what writing an output costs at least.
fn stream(memory: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, _mm_set1_epi8, _mm_sfence, _mm_stream_si128};
        // SAFETY: every x86-64 has these, and the stores are aligned and stay in the middle part.
        unsafe {
            let (_, lines, _) = memory.align_to_mut::<__m128i>();
            for line in lines {
                _mm_stream_si128(line, _mm_set1_epi8(1));
            }
            _mm_sfence();
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    memory.fill(1);
}

/// The sample photograph to float32 patches, beside its parts alone: the exact resize, and writing so many bytes.
fn fused(criterion: &mut Criterion) {
    let photo = photo();
    let view = photo.view().expect("a decoded image is whole");
    let recipe = recipe_at("qwen2-vl", "max_pixels", 1280 * 28 * 28);
    let to = Size::new(1288, 728);
    let torch = "torch".parse().expect("the name is one of the known");
    let mut pixels = vec![0; to.area() as usize * 3];
    criterion.bench_function("fused/the resize alone", |bencher| {
        bencher.iter(|| {
            let mut sink = Sink::from_slice(&mut pixels);
            engine::resize_into(black_box(view), to, Filter::Bicubic, torch, &mut sink, Threads::ONE)
        });
    });
    let mut memory = vec![1; to.area() as usize * 3 * 2 * size_of::<f32>()];
    criterion.bench_function("fused/streaming stores alone", |bencher| bencher.iter(|| stream(black_box(&mut memory))));
    run::<f32>(criterion, "fused", "qwen2-vl", &photo, &recipe, LayoutKind::Hf, torch);
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = patchify, image, fused }
criterion_main!(benches);
