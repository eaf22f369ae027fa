//! Configuration files of checkpoints: refused, or followed to a recipe that plans.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmres::geometry::Size;
use vlmres::plan::Plan;
use vlmres::recipe::{CheckpointFiles, Hints, Recipe, names};

fuzz_target!(init: vlmres_fuzz::init(), |text: &str| {
    let Ok(files) = CheckpointFiles::of_text(text) else { return };
    let family = names().expect("built-in recipes")[text.len() % 64 % names().unwrap().len()].to_owned();
    for family in [None, Some(family)] {
        let hints = Hints { family, ignore: Vec::new() };
        let Ok(recipe) = Recipe::from_checkpoint(&files, &hints) else { continue };
        let again = recipe.replace(&recipe.overrides());
        assert!(again.is_ok_and(|again| again == recipe), "its own overrides make another recipe");
        for (width, height) in [(640, 480), (1, 1_000_000)] {
            let size = Size::new(width, height);
            let _ = (Plan::new(&recipe, size), Plan::of_video(&recipe, size, 16));
        }
    }
});
