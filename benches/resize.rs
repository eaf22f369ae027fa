//! The exact resize, bytes to bytes, on one thread. `cargo bench --bench resize`

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use vlmres::engine;
use vlmres::geometry::Size;
use vlmres::limits::Limits;
use vlmres::recipe::Filter;
use vlmres::source::{Encoded, OwnedImage};
use vlmres::threads::Threads;

fn photo() -> OwnedImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/vlmres/samples/photo.jpg");
    Encoded::Path(&path).decode(&Limits::default()).expect("the sample photo decodes")
}

fn resize(criterion: &mut Criterion) {
    let photo = photo();
    let source = photo.view().expect("a decoded image is whole");
    let sizes = [Size::new(1288, 728), Size::new(448, 448), Size::new(336, 336), Size::new(2688, 1512)];
    for arithmetic in ["pillow", "torch"] {
        let mut group = criterion.benchmark_group(format!("resize/{arithmetic}"));
        let rule = arithmetic.parse().expect("the name is one of the known");
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            for to in sizes {
                group.throughput(Throughput::Elements(photo.size().area()));
                let id = BenchmarkId::new(format!("{filter:?}"), format!("{}x{}", to.width, to.height));
                group.bench_function(id, |bencher| {
                    bencher.iter(|| engine::resize(black_box(source), to, filter, rule, Threads::ONE));
                });
            }
        }
    }
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20); targets = resize }
criterion_main!(benches);
