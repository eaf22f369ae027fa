//! Known answers of the reference planners, from running them.

use proptest::prelude::*;
use toml::Table;

use super::*;
use crate::recipe::{Clamp, Enlarge};

fn recipe(name: &str) -> Recipe {
    Recipe::load(name, &Table::new()).unwrap()
}

fn plan(name: &str, width: u32, height: u32) -> Plan {
    Plan::new(&recipe(name), Size::new(width, height)).unwrap()
}

#[test]
fn smart_resize_differs_by_variant_on_thin_images() {
    // (height, width) = (14, 1000): transformers lets the height round to zero and grows; qwen-vl-utils clamps it first.
    let size = Size::new(1000, 14);
    let budget = (3136, 12_845_056);
    let resized = |clamp| {
        let (min, max) = budget;
        let rules = native::Smart {
            align: 28,
            min,
            max: native::Most::whole(max),
            clamp,
            enlarge: Enlarge::None,
            frames: (1, 1),
            max_ratio: 200.0,
        };
        native::smart_resize(size, rules).unwrap()
    };
    assert_eq!(resized(Clamp::AfterShrinking), (476, 28));
    assert_eq!(resized(Clamp::AfterRounding), (1008, 28));
}

#[test]
fn ratio_search_breaks_ties_by_area() {
    for ((w, h), (cols, rows)) in [
        ((448, 448), (1, 1)),
        ((635, 635), (2, 2)),
        ((1000, 1000), (3, 3)),
        ((1200, 600), (2, 1)),
        ((1600, 800), (4, 2)),
    ] {
        assert_eq!(plan("internvl2", w, h).grid, Grid { rows, cols }, "{w}x{h}");
    }
}

#[test]
fn deepseek_ocr_counts_every_kind_of_token() {
    let base = plan("deepseek-ocr-base", 1024, 768);
    assert_eq!((base.num_tokens, base.num_visual_tokens, base.num_valid_tokens), (273, 256, 192));
    let gundam = plan("deepseek-ocr-gundam", 768, 768);
    assert_eq!((gundam.num_tokens, gundam.grid), (693, Grid { rows: 2, cols: 2 }));
    assert_eq!(plan("deepseek-ocr-tiny", 9, 1).num_tokens, 73);
    assert_eq!(plan("deepseek-ocr-small", 9, 1).num_tokens, 111);
    assert_eq!(plan("deepseek-ocr-large", 9, 8).num_tokens, 421);
}

#[test]
fn a_side_that_rounds_to_zero_is_an_error_with_numbers() {
    let error = Plan::new(&recipe("deepseek-ocr-base"), Size::new(3000, 1)).unwrap_err().to_string();
    assert!(error.contains("3000x1") && error.contains("1024x0"), "{error}");
    let error = Plan::new(&recipe("qwen2-vl"), Size::new(2010, 10)).unwrap_err().to_string();
    assert!(error.contains("2010x10") && error.contains("201") && error.contains("200"), "{error}");
}

#[test]
fn a_canvas_on_the_way_is_bounded() {
    let error = Plan::new(&recipe("llava-1.5-pad"), Size::new(60_000, 1)).unwrap_err().to_string();
    assert!(["60000x1", "60000x60000", "3600000000", "268435456"].iter().all(|part| error.contains(part)), "{error}");
    assert!(Plan::new(&recipe("llava-1.5"), Size::new(60_000, 1)).is_ok());
}

#[test]
fn a_resize_to_the_same_size_is_no_stage() {
    let plan = plan("nativeres-llava", 640, 480);
    assert_eq!(plan.views[0].stages.len(), 1);
}

#[test]
fn videos_know_their_times_and_chunks() {
    let video = |name: &str, frames| Plan::of_video(&recipe(name), Size::new(640, 360), frames).unwrap();
    let qwen = video("qwen2-vl", 5);
    assert_eq!((qwen.num_frames(), qwen.num_times(), qwen.num_tiles()), (5, 3, 3));
    assert_eq!((qwen.num_patches(), qwen.num_tokens), (3 * 26 * 46, 3 * 13 * 23));
    let kimi = video("kimi-k2.5", 9);
    assert_eq!(kimi.clip.unwrap().rows().collect::<Vec<_>>(), [4, 4, 1]);
    assert_eq!(kimi.num_tokens, 3 * 13 * 23);
    // The budget is that of all frames: more of them are smaller.
    assert!(video("qwen3-vl", 4).grid.cells() > video("qwen3-vl", 64).grid.cells());
}

