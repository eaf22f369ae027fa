//! Parts of the source image that become views of their own.

use crate::geometry::{Rect, Size};
use crate::recipe::Crops;

/// The parts, in the order in which the language model receives them; none where the image gets none.
pub(super) fn parts(crops: Crops, size: Size) -> Vec<Rect> {
    match crops {
        Crops::PanAndScan { min_size, max, min_ratio } => pan_and_scan(size, min_size, max, min_ratio),
        Crops::Quarters => quarters(size),
    }
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
