//! Parts of the source image that become views of their own.

use crate::geometry::{Rect, Size};
use crate::recipe::Crops;

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The size to which the whole image is brought first.
    pub(super) whole: Option<Size>,
    /// The part of it.
    pub(super) cut: Rect,
    /// Whether a row of parts ends with this one, and another follows.
    pub(super) ends_row: bool,
}

/// The parts, in the order in which the language model receives them; none where the image gets none.
pub(super) fn parts(crops: Crops, size: Size) -> Vec<Part> {
    let of_source = |cut| Part { whole: None, cut, ends_row: false };
    match crops {
        Crops::PanAndScan { min_size, max, min_ratio } => {
            pan_and_scan(size, min_size, max, min_ratio).into_iter().map(of_source).collect()
        }
        Crops::Quarters => quarters(size).into_iter().map(of_source).collect(),
        Crops::Windows { small, window, longest } => windows(size, small, window, longest),
    }
}

/// Step3: as many whole windows as the image holds, and one more where a fifth of one is left over.
fn windows(size: Size, small: u32, window: u32, longest: u32) -> Vec<Part> {
    let (mut w, mut h) = (size.width, size.height);
    if size.longest() > longest {
        let scale = f64::from(longest) / f64::from(size.longest());
        (w, h) = ((f64::from(w) * scale) as u32, (f64::from(h) * scale) as u32);
    }
    let (long, short) = (w.max(h), w.min(h).max(1));
    let ratio = f64::from(long) / f64::from(short);
    let window = match (long <= small, ratio) {
        (true, ratio) if ratio > 1.5 => short,
        (true, _) => return Vec::new(),
        (false, ratio) if ratio > 4.0 => short.min(window),
        (false, _) => window,
    };
    let whole = |side: u32| {
        let more = u32::from(f64::from(side % window) > 0.2 * f64::from(window));
        if side >= window { window * (side / window + more) } else { side.max(1) }
    };
    let (width, height) = (whole(w), whole(h));
    let mut parts = Vec::new();
    for y in (0..height).step_by(window as usize) {
        for x in (0..width).step_by(window as usize) {
            let part = Size::new(window.min(width - x), window.min(height - y));
            parts.push(Part {
                whole: Some(Size::new(width, height)),
                cut: Rect { x, y, size: part },
                ends_row: x + window >= width && y + window < height,
            });
        }
    }
    parts
}

/// Gemma 3: the longer side in as many parts as shorter sides fit it; the last may be smaller.
fn pan_and_scan(size: Size, min_size: u32, max: u32, min_ratio: f64) -> Vec<Rect> {
    let (long, short) = (size.longest(), size.shortest());
    let ratio = f64::from(long) / f64::from(short);
    if ratio < min_ratio {
        return Vec::new();
    }
    let count = ((ratio + 0.5).floor() as u32).min(long / min_size).max(2).min(max);
    let step = long.div_ceil(count);
    if step.min(short) < min_size {
        return Vec::new();
    }
    let starts = (0..count).map(|index| index * step).take_while(|start| *start < long);
    starts
        .map(|start| {
            let side = step.min(long - start);
            if size.width >= size.height {
                Rect { x: start, y: 0, size: Size::new(side, short) }
            } else {
                Rect { x: 0, y: start, size: Size::new(short, side) }
            }
        })
        .collect()
}

/// Idefics 2: the halves of both sides, the second one the larger; none where one has no pixels.
fn quarters(size: Size) -> Vec<Rect> {
    let (x, y) = (size.width / 2, size.height / 2);
    let part = |x: u32, y: u32, width: u32, height: u32| Rect { x, y, size: Size::new(width, height) };
    if x == 0 || y == 0 {
        return Vec::new();
    }
    let (right, below) = (size.width - x, size.height - y);
    vec![part(0, 0, x, y), part(x, 0, right, y), part(0, y, x, below), part(x, y, right, below)]
}
