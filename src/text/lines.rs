//! Components in chains, and which chains are lines of text.

use std::cmp::Reverse;

use super::components::{Component, Ink};
use super::zone::{Band, Kind, Zone};
use crate::error::Result;
use crate::memory::filled;

/// Heights in pixels of what may be a letter.
const HEIGHTS: std::ops::RangeInclusive<u32> = 3..=96;
/// Width by height of a letter, or of a word whose letters touch.
const WIDEST: f32 = 16.0;
/// Height by width of an "l".
const NARROWEST: f32 = 14.0;
/// Ink of a letter's box; a rule or a bullet has more, a drawn line less.
const FILL: std::ops::RangeInclusive<f32> = 0.08..=0.98;
/// By how much neighbours' heights differ: an "x" and an accented capital.
const HEIGHT_RATIO: f32 = 2.7;
/// How far apart neighbours are, in heights of the larger.
const GAP: f32 = 1.6;
/// Rows of a bucket.
const BUCKET: u32 = 16;

/// Strokes across for a width of the band's height: texture has more, blinds and railings fewer.
const STROKES: std::ops::RangeInclusive<f32> = 0.5..=2.4;
/// Share of components over or under another: roofs and leaves have more.
const MOST_STACKED: f32 = 0.45;
/// What texture reaches of alignment and evenness.
const CHANCE: f32 = 0.55;
/// Height of an "x" for that of a capital or a digit.
const FLAT: f32 = 0.72;
/// Height of an "x" that is as hard to read as a square character, for that one's height: both readers of docs/lab.md read Latin
/// from 2.98 and 2.46 px on, and Han whose ink is 5.5 and 4.8 px high.
const DENSE: f32 = 0.5;

/// A line of text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Left edge in pixels.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge.
    pub x1: f32,
    /// Lower edge.
    pub y1: f32,
    /// Height in pixels of an "x", or what stands for it: of capitals and digits 0.72 of their height, of characters that fill a
    /// square 0.5.
    pub x_height: f32,
    /// About how many characters it has.
    pub characters: f32,
    /// Whether its characters fill squares, as Han does.
    pub is_dense: bool,
    /// How much it looks like text, from 0 to 1.
    pub evidence: f32,
    /// How far that is from chance: what many letters in line have in common.
    pub(super) score: f32,
}

impl Line {
    /// The line in an image whose sides are `scale` times as long.
    pub(super) fn enlarged(self, scale: f32) -> Self {
        let Self { x0, y0, x1, y1, x_height, .. } = self;
        Self { x0: x0 * scale, y0: y0 * scale, x1: x1 * scale, y1: y1 * scale, x_height: x_height * scale, ..self }
    }
}

/// The chains of an image that may be lines of text.
pub(super) fn find(ink: &Ink) -> Result<Vec<Line>> {
    let letters: Vec<u32> =
        (0..ink.components.len() as u32).filter(|&index| may_be_letter(&ink.components[index as usize])).collect();
    let chains = chains(&ink.components, &letters)?;
    let mut chain_of = filled(ink.components.len(), u32::MAX)?;
    for (chain, members) in chains.iter().enumerate() {
        for &member in members {
            chain_of[member as usize] = chain as u32;
        }
    }
    let mut zones: Vec<Zone> = chains.iter().map(|members| Zone::new(&ink.components, members)).collect();
    for run in &ink.runs {
        if let Some(zone) = zones.get_mut(chain_of[run.of as usize] as usize) {
            zone.add(run);
        }
    }
    Ok(chains.iter().zip(&zones).filter_map(|(members, zone)| line(&ink.components, members, zone)).collect())
}

fn may_be_letter(component: &Component) -> bool {
    let (width, height) = (component.width(), component.height());
    HEIGHTS.contains(&(component.y1 - component.y0))
        && width <= WIDEST * height
        && height <= NARROWEST * width
        && (FILL.contains(&component.fill()) || height > 1.8 * width)
}

/// Letters that follow each other, from left to right; the longest chains first.
fn chains(components: &[Component], letters: &[u32]) -> Result<Vec<Vec<u32>>> {
    let bottom = letters.iter().map(|&index| components[index as usize].y1).max().unwrap_or(0);
    let mut buckets: Vec<Vec<u32>> = filled((bottom / BUCKET + 1) as usize, Vec::new())?;
    let middle = |component: &Component| u32::midpoint(component.y0, component.y1);
    for &index in letters {
        buckets[(middle(&components[index as usize]) / BUCKET) as usize].push(index);
    }
    for bucket in &mut buckets {
        bucket.sort_unstable_by_key(|&index| components[index as usize].x0);
    }
    let mut chain: Vec<u32> = filled(components.len(), 0)?;
    for (index, chain) in chain.iter_mut().enumerate() {
        *chain = index as u32;
    }
    for &index in letters {
        let component = &components[index as usize];
        if let Some(next) = next(components, &buckets, component, index) {
            let (a, b) = (root(&mut chain, index), root(&mut chain, next));
            chain[a.max(b) as usize] = a.min(b);
        }
    }
    let mut members: Vec<Vec<u32>> = Vec::new();
    let mut place: Vec<u32> = filled(components.len(), u32::MAX)?;
    for &index in letters {
        let root = root(&mut chain, index) as usize;
        if place[root] == u32::MAX {
            place[root] = members.len() as u32;
            members.push(Vec::new());
        }
        members[place[root] as usize].push(index);
    }
    members.retain(|members| members.len() > 2);
    for members in &mut members {
        members.sort_unstable_by_key(|&index| components[index as usize].x0);
    }
    members.sort_by_key(|members| Reverse(members.len()));
    Ok(members)
}

