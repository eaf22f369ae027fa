//! The band between a line's base and the top of an "x", from how much ink its rows have.

use super::components::{Component, Run};

/// Ink of the band's first and last rows, for its level.
const EDGE: f32 = 0.5;
/// Ink of the rows between.
const INNER: f32 = 0.3;
/// Width of a component that fills a square, for the band's height: a digit has 0.65 at most.
const SQUARE: f32 = 0.75;
/// Share of a line's components that fill squares, where its characters do: others are parts of characters.
const LEAST_SQUARE: f32 = 0.25;

/// Ink of a line by row, once its slope is taken out.
pub(super) struct Zone {
    top: i32,
    /// Pixels of ink.
    ink: Vec<u32>,
    /// Runs.
    runs: Vec<u32>,
    /// Rows down for a column to the right.
    slope: f32,
    x0: u32,
    width: f32,
    /// Heights of the components, sorted.
    heights: Vec<u32>,
    /// Their widths, sorted.
    widths: Vec<u32>,
}

/// The band.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    /// Pixels.
    pub(super) height: f32,
    /// Rows down for a column to the right.
    pub(super) slope: f32,
    /// Strokes across, for a width of the band's height.
    pub(super) strokes: f32,
    /// Height of tall components for that of the band.
    tall: f32,
    /// Share of the components that fill a square of its height.
    square: f32,
}

/// What a line is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Small letters, some of which reach out of the band.
    Mixed,
    /// Capitals or digits.
    Flat,
    /// Characters that fill squares.
    Dense,
}

impl Band {
    /// Latin's small letters have strokes like capitals (1.0 to 1.6), and ascenders (1.25 and more); Han has neither (1.8, 1.0 to
    /// 1.1). Digits as 8 and 0 have as many strokes as Han, but are narrow.
    pub(super) fn kind(&self) -> Kind {
        if self.tall >= 1.17 {
            Kind::Mixed
        } else if self.strokes < 1.65 || self.square < LEAST_SQUARE {
            Kind::Flat
        } else {
            Kind::Dense
        }
    }
}

impl Zone {
    pub(super) fn new(components: &[Component], members: &[u32]) -> Self {
        let of = |index: usize| &components[members[index] as usize];
        let slope = slope(components, members);
        let (x0, last) = (of(0).x0, of(members.len() - 1).x1);
        let level = |component: &Component| -> i32 { -((slope * (component.x0 - x0) as f32).round() as i32) };
        let range = members.iter().map(|&member| &components[member as usize]);
        let top = range.clone().map(|member| member.y0 as i32 + level(member)).min().unwrap_or(0) - 1;
        let bottom = range.clone().map(|member| member.y1 as i32 + level(member)).max().unwrap_or(0) + 1;
        let rows = (bottom - top).max(1) as usize;
        let mut heights: Vec<u32> = range.clone().map(|member| member.y1 - member.y0).collect();
        let mut widths: Vec<u32> = range.map(|member| member.x1 - member.x0).collect();
        heights.sort_unstable();
        widths.sort_unstable();
        let width = last.saturating_sub(x0).max(1) as f32;
        Self { top, ink: vec![0; rows], runs: vec![0; rows], slope, x0, width, heights, widths }
    }

    pub(super) fn add(&mut self, run: &Run) {
        let level = (self.slope * (run.start.saturating_sub(self.x0)) as f32).round() as i32;
        let row = (run.y as i32 - level - self.top).clamp(0, self.ink.len() as i32 - 1) as usize;
        self.ink[row] += run.end - run.start;
        self.runs[row] += 1;
    }

    /// The band; nothing where a line has no ink.
    pub(super) fn find(&self) -> Option<Band> {
        let mut sorted = self.ink.clone();
        sorted.sort_unstable();
        // The band is most of a line's ink: the level of its rows is that of its middle ones.
        let total: u32 = sorted.iter().sum();
        let mut seen = 0;
        let level = sorted.iter().copied().find(|&ink| {
            seen += ink;
            seen * 2 >= total
        })? as f32;
        // Serifs make its edges darker than its middle, which the ink of ascenders never is.
        let rows = |share: f32| {
            let is_in = move |&row: &usize| self.ink[row] as f32 >= share * level;
            (0..self.ink.len()).filter(is_in)
        };
        let mut best = 0..0;
        let mut start = 0;
        let inner: Vec<usize> = rows(INNER).collect();
        let edges: Vec<usize> = rows(EDGE).collect();
        for at in 0..edges.len() {
            let (from, to) = (edges[start], edges[at]);
            let between = inner.partition_point(|&row| row <= to) - inner.partition_point(|&row| row < from);
            if between < to - from + 1 {
                start = at;
            } else if to - from + 1 > best.len() {
                best = from..to + 1;
            }
        }
        if best.is_empty() {
            return None;
        }
        let height = best.len() as f32;
        let runs: u32 = self.runs[best].iter().sum();
        let tall = self.heights[self.heights.len() * 85 / 100] as f32;
        let narrow = self.widths.partition_point(|&width| (width as f32) < SQUARE * height);
        let square = 1.0 - narrow as f32 / self.widths.len() as f32;
        Some(Band { height, slope: self.slope, strokes: runs as f32 / self.width, tall: tall / height, square })
    }
}

/// The median of the slopes between components half a line apart, by their bottoms.
fn slope(components: &[Component], members: &[u32]) -> f32 {
    let half = members.len() / 2;
    let of = |index: usize| &components[members[index] as usize];
    if half < 3 {
        return 0.0;
    }
    let mut slopes: Vec<f32> = (0..members.len() - half)
        .filter_map(|index| {
            let (a, b) = (of(index), of(index + half));
            let across = b.x0 as f32 - a.x0 as f32;
            (across > 0.0).then(|| (b.y1 as f32 - a.y1 as f32) / across)
        })
        .collect();
    slopes.sort_unstable_by(f32::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}
