//! Recipes as text: refused, or a recipe that is written back equal and plans.

#![no_main]

use libfuzzer_sys::fuzz_target;
use toml::Table;
use vlmres::geometry::Size;
use vlmres::plan::Plan;
use vlmres::recipe::Recipe;

fuzz_target!(init: vlmres_fuzz::init(), |text: &str| {
    let none = Table::new();
    let Ok(recipe) = Recipe::from_text(text, None, &none) else { return };
    let written = recipe.to_toml();
    let again = Recipe::from_text(&written, Some(recipe.name()), &none);
    assert!(again.is_ok_and(|again| again == recipe), "is not written back equal:\n{written}");
    for (width, height) in [(1, 1), (640, 480), (1, 100_000), (30_000, 30_000)] {
        let size = Size::new(width, height);
        let plans = [Plan::new(&recipe, size), Plan::among(&recipe, size, 3), Plan::of_video(&recipe, size, 7)];
        for plan in plans.into_iter().flatten() {
            std::hint::black_box((plan.num_patches(), plan.reduced_size(), plan.num_tiles()));
        }
    }
});
