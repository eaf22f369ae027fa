//! Sizes that keep the image's aspect ratio within given sides. Each in the reference's order of operations; (width, height).

use crate::geometry::{Size, py_round};
use crate::recipe::{ContainRounding, LongestRounding, Precision};

/// No side of Idefics 3's first resize is longer.
const IDEFICS_SIDE: f64 = 4096.0;

/// transformers' `get_resize_output_image_size`: `int(edge * long / short)`, the product an integer.
pub(super) fn shortest_edge(size: Size, edge: u32) -> (i64, i64) {
    let long = (u64::from(edge) * u64::from(size.longest())) as f64 / f64::from(size.shortest());
    let (long, edge) = (long as i64, i64::from(edge));
    if size.width <= size.height { (edge, long) } else { (long, edge) }
}

/// The longer side to `edge`; no side shorter than `min`.
pub(super) fn longest_edge(size: Size, edge: u32, rounding: LongestRounding, min: u32, enlarge: bool) -> (i64, i64) {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let s = f64::from(edge);
    let wide = size.width >= size.height;
    let (w, h) = if !enlarge && size.longest() <= edge {
        (w, h)
    } else {
        match rounding {
            // PIL.ImageOps.contain into a square.
            LongestRounding::PilContain if size.width == size.height => (s, s),
            LongestRounding::PilContain if wide => (s, py_round(h / w * s)),
            LongestRounding::PilContain => (py_round(w / h * s), s),
            LongestRounding::Scale => {
                let scale = s / f64::from(size.longest());
                (py_round(w * scale), py_round(h * scale))
            }
            LongestRounding::ScaleDown => {
                let scale = s / f64::from(size.longest());
                if wide { (s, (h * scale).trunc()) } else { ((w * scale).trunc(), s) }
            }
            LongestRounding::ScaleBothDown => {
                let scale = s / f64::from(size.longest());
                ((w * scale).trunc(), (h * scale).trunc())
            }
            LongestRounding::Aspect => along((w, h), s),
            LongestRounding::AspectEven => {
                let (w, h) = along((w, h), s);
                // The longer side is what was asked for, and the shorter one's parity alone is mended.
                let even = |side: f64| if side % 2.0 == 0.0 { side } else { side + 1.0 };
                let (w, h) = if wide { (w, even(h).max(1.0)) } else { (even(w).max(1.0), h) };
                if w.max(h) > IDEFICS_SIDE { along((w, h), IDEFICS_SIDE) } else { (w, h) }
            }
        }
    };
    ((w as i64).max(min.into()), (h as i64).max(min.into()))
}

/// The longer side to `edge`, the other by the aspect ratio, truncated.
fn along((w, h): (f64, f64), edge: f64) -> (f64, f64) {
    let aspect = w / h;
    if w >= h { (edge, (edge / aspect).trunc()) } else { ((edge * aspect).trunc(), edge) }
}

/// A scale in the precision that the reference computes it in.
#[derive(Clone, Copy)]
enum Scale {
    Double(f64),
    Single(f32),
}

impl Scale {
    fn of(target: u32, side: u32, precision: Precision) -> Self {
        match precision {
            Precision::F64 => Self::Double(f64::from(target) / f64::from(side)),
            Precision::F32 => Self::Single(target as f32 / side as f32),
        }
    }

    /// Python's comparison; a float beside a tensor becomes one of its type.
    fn less(self, other: Self) -> bool {
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => a < b,
            (a, b) => a.single() < b.single(),
        }
    }

    fn single(self) -> f32 {
        match self {
            Self::Double(scale) => scale as f32,
            Self::Single(scale) => scale,
        }
    }

    fn times(self, side: u32) -> f64 {
        match self {
            Self::Double(scale) => f64::from(side) * scale,
            Self::Single(scale) => (side as f32 * scale).into(),
        }
    }
}

/// Phi-3.5's `HD_transform`, without its padding.
pub(super) fn hd_transform(size: Size, edge: u32, max: u32) -> (i64, i64) {
    let ratio = f64::from(size.longest()) / f64::from(size.shortest());
    let fits = |&tiles: &u32| f64::from(tiles) * (f64::from(tiles) / ratio).ceil() <= f64::from(max);
    let long = (1..=max).take_while(fits).last().unwrap_or(1) * edge;
    let short = (f64::from(long) / ratio) as i64;
    if size.width < size.height { (short, long.into()) } else { (long.into(), short) }
}

/// As large as fits into `to`, where a `tile` is given without enlarging a side beyond it.
///
/// Scales to a canvas's own side have `precision`, those to another side are doubles (Llama 4 mixes tensors and numbers).
pub(super) fn contain(
    size: Size,
    to: Size,
    rounding: ContainRounding,
    tile: Option<Size>,
    precision: Precision,
) -> (i64, i64) {
    if rounding == ContainRounding::PilContain {
        return pil_contain(size, to);
    }
    let target = |side: u32, tile: Option<u32>, canvas: u32| match tile {
        Some(tile) if side.max(tile) <= canvas => (side.max(tile), Precision::F64),
        _ => (canvas, precision),
    };
    let (width, width_precision) = target(size.width, tile.map(|tile| tile.width), to.width);
    let (height, height_precision) = target(size.height, tile.map(|tile| tile.height), to.height);
    let horizontal = Scale::of(width, size.width, width_precision);
    let vertical = Scale::of(height, size.height, height_precision);
    let round = |side: f64, most: u32| match rounding {
        ContainRounding::Ceil => (side.ceil() as i64).min(most.into()),
        ContainRounding::Floor | ContainRounding::PilContain => (side.floor() as i64).min(most.into()).max(1),
    };
    if horizontal.less(vertical) {
        (width.into(), round(horizontal.times(size.height), height))
    } else {
        (round(vertical.times(size.width), width), height.into())
    }
}

/// Pillow's `ImageOps.contain`.
fn pil_contain(size: Size, to: Size) -> (i64, i64) {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let (aspect, target) = (w / h, f64::from(to.width) / f64::from(to.height));
    if aspect > target {
        (to.width.into(), py_round(h / w * f64::from(to.width)) as i64)
    } else if aspect < target {
        (py_round(w / h * f64::from(to.height)) as i64, to.height.into())
    } else {
        (to.width.into(), to.height.into())
    }
}
