//! Checks that a recipe's plans make sense, with any overrides. Messages name the recipe's own keys and parameters, and
//! the value.

mod steps;
mod tiles;

use std::collections::BTreeSet;

use super::language::{
    Crops, Filter, FloatArithmetic, FloatResize, FrameSampling, NamedTarget, NormalizeAs, OutputKind, OutputSpec, Role,
    Sampled, Separators, Step, Strategy, Target, Tokens, Video, ViewSpec, When,
};
use super::place::{Check, PatchRule, Place, Problem};
use super::{Backend, Body, PatchOrder};
use crate::geometry::Size;

pub(crate) use steps::smart_budget;

/// No count of patches or tokens is larger.
const MAX_PATCHES: u64 = 1 << 24;
/// No grid search looks at more tiles.
const MAX_TILES: u64 = 1024;
/// A view or an image has no more tokens that carry no features.
const MAX_EXTRA: u64 = 1 << 16;

pub(super) fn body(body: &mut Body, place: &Place<'_>) -> Check {
    pixels(body, &place.key("pixels"))?;
    let patches = &place.key("patches");
    patches.range("size", body.patches.size.into(), 1, 1024)?;
    patches.range("merge", body.patches.merge.into(), 1, 64)?;
    patches.range("temporal", body.patches.temporal.into(), 1, 64)?;
    tokens(body.tokens, &place.key("tokens"))?;
    strategy(body, place)?;
    let merge = if body.patches.order == PatchOrder::Merge { body.patches.merge } else { 1 };
    let rule = PatchRule { size: body.patches.size, partial: body.partial_patches, merge };
    let align = u64::from(body.patches.size) * u64::from(body.patches.merge);
    let order = body.pixels.normalize_as;
    if body.views.is_empty() {
        return Err(Problem::of_recipe("has no views"));
    }
    let mut grid = false;
    for (index, spec) in body.views.iter_mut().enumerate() {
        let place = &place.key("views").item(index);
        if matches!(spec.when, When::EarlierTiled) && !grid {
            let message = "earlier_tiled never holds: no view before this one has tiles";
            return Err(place.key("when").problem(message));
        }
        if let Some(tiles) = &mut spec.tiles {
            tiles.check(&place.key("tiles"), rule)?;
            grid = true;
        }
        let steps = [("pre_crop_steps", &spec.pre_crop_steps), ("steps", &spec.steps)];
        for (key, step, index) in
            steps.iter().flat_map(|(key, steps)| (0..).zip(*steps).map(move |(at, step)| (key, step, at)))
        {
            step.check(&place.key(key).item(index), grid, rule.size, align)?;
        }
        view(spec, place, order)?;
        whole_patches(spec, place, rule)?;
    }
    if let Some(of_video) = &body.video {
        video(of_video, &place.key("video"), rule, align)?;
    }
    outputs(body, place)
}

fn pixels(body: &Body, place: &Place<'_>) -> Check {
    let pixels = &body.pixels;
    if pixels.mean.iter().chain(&pixels.std).any(|value| !value.is_finite()) || pixels.std.contains(&0.0) {
        let (mean, std) = (place.name("mean"), place.name("std"));
        let message = format!("{mean} {:?} and {std} {:?} must be finite, and {std} not zero", pixels.mean, pixels.std);
        return Err(place.key("std").problem(message));
    }
    if !pixels.rescale.is_finite() || pixels.rescale <= 0.0 {
        let message = format!("{} must be positive, got {}", place.name("rescale"), pixels.rescale);
        return Err(place.key("rescale").problem(message));
    }
    if !pixels.do_rescale && !pixels.do_normalize {
        let message = "do_rescale and do_normalize are both false: ask for dtype=\"uint8\" to get plain pixels";
        return Err(place.key("do_normalize").problem(message));
    }
    if pixels.arithmetic == Backend::Torch && matches!(pixels.filter, Filter::Box | Filter::Hamming) {
        let message = format!("filter {:?} does not exist in arithmetic \"torch\"", pixels.filter).to_lowercase();
        return Err(place.key("filter").problem(message));
    }
    if pixels.normalize_as == NormalizeAs::ToTensor && pixels.rescale != 1.0 / 255.0 {
        let (name, value) = (place.name("rescale"), pixels.rescale);
        let message = format!("its reference rescales by 1/255 (ToTensor), got {name} {value}");
        return Err(place.key("rescale").problem(message));
    }
    Ok(())
}