#[test]
fn videos_that_cannot_be_are_errors_with_numbers() {
    let error = |name: &str, frames| Plan::of_video(&recipe(name), Size::new(64, 64), frames).unwrap_err().to_string();
    assert!(error("qwen2-vl", 0).contains("0 frames") && error("qwen3-vl", 1).contains("at least 2"));
    assert!(error("glm-5-next", 500_000).contains("500000 frames"));
    assert!(error("clip", 4).contains("takes no videos"));
}

#[test]
fn counts_that_no_integer_holds_are_errors() {
    let count = |counts: &[u64], times, once| counted("patches", counts.iter().copied(), times, once, Size::new(9, 7));
    assert_eq!(count(&[5, 6], 3, 2).unwrap(), 35);
    assert_eq!(count(&[1 << 62, (1 << 62) - 1], 1, 0).unwrap(), i64::MAX as u64);
    for (counts, times, once) in [
        (&[1 << 62, 1 << 62][..], 1, 0),
        (&[u64::MAX, 1], 1, 0),
        (&[1 << 60], 1 << 20, 0),
        (&[i64::MAX as u64], 1, 1),
        (&[1], 1, u64::MAX),
    ] {
        let error = count(counts, times, once).unwrap_err().to_string();
        assert!(error.contains("9x7 would have over 9223372036854775807 patches"), "{error}");
    }
}

proptest! {
    #[test]
    fn plans_hold_their_invariants(width in 1u32..6000, height in 1u32..6000, which in 0usize..64) {
        let names = crate::recipe::names().unwrap();
        let name = names[which % names.len()];
        let recipe = recipe(name);
        let Ok(plan) = Plan::new(&recipe, Size::new(width, height)) else { return Ok(()) };
        prop_assert!(!plan.views.is_empty() && plan.num_tokens > 0 && plan.num_patches() > 0);
        for view in &plan.views {
            prop_assert!(!view.stages.is_empty());
            prop_assert_eq!(view.stages.last().unwrap().canvas, view.canvas());
            let units = Units { convention: recipe.boxes.convention, frame: recipe.boxes.frame };
            let map = plan.coordinates(view, Some(0), units).affine;
            for axis in 0..2 {
                prop_assert!((map.invert(axis, map.apply(axis, 17.5)) - 17.5).abs() < 1e-6);
            }
        }
        prop_assert!(plan.num_valid_tokens <= plan.num_visual_tokens && plan.num_visual_tokens <= plan.num_tokens);
    }

    #[test]
    fn native_sizes_stay_in_budget(width in 1u32..5000, height in 1u32..5000) {
        let recipe = recipe("qwen2-vl");
        if let Ok(plan) = Plan::new(&recipe, Size::new(width, height)) {
            let canvas = plan.views[0].canvas();
            prop_assert!(canvas.width % 28 == 0 && canvas.height % 28 == 0);
            prop_assert!(canvas.area() >= 3136 && canvas.area() <= 12_845_056);
        }
    }
}

#[test]
fn an_image_may_be_decoded_smaller_where_every_view_makes_it_as_small() {
    for (size, expected) in [
        (Size::new(2688, 2688), Size::new(336, 336)),
        (Size::new(1400, 1400), Size::new(350, 350)),
        (Size::new(700, 900), Size::new(350, 450)),
        (Size::new(600, 600), Size::new(600, 600)),
    ] {
        assert_eq!(plan("llava-1.5", size.width, size.height).reduced_size(), expected);
    }
    // Eight times this side is no number of 32 bits.
    let mut whole = plan("llava-1.5", 600, 600);
    whole.size = Size::new(1 << 29, 1 << 29);
    whole.views[0].stages[0].resized = whole.size;
    assert_eq!(whole.reduced_size(), whole.size);
}
