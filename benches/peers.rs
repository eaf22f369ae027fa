//! The resize beside those of other crates: same pixels, bytes to bytes, bicubic over the filter's whole support, one thread.
//! `cargo bench --bench peers`
//!
//! - `vlmres` makes its result, so that an allocation is part of it; its pixels are Pillow's.
//! - `fast_image_resize` writes to memory that is used again, `fast_image_resize fresh` to an image of its own per call. It
//!   has kernels up to AVX2: `VLMRES_FORCE_LEVEL=avx2` holds vlmres to the same instructions.
//! - `image` is `image::imageops::resize`, which works in float32 and makes its result.
//!
//! How far each is from Pillow's pixels is printed first.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use vlmres::engine;
use vlmres::geometry::Size;
use vlmres::limits::Limits;
use vlmres::recipe::Filter;
use vlmres::resample::Arithmetic;
use vlmres::source::{Encoded, OwnedImage, PixelView};
use vlmres::threads::Threads;

const CASES: [(Size, Size); 3] = [
    (Size::new(4032, 3024), Size::new(1288, 966)),
    (Size::new(1920, 1080), Size::new(1288, 728)),
    (Size::new(640, 480), Size::new(1344, 896)),
];

fn exact(source: PixelView<'_>, to: Size) -> OwnedImage {
    let pillow: Arithmetic = "pillow".parse().expect("the name is one of the known");
    engine::resize(source, to, Filter::Bicubic, pillow, Threads::ONE).expect("the photo resizes")
}

fn furthest(pixels: &[u8], exact: &[u8]) -> u8 {
    assert_eq!(pixels.len(), exact.len(), "results have the same size");
    pixels.iter().zip(exact).map(|(one, other)| one.abs_diff(*other)).max().unwrap_or(0)
}

fn resize(criterion: &mut Criterion) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/vlmres/samples/photo.jpg");
    let photo = Encoded::Path(&path).decode(&Limits::default()).expect("the sample photo decodes");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    for (from, to) in CASES {
        let bytes = exact(photo.view().expect("a decoded image is whole"), from).into_bytes();
        let source = PixelView::packed(&bytes, from).expect("the bytes fit the size");
        let borrowed = ImageRef::new(from.width, from.height, &bytes, PixelType::U8x3).expect("the bytes fit the size");
        let owned = RgbImage::from_raw(from.width, from.height, bytes.clone()).expect("the bytes fit the size");
        let catmull_rom = image::imageops::FilterType::CatmullRom;
        let mut resizer = Resizer::new();
        let mut memory = Image::new(to.width, to.height, PixelType::U8x3);

        let pixels = exact(source, to).into_bytes();
        resizer.resize(&borrowed, &mut memory, &options).expect("both images are U8x3");
        let float = image::imageops::resize(&owned, to.width, to.height, catmull_rom);
        let name = format!("{}x{} to {}x{}", from.width, from.height, to.width, to.height);
        println!(
            "{name}: furthest from Pillow: fast_image_resize {}, image {}",
            furthest(memory.buffer(), &pixels),
            furthest(&float, &pixels)
        );

        let mut group = criterion.benchmark_group(format!("peers/{name}"));
        group.throughput(Throughput::Elements(from.area()));
        group.bench_function("vlmres", |bencher| bencher.iter(|| exact(black_box(source), to)));
        group.bench_function("fast_image_resize", |bencher| {
            bencher.iter(|| resizer.resize(black_box(&borrowed), &mut memory, &options));
        });
        group.bench_function("fast_image_resize fresh", |bencher| {
            bencher.iter(|| {
                let mut fresh = Image::new(to.width, to.height, PixelType::U8x3);
                resizer.resize(black_box(&borrowed), &mut fresh, &options).map(|()| fresh)
            });
        });
        group.bench_function("image", |bencher| {
            bencher.iter(|| image::imageops::resize(black_box(&owned), to.width, to.height, catmull_rom));
        });
    }
}

fn config() -> Criterion {
    Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3))
}

criterion_group! { name = benches; config = config(); targets = resize }
criterion_main!(benches);