fn tokens(tokens: Tokens, place: &Place<'_>) -> Check {
    place.range("stride", tokens.stride.into(), 1, 1024)?;
    place.range("extra", tokens.extra, 0, MAX_EXTRA)
}

/// A strategy of tiles has some. What others may have, [`tiled_by_overrides`] says.
fn strategy(body: &Body, place: &Place<'_>) -> Check {
    let tiled = |view: &ViewSpec| view.tiles.is_some() || matches!(view.crops, Some(Crops::Windows { .. }));
    if matches!(body.strategy, Strategy::Squash | Strategy::Native) || body.views.iter().any(tiled) {
        return Ok(());
    }
    let given = body.strategy.name();
    let message = format!("no view has tiles or windows, so that it is \"squash\" or \"native\", not {given:?}");
    Err(place.key("strategy").problem(message))
}

/// A strategy without tiles has views of at most one, as the recipe is `written`; with overrides there may be more, which
/// makes it one of tiles.
pub(super) fn tiled_by_overrides(body: &Body, place: &Place<'_>, written: bool) -> Result<bool, Problem> {
    let several = |view: &ViewSpec| {
        let tiled = view.tiles.as_ref().is_some_and(|tiles| tiles.search.most() != Some(1));
        view.enabled && (tiled || matches!(view.crops, Some(Crops::Windows { .. })))
    };
    if matches!(body.strategy, Strategy::Tiles | Strategy::Hybrid) {
        return Ok(false);
    }
    let Some(index) = body.views.iter().position(several) else { return Ok(false) };
    if !written {
        return Ok(true);
    }
    let message = format!(
        "views[{index}] is cut into tiles or windows, so that the strategy is \"tiles\" or \"hybrid\", not {:?}",
        body.strategy.name()
    );
    Err(place.key("strategy").problem(message))
}

fn view(view: &ViewSpec, place: &Place<'_>, order: NormalizeAs) -> Check {
    if let Some(resize) = view.float_resize {
        float_resize(view, resize, &place.key("float_resize"), order)?;
    }
    if view.unpad.is_some() && view.tiles.is_none() {
        return Err(place.key("unpad").problem("a view without tiles cannot be unpadded"));
    }
    if view.crops.is_none() && !view.pre_crop_steps.is_empty() {
        return Err(place.key("pre_crop_steps").problem("there are no crops after these steps"));
    }
    place.range("max_token_tiles", view.max_token_tiles.unwrap_or(1).into(), 1, MAX_TILES)?;
    place.range("tokens_per_tile", view.tokens_per_tile.unwrap_or(0).into(), 0, MAX_EXTRA)?;
    separators(view.separators, &place.key("separators"))?;
    let crops = &place.key("crops");
    match view.crops {
        Some(Crops::PanAndScan { min_size, max, min_ratio }) => {
            crops.side("min_size", min_size)?;
            crops.range("max", max.into(), 1, MAX_TILES)?;
            crops.at_least("min_ratio", min_ratio, 0.0)?;
        }
        Some(Crops::Windows { window, longest, .. }) => {
            crops.side("window", window)?;
            crops.side("longest", longest)?;
        }
        Some(Crops::Quarters) | None => {}
    }
    match view.when {
        When::RoundedOver { tolerance, .. } if !tolerance.is_finite() || tolerance <= 0.0 => {
            let place = &place.key("when").key("rounded_over");
            let message = format!("{} must be positive, got {tolerance}", place.name("tolerance"));
            Err(place.key("tolerance").problem(message))
        }
        When::AreaOver(side) => place.key("when").side("area_over", side),
        _ => Ok(()),
    }
}

fn separators(separators: Separators, place: &Place<'_>) -> Check {
    let counts = [("per_tile", separators.per_tile), ("per_row", separators.per_row), ("once", separators.once)];
    counts.into_iter().try_for_each(|(key, count)| place.range(key, count.unsigned_abs(), 0, MAX_EXTRA))
}

