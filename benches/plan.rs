//! Plans per second. `cargo bench --bench plan`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vlmres::geometry::Size;
use vlmres::plan::Plan;
use vlmres::recipe::{self, Recipe};

fn plan(criterion: &mut Criterion) {
    let sizes: Vec<Size> =
        (1..=1000u32).map(|index| Size::new(64 + index * 7 % 4000, 64 + index * 13 % 4000)).collect();
    let mut group = criterion.benchmark_group("plan");
    group.throughput(Throughput::Elements(sizes.len() as u64));
    for name in recipe::names().expect("the built-in recipes load") {
        let recipe = Recipe::load(name, &toml::Table::new()).expect("a built-in recipe loads");
        group.bench_function(name, |bencher| {
            bencher.iter(|| sizes.iter().filter(|size| Plan::new(black_box(&recipe), **size).is_ok()).count());
        });
    }
}

criterion_group!(benches, plan);
criterion_main!(benches);
