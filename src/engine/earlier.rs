//! The stages before a view's last one. Their canvases are made whole, once for all views of an image that begin with
//! the same stages, and for few images at a time.

use std::ops::Range;

use super::stage::StageJob;
use crate::error::Result;
use crate::options::Filter;
use crate::plan::Stage;
use crate::resample::{Arithmetic, identity};
use crate::source::{OwnedImage, PixelView};
use crate::threads::{Threads, parallel};

/// Most bytes of canvases of earlier stages at the same time; a single one may be larger.
const TOGETHER: u64 = 64 << 20;

/// The stages of a view before its last.
struct Chain<'a> {
    /// Index of the image.
    item: usize,
    source: PixelView<'a>,
    stages: &'a [Stage],
}

impl Chain<'_> {
    fn make(&self, filter: Filter, arithmetic: Arithmetic) -> Result<OwnedImage> {
        let canvas = |source: PixelView<'_>, stage: Stage| {
            let mut source = source.cut(stage.cut);
            StageJob::new(source.size(), source.interleaving(), stage, filter, arithmetic, identity)?
                .canvas(&mut source)
        };
        let mut made = canvas(self.source, self.stages[0])?;
        for &stage in &self.stages[1..] {
            made = canvas(made.view()?, stage)?;
        }
        Ok(made)
    }
}

/// Consecutive views, and the earlier stages that they need.
pub(super) struct Group<'a> {
    /// The views.
    pub(super) views: Range<usize>,
    chains: Vec<Chain<'a>>,
    /// The chain of each view.
    chain_of: Vec<Option<usize>>,
    bytes: u64,
}

impl<'a> Group<'a> {
    /// Groups views, each given by its image's index and pixels and by its stages.
    pub(super) fn all(views: impl Iterator<Item = (usize, PixelView<'a>, &'a [Stage])>) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (index, (item, source, stages)) in views.enumerate() {
            let chain = Chain { item, source, stages: &stages[..stages.len() - 1] };
            if groups.last().is_none_or(|group| !group.takes(&chain)) {
                groups.push(Self { views: index..index, chains: Vec::new(), chain_of: Vec::new(), bytes: 0 });
            }
            if let Some(group) = groups.last_mut() {
                group.push(chain);
            }
        }
        groups
    }

    fn position(&self, chain: &Chain<'_>) -> Option<usize> {
        self.chains.iter().position(|known| known.item == chain.item && known.stages == chain.stages)
    }

    fn takes(&self, chain: &Chain<'_>) -> bool {
        let bytes = bytes(chain.stages);
        bytes == 0 || self.bytes + bytes <= TOGETHER || self.position(chain).is_some()
    }

    fn push(&mut self, chain: Chain<'a>) {
        self.views.end += 1;
        if chain.stages.is_empty() {
            return self.chain_of.push(None);
        }
        let position = self.position(&chain).unwrap_or_else(|| {
            self.bytes += bytes(chain.stages);
            self.chains.push(chain);
            self.chains.len() - 1
        });
        self.chain_of.push(Some(position));
    }

    /// Makes the canvases that its views read.
    pub(super) fn make(&self, filter: Filter, arithmetic: Arithmetic, threads: Threads) -> Vec<Result<OwnedImage>> {
        parallel(&self.chains, threads, |chain| chain.make(filter, arithmetic))
    }

    /// The input of the last stage of a view; the group's first view has index 0.
    pub(super) fn input<'m>(
        &self,
        view: usize,
        source: PixelView<'m>,
        made: &'m [Result<OwnedImage>],
    ) -> Result<PixelView<'m>> {
        self.chain_of[view].map_or(Ok(source), |chain| made[chain].as_ref().map_err(Clone::clone)?.view())
    }
}

/// Bytes of the canvas that a chain ends with.
fn bytes(stages: &[Stage]) -> u64 {
    stages.last().map_or(0, |stage| stage.canvas.area() * 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Size;

    #[test]
    fn views_share_a_canvas_and_groups_are_bounded() {
        let data = vec![0; 12];
        let source = PixelView::packed(&data, Size::new(2, 2)).unwrap();
        let stage = |side: u32| Stage::resize(Size::new(side, side), false);
        // 48 MB, whose view is cut twice; 12 MB; one of 300 MB; one without earlier stages.
        let views: Vec<(usize, Vec<Stage>)> = vec![
            (0, vec![stage(4000), stage(4)]),
            (0, vec![stage(4000), stage(8)]),
            (0, vec![stage(2000), stage(8)]),
            (1, vec![stage(4000), stage(4)]),
            (2, vec![stage(10_000), stage(4)]),
            (3, vec![stage(4)]),
        ];
        let groups = Group::all(views.iter().map(|(item, stages)| (*item, source, &stages[..])));
        let found: Vec<_> = groups.iter().map(|group| (group.views.clone(), &group.chain_of[..])).collect();
        assert_eq!(
            found,
            [(0..3, &[Some(0), Some(0), Some(1)][..]), (3..4, &[Some(0)][..]), (4..6, &[Some(0), None][..]),]
        );
    }
}
