//! Pages that are drawn here from letters of known height, and bitmaps whose components are counted by another way.

mod components;
mod estimate;
mod ink;
mod letters;

use super::ink::Gray;

/// A picture of rows of characters: `#` is `ink`, all else `paper`.
fn picture(rows: &[&str], ink: u8, paper: u8) -> Gray {
    let width = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == width), "rows differ in length");
    let data = rows.iter().flat_map(|row| row.bytes()).map(|letter| if letter == b'#' { ink } else { paper }).collect();
    Gray { width, height: rows.len(), data }
}

/// Numbers that look random, the same each time: Knuth's 64-bit generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// About normal, of a variance of one.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.below(1 << 20) as f32 / (1 << 20) as f32).sum::<f32>() - 6.0
    }
}
