//! Connected ink, from runs of rows.

use super::ink::{BLOCK, Gray, Thresholds};
use crate::error::Result;
use crate::memory::filled;
use crate::threads::check_stopped;

/// Pixels of a speck.
const SPECK: u32 = 4;
/// Specks that an image without noise may have: dots, and crumbs of drawings.
const MOST_SPECKS: usize = 500;

/// Ink pixels that follow each other in a row.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) y: u32,
    pub(super) start: u32,
    pub(super) end: u32,
    /// Its component, once all are found; another run of it before.
    pub(super) of: u32,
}

/// Ink that hangs together, corners included.
#[derive(Clone, Copy)]
pub(super) struct Component {
    pub(super) x0: u32,
    pub(super) y0: u32,
    /// One past the last column.
    pub(super) x1: u32,
    /// One past the last row.
    pub(super) y1: u32,
    pub(super) area: u32,
    pub(super) runs: u32,
}

impl Component {
    pub(super) fn width(&self) -> f32 {
        (self.x1 - self.x0) as f32
    }

    pub(super) fn height(&self) -> f32 {
        (self.y1 - self.y0) as f32
    }

    /// Mean length of its runs: the width of upright strokes, and more where strokes lie.
    pub(super) fn stroke(&self) -> f32 {
        self.area as f32 / self.runs as f32
    }

    /// Share of its box that is ink.
    pub(super) fn fill(&self) -> f32 {
        self.area as f32 / (self.width() * self.height())
    }
}

/// All ink of an image.
pub(super) struct Ink {
    pub(super) runs: Vec<Run>,
    pub(super) components: Vec<Component>,
}

impl Ink {
    /// Whether most of what is ink are specks: noise, or a screen's dots.
    pub(super) fn is_noisy(&self) -> bool {
        let specks = self.components.iter().filter(|component| component.area <= SPECK).count();
        specks * 4 > self.components.len() * 3 && specks > MOST_SPECKS
    }
}

/// Runs and components. An image whose texture has more than `most` runs is given up: `None`.
pub(super) fn find(gray: &Gray, thresholds: &Thresholds, most: usize) -> Result<Option<Ink>> {
    let mut runs: Vec<Run> = Vec::new();
    let mut masks = filled(gray.width.div_ceil(BLOCK), 0u32)?;
    let mut above = 0..0;
    for y in 0..gray.height {
        if y % 64 == 0 {
            check_stopped()?;
        }
        thresholds.masks(gray, y, &mut masks);
        let first = runs.len();
        push_runs(&masks, y as u32, &mut runs);
        if runs.len() > most {
            return Ok(None);
        }
        join(&mut runs, above, first);
        above = first..runs.len();
    }
    Ok(Some(gather(runs)))
}

/// Adds the runs of a row.
fn push_runs(masks: &[u32], y: u32, runs: &mut Vec<Run>) {
    let mut open: Option<u32> = None;
    for (block, &mask) in masks.iter().enumerate() {
        let at = (block * BLOCK) as u32;
        let mut bit = 0;
        while bit < BLOCK as u32 {
            let rest = mask >> bit;
            if let Some(start) = open {
                let ones = rest.trailing_ones();
                bit += ones;
                if bit >= BLOCK as u32 {
                    break;
                }
                let of = runs.len() as u32;
                runs.push(Run { y, start, end: at + bit, of });
                open = None;
            } else {
                if rest == 0 {
                    break;
                }
                bit += rest.trailing_zeros();
                open = Some(at + bit);
            }
        }
    }
    if let Some(start) = open {
        let of = runs.len() as u32;
        runs.push(Run { y, start, end: (masks.len() * BLOCK) as u32, of });
    }
}

/// Joins the runs from `first` on with those `above` that they touch.
fn join(runs: &mut [Run], above: std::ops::Range<usize>, first: usize) {
    let mut up = above.start;
    for here in first..runs.len() {
        let (start, end) = (runs[here].start, runs[here].end);
        while up < above.end && runs[up].end < start {
            up += 1;
        }
        let mut touching = up;
        while touching < above.end && runs[touching].start <= end {
            let (a, b) = (root(runs, touching), root(runs, here));
            if a != b {
                runs[a.max(b)].of = a.min(b) as u32;
            }
            touching += 1;
        }
    }
}

fn root(runs: &mut [Run], mut run: usize) -> usize {
    while runs[run].of as usize != run {
        let next = runs[run].of as usize;
        runs[run].of = runs[next].of;
        run = next;
    }
    run
}

fn gather(mut runs: Vec<Run>) -> Ink {
    let mut components: Vec<Component> = Vec::new();
    for index in 0..runs.len() {
        let run = runs[index];
        // A root stands before all runs of its tree, which have its number already.
        let of = if run.of as usize == index {
            components.push(Component { x0: run.start, y0: run.y, x1: run.end, y1: run.y, area: 0, runs: 0 });
            components.len() as u32 - 1
        } else {
            runs[run.of as usize].of
        };
        runs[index].of = of;
        let component = &mut components[of as usize];
        component.x0 = component.x0.min(run.start);
        component.x1 = component.x1.max(run.end);
        component.y1 = run.y + 1;
        component.area += run.end - run.start;
        component.runs += 1;
    }
    Ink { runs, components }
}
