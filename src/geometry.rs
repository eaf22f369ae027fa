//! Sizes, points and grids. Of this crate it imports only the errors.

use serde::Deserialize;

use crate::error::{Error, Result};

/// Width and height in pixels, in that order, as in PIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// The largest side that any size may have: `2^30`, so that products of two sides fit an `i64` and coordinates an `i32`.
    pub const MAX_SIDE: u32 = 1 << 30;

    /// A size from its sides, unchecked.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// An image's size: both sides between 1 and [`Self::MAX_SIDE`].
    pub fn of_image(width: i64, height: i64) -> Result<Self> {
        let valid = 1..=i64::from(Self::MAX_SIDE);
        if valid.contains(&width) && valid.contains(&height) {
            Ok(Self::new(width as u32, height as u32))
        } else {
            Err(Error::ImageSize { width, height, limit: Self::MAX_SIDE })
        }
    }

    /// The size of a planned image. It is an error if a side rounded to zero or is out of range. `from` is the image's
    /// size.
    pub fn planned(width: i64, height: i64, from: Self) -> Result<Self> {
        let valid = 1..=i64::from(Self::MAX_SIDE);
        if valid.contains(&width) && valid.contains(&height) {
            Ok(Self::new(width as u32, height as u32))
        } else {
            Err(Error::PlannedSize {
                width,
                height,
                from_width: from.width,
                from_height: from.height,
                limit: Self::MAX_SIDE,
            })
        }
    }

    /// The longer side.
    pub fn longest(self) -> u32 {
        self.width.max(self.height)
    }

    /// The shorter side.
    pub fn shortest(self) -> u32 {
        self.width.min(self.height)
    }

    /// Width times height.
    pub fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Width for height.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { width: self.height, height: self.width }
    }

    /// Width over height in f64.
    pub fn aspect(self) -> f64 {
        f64::from(self.width) / f64::from(self.height)
    }
}

impl<'de> Deserialize<'de> for Size {
    /// Recipes write a size as `[width, height]`.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let [width, height] = <[u32; 2]>::deserialize(deserializer)?;
        if width == 0 || height == 0 || width > Self::MAX_SIDE || height > Self::MAX_SIDE {
            return Err(serde::de::Error::custom(format!(
                "size {width}x{height}: both sides must be between 1 and {}",
                Self::MAX_SIDE
            )));
        }
        Ok(Self { width, height })
    }
}

/// A position in pixels; negative where something starts outside its canvas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Point {
    /// Columns from the left.
    pub x: i32,
    /// Rows from the top.
    pub y: i32,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Columns from the left.
    pub x: u32,
    /// Rows from the top.
    pub y: u32,
    /// Its size.
    pub size: Size,
}

/// Rows and columns of tiles or patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Cells from top to bottom.
    pub rows: u32,
    /// Cells from left to right.
    pub cols: u32,
}

impl Grid {
    /// One cell.
    pub const SINGLE: Self = Self { rows: 1, cols: 1 };

    /// Number of cells.
    pub fn cells(self) -> u64 {
        u64::from(self.rows) * u64::from(self.cols)
    }

    /// The pixels that this grid of cells covers where neighbours share `overlap` pixels.
    pub fn overlapping_canvas(self, cell: Size, overlap: u32) -> Size {
        Size::new(self.cols * (cell.width - overlap) + overlap, self.rows * (cell.height - overlap) + overlap)
    }

    /// The pixels that this grid of cells of the given size covers.
    pub fn canvas(self, cell: Size) -> Size {
        Size::new(self.cols * cell.width, self.rows * cell.height)
    }
}

/// Python's `round(x)`: to the nearest integer, halves to even.
pub(crate) fn py_round(x: f64) -> f64 {
    x.round_ties_even()
}

/// Python's `int(round(x, 7))` for positive x: truncation that forgives a value within half of `1e-7` below an integer.
pub(crate) fn trunc_round7(x: f64) -> i64 {
    let floor = x.floor();
    if x - floor < 0.999_999 {
        return floor as i64;
    }
    // Both languages format the exact binary value, halves to even, so the decimal detour is the same rounding.
    format!("{x:.7}").parse::<f64>().map_or(floor as i64, |rounded| rounded as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_halves_to_even() {
        assert_eq!([0.5, 1.5, 2.5, 3.5].map(py_round), [0.0, 2.0, 2.0, 4.0]);
    }

    #[test]
    fn truncation_forgives_seven_digits() {
        assert_eq!(trunc_round7(335.999_999_999), 336);
        assert_eq!(trunc_round7(335.999_99), 335);
        assert_eq!(trunc_round7(335.5), 335);
        assert_eq!(trunc_round7(336.0), 336);
    }

    #[test]
    fn sizes_are_checked() {
        assert!(Size::of_image(0, 5).is_err());
        assert!(Size::of_image(-1, 5).is_err());
        assert!(Size::of_image(1 << 31, 5).is_err());
        assert_eq!(Size::of_image(3, 5).unwrap(), Size::new(3, 5));
    }
}