fn float_resize(view: &ViewSpec, resize: FloatResize, place: &Place<'_>, order: NormalizeAs) -> Check {
    let FloatResize { of, filter, arithmetic, antialias, corners } = resize;
    if arithmetic == FloatArithmetic::OpenCv && (antialias || filter != Filter::Bicubic) {
        let message = "OpenCV's arithmetic is followed for a bicubic filter without antialiasing alone";
        return Err(place.key("arithmetic").problem(message));
    }
    if corners && (antialias || filter != Filter::Bilinear) {
        let message = "only a bilinear filter without antialiasing weighs corners";
        return Err(place.key("corners").problem(message));
    }
    if !matches!(filter, Filter::Bilinear | Filter::Bicubic) {
        let message = format!("filter {filter:?} does not resize floats; bilinear and bicubic do").to_lowercase();
        return Err(place.key("filter").problem(message));
    }
    if matches!(
        view.steps.last(),
        None | Some(Step::Pad { .. } | Step::CenterCrop { .. } | Step::PadThinToSquare { .. })
    ) {
        return Err(place.problem("a view that is resized in floating point must end in a resize"));
    }
    if of != Sampled::Bytes && view.tiles.as_ref().is_some_and(|tiles| tiles.overlap > 0) {
        return Err(place.key("of").problem("tiles that overlap cannot be resized as floats"));
    }
    if of != Sampled::Bytes && order == NormalizeAs::BFloat16 {
        return Err(place.key("of").problem("what is normalised in bfloat16 cannot be resized as floats"));
    }
    Ok(())
}

