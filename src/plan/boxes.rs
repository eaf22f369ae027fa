//! Coordinates: between source pixels and the coordinates that a model reads and writes.

use super::{Plan, View};
use crate::geometry::Size;
use crate::recipe::{Convention, Frame};

/// `model = source * scale + shift`, per axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Factor of x and y.
    pub scale: [f64; 2],
    /// Shift of x and y.
    pub shift: [f64; 2],
}

impl Affine {
    /// Source to model coordinates.
    pub fn apply(&self, axis: usize, value: f64) -> f64 {
        value * self.scale[axis] + self.shift[axis]
    }

    /// Model to source coordinates.
    pub fn invert(&self, axis: usize, value: f64) -> f64 {
        (value - self.shift[axis]) / self.scale[axis]
    }
}

/// Units and frame of the model's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Units {
    /// Units.
    pub convention: Convention,
    /// Frame of relative units; pixels are always those of the canvas.
    pub frame: Frame,
}

/// The model's side of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    /// From source pixels.
    pub affine: Affine,
    /// Largest x and y of what lies inside the frame; the smallest are zero.
    pub extent: [f64; 2],
}

impl Plan {
    /// The coordinates of a view, or of one of its tiles (by index, row by row).
    pub fn coordinates(&self, view: &View, tile: Option<u64>, units: Units) -> Coordinates {
        let mut pixels = self.to_canvas(view);
        let mut canvas = view.canvas();
        if let Some(tile) = tile {
            let corner = view.tile_corner(tile);
            canvas = view.tile;
            pixels.shift[0] -= f64::from(corner.x);
            pixels.shift[1] -= f64::from(corner.y);
        }
        let relative = |of: Size, full: f64| Affine {
            scale: [full / f64::from(of.width), full / f64::from(of.height)],
            shift: [0.0; 2],
        };
        let full = match units.convention {
            Convention::Pixels => {
                return Coordinates { affine: pixels, extent: [canvas.width, canvas.height].map(f64::from) };
            }
            Convention::Thousand => 1000.0,
            Convention::NineNineNine => 999.0,
            Convention::Unit => 1.0,
        };
        let affine = match units.frame {
            Frame::Image => relative(self.size, full),
            Frame::Canvas => {
                let unit = relative(canvas, full);
                Affine {
                    scale: [0, 1].map(|axis| pixels.scale[axis] * unit.scale[axis]),
                    shift: [0, 1].map(|axis| pixels.shift[axis] * unit.scale[axis]),
                }
            }
        };
        Coordinates { affine, extent: [full; 2] }
    }

    fn to_canvas(&self, view: &View) -> Affine {
        let mut map = Affine { scale: [1.0; 2], shift: [0.0; 2] };
        let mut from = self.size;
        for stage in &view.stages {
            if let Some(cut) = stage.cut {
                map.shift[0] -= f64::from(cut.x);
                map.shift[1] -= f64::from(cut.y);
                from = cut.size;
            }
            let scale = [
                f64::from(stage.resized.width) / f64::from(from.width),
                f64::from(stage.resized.height) / f64::from(from.height),
            ];
            let offset = [f64::from(stage.offset.x), f64::from(stage.offset.y)];
            for axis in 0..2 {
                map.scale[axis] *= scale[axis];
                map.shift[axis] = map.shift[axis] * scale[axis] + offset[axis];
            }
            from = stage.canvas;
        }
        map
    }
}