fn root(chain: &mut [u32], mut index: u32) -> u32 {
    while chain[index as usize] != index {
        chain[index as usize] = chain[chain[index as usize] as usize];
        index = chain[index as usize];
    }
    index
}

/// The nearest neighbour to the right.
fn next(components: &[Component], buckets: &[Vec<u32>], from: &Component, own: u32) -> Option<u32> {
    let height = from.y1 - from.y0;
    let reach = from.x1 + (GAP * HEIGHT_RATIO * height as f32) as u32 + 2;
    let middle = u32::midpoint(from.y0, from.y1);
    let rows = (middle.saturating_sub(height) / BUCKET) as usize..=((middle + height) / BUCKET) as usize;
    let mut best: Option<(u32, u32)> = None;
    for bucket in buckets.get(*rows.start()..(*rows.end() + 1).min(buckets.len()))? {
        let first = bucket.partition_point(|&index| components[index as usize].x0 <= from.x0);
        for &index in &bucket[first..] {
            let to = &components[index as usize];
            if to.x0 > reach || best.is_some_and(|(x, _)| to.x0 >= x) {
                break;
            }
            if index != own && are_neighbours(from, to) {
                best = Some((to.x0, index));
                break;
            }
        }
    }
    best.map(|(_, index)| index)
}

fn are_neighbours(a: &Component, b: &Component) -> bool {
    let (low, high) = (a.height().min(b.height()), a.height().max(b.height()));
    let shared = a.y1.min(b.y1) as f32 - a.y0.max(b.y0) as f32;
    let gap = b.x0 as f32 - a.x1 as f32;
    high <= HEIGHT_RATIO * low && shared >= 0.5 * low && gap <= GAP * high + 2.0
}

/// What a chain is as a line of text; nothing where it does not look like one.
fn line(components: &[Component], members: &[u32], zone: &Zone) -> Option<Line> {
    let chain: Vec<&Component> = members.iter().map(|&member| &components[member as usize]).collect();
    let count = chain.len() as f32;
    let band = zone.find()?;
    if !STROKES.contains(&band.strokes) || stacked(&chain) > MOST_STACKED {
        return None;
    }
    let evidence = aligned(&chain, &band) * even(&chain);
    let (scale, advance, is_dense) = match band.kind() {
        Kind::Mixed => (1.0, 1.0, false),
        Kind::Flat => (FLAT, 0.85, false),
        Kind::Dense => (DENSE, 1.08, true),
    };
    // Of gaps between words no more counts than between letters.
    let gaps = chain.windows(2).map(|pair| (pair[1].x0 as f32 - pair[0].x1 as f32).clamp(0.0, 0.25 * band.height));
    let covered = chain.iter().map(|letter| letter.width()).sum::<f32>() + gaps.sum::<f32>();
    Some(Line {
        x0: chain[0].x0 as f32,
        y0: chain.iter().map(|letter| letter.y0).min()? as f32,
        x1: chain.iter().map(|letter| letter.x1).max()? as f32,
        y1: chain.iter().map(|letter| letter.y1).max()? as f32,
        x_height: scale * band.height,
        characters: (covered / (advance * band.height)).max(1.0),
        is_dense,
        evidence,
        score: (count - 1.0) * (evidence - CHANCE),
    })
}

/// Share of neighbours that stand on one line or hang from one.
fn aligned(chain: &[&Component], band: &Band) -> f32 {
    let slack = (0.13 * band.height).max(1.0);
    let are_level = |pair: &&[&Component]| {
        let drift = band.slope * (pair[1].x0 as f32 - pair[0].x0 as f32);
        let tops = pair[1].y0 as f32 - pair[0].y0 as f32 - drift;
        let bottoms = pair[1].y1 as f32 - pair[0].y1 as f32 - drift;
        tops.abs() <= slack || bottoms.abs() <= slack
    };
    chain.windows(2).filter(are_level).count() as f32 / (chain.len() - 1) as f32
}

/// Share of components whose strokes are about as wide as the others'.
fn even(chain: &[&Component]) -> f32 {
    let mut strokes: Vec<f32> = chain.iter().map(|letter| letter.stroke()).collect();
    strokes.sort_unstable_by(f32::total_cmp);
    let middle = strokes[strokes.len() / 2];
    let is_even = |&&stroke: &&f32| stroke > 0.55 * middle && stroke < 1.8 * middle;
    strokes.iter().filter(is_even).count() as f32 / strokes.len() as f32
}

/// Share of components that stand over or under another one.
fn stacked(chain: &[&Component]) -> f32 {
    let mut reach = chain[0].x1;
    let mut count = 0;
    for letter in &chain[1..] {
        let shared = reach as f32 - letter.x0 as f32;
        count += u32::from(shared >= 0.5 * letter.width());
        reach = reach.max(letter.x1);
    }
    count as f32 / chain.len() as f32
}