/// A canvas of a size that is written in the recipe is whole patches.
fn whole_patches(view: &ViewSpec, place: &Place<'_>, rule: PatchRule) -> Check {
    let steps = &place.key("steps");
    let Some(last) = view.steps.len().checked_sub(1) else { return Ok(()) };
    let to_last = |key: &str, size| steps.item(last).size(key, size, rule);
    match view.steps[last] {
        Step::Squash { to: Target::Fixed(size) } | Step::Pad { to: Target::Fixed(size), .. } => to_last("to", size),
        Step::CenterCrop { to, .. } => to_last("to", to),
        Step::Pad { to: Target::Named(NamedTarget::Square), .. } if last > 0 => match view.steps[last - 1] {
            Step::LongestEdge { edge, enlarge: true, .. } => {
                steps.item(last - 1).size("edge", Size::new(edge, edge), rule)
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn video(video: &Video, place: &Place<'_>, rule: PatchRule, align: u64) -> Check {
    let spec = &video.view;
    let at = &place.key("view");
    let leaves_floats = spec.float_resize.is_some_and(|resize| resize.of != Sampled::Bytes);
    if spec.tiles.is_some() || spec.crops.is_some() || leaves_floats || spec.steps.is_empty() {
        let message = "a frame's view has steps, and neither tiles, crops nor a float_resize but of \"bytes\"";
        return Err(at.problem(message));
    }
    for (index, step) in spec.steps.iter().enumerate() {
        step.check(&at.key("steps").item(index), false, rule.size, align)?;
    }
    view(spec, at, NormalizeAs::Transformers)?;
    whole_patches(spec, at, rule)?;
    place.range("temporal", video.temporal.into(), 1, 64)?;
    place.range("chunk", video.chunk.into(), 0, 1 << 20)?;
    tokens(video.tokens, &place.key("tokens"))?;
    words(&video.outputs, place)?;
    for (index, output) in video.outputs.iter().enumerate() {
        use OutputKind::{ChannelPatches, GridThw, NumChunks, PlanarPatches, Tiles};
        if !matches!(output.kind, ChannelPatches | GridThw | NumChunks | PlanarPatches | Tiles) {
            let message = format!("{:?} cannot be of a kind that only images have", output.key);
            return Err(place.key("outputs").item(index).key("kind").problem(message));
        }
    }
    frame_sampling(&video.frame_sampling, &place.key("frame_sampling"))
}

fn frame_sampling(sampling: &FrameSampling, place: &Place<'_>) -> Check {
    let counts = |min: u32, max: u32| {
        if min <= max && max > 0 {
            return Ok(());
        }
        let (low, high) = (place.name("min_frames"), place.name("max_frames"));
        let message = format!("{low} {min} and {high} {max} must satisfy min <= max, and max not be 0");
        Err(place.key("max_frames").problem(message))
    };
    match *sampling {
        FrameSampling::Arange { fps } => place.at_least("fps", fps, 0.0),
        FrameSampling::ArangePatches { min_frames, max_frames } => counts(min_frames, max_frames),
        FrameSampling::Linspace { fps, min_frames, max_frames } => {
            place.at_least("fps", fps, 0.0)?;
            counts(min_frames, max_frames)
        }
        FrameSampling::Timestamps { fps, max_duration } => {
            place.at_least("fps", fps, 0.0)?;
            place.at_least("max_duration", max_duration, 0.0)
        }
        FrameSampling::FpsByDuration { ref rates, max_frames, max_duration, .. } => {
            if rates.is_empty() {
                return Err(place.key("rates").problem("rates is empty"));
            }
            for (index, rate) in rates.iter().enumerate() {
                let rates = &place.key("rates");
                let wrong = rate.iter().any(|value| !value.is_finite() || *value < 0.0);
                if wrong {
                    let message = format!("{} must be finite and not negative, got {rate:?}", rates.name_at(index));
                    return Err(rates.item(index).problem(message));
                }
            }
            place.at_least("max_duration", max_duration, 0.0)?;
            counts(1, max_frames)
        }
    }
}

fn outputs(body: &Body, place: &Place<'_>) -> Check {
    words(&body.outputs, place)?;
    for (index, output) in body.outputs.iter().enumerate() {
        let place = &place.key("outputs").item(index);
        let length = body.length(output);
        let padded =
            matches!(output.kind, OutputKind::FlatPatches | OutputKind::PatchMask | OutputKind::PatchPositions);
        if length > MAX_PATCHES || (padded && length == 0) {
            let names = [place.name("length"), place.name("length_tokens")].join(" or ");
            let message = format!("{names} must pad to between 1 and {MAX_PATCHES}, got {length}");
            return Err(place.problem(message));
        }
        if output.kind == OutputKind::TileGridId {
            place.range("length", output.length.into(), 1, MAX_TILES)?;
        }
        if output.kind == OutputKind::NumChunks {
            return Err(place.key("kind").problem("only videos have chunks"));
        }
    }
    every_view_has_an_output(body, place)
}

/// Keys differ, and each kind of output has only words that mean something for it.
fn words(outputs: &[OutputSpec], place: &Place<'_>) -> Check {
    let mut keys = BTreeSet::new();
    for (index, output) in outputs.iter().enumerate() {
        let place = &place.key("outputs").item(index);
        if !keys.insert(&output.key) {
            return Err(place.key("key").problem(format!("there are two outputs {:?}", output.key)));
        }
        let known = output.kind.words();
        let written = place.keys().find(|key| !known.contains(key) && !["key", "kind", "enabled"].contains(key));
        if let Some(word) = written {
            let message = format!("this kind of output has no {word:?}; it has {}", known.join(", "));
            return Err(place.key(word).problem(message));
        }
        place.range("extra_slots", output.extra_slots.into(), 0, MAX_EXTRA)?;
        place.range("ones_when_missing", output.ones_when_missing.into(), 0, MAX_EXTRA)?;
    }
    Ok(())
}

/// The values of each view are in exactly one output.
fn every_view_has_an_output(body: &Body, place: &Place<'_>) -> Check {
    let of_values = |role: Role| {
        let takes = move |output: &&OutputSpec| output.roles.is_empty() || output.roles.contains(&role);
        body.outputs.iter().filter(|output| output.enabled && output.kind.has_values()).filter(takes)
    };
    for (index, view) in body.views.iter().enumerate().filter(|(_, view)| view.enabled) {
        let role = view.role.name();
        let place = place.key("views").item(index);
        match of_values(view.role).count() {
            1 => {}
            0 => return Err(place.problem(format!("no output of pixel values takes views of role {role:?}"))),
            count => return Err(place.problem(format!("{count} outputs of pixel values take views of role {role:?}"))),
        }
    }
    Ok(())
}
