//! The frames of a video as patches along time.

use super::native::Most;
use crate::error::{Error, Result};
use crate::geometry::py_round;
use crate::recipe::{Cap, CapPer, Video};

/// Most frames of a video: with sides of [`crate::geometry::Size`]'s range counts fit 64 bits.
pub(super) const MAX_FRAMES: u32 = 1 << 20;

/// How many frames a video has, and how they lie in patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clip {
    /// Frames.
    pub frames: u32,
    /// Frames in a patch; the last is repeated where one lacks some.
    pub temporal: u32,
    /// Most patches along time in a row of the grid.
    pub chunk: u32,
}

/// Where in its patches a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slots {
    /// Frames of a patch.
    pub temporal: u32,
    /// First slot of the patch that this frame fills.
    pub first: u32,
    /// Number of slots it fills.
    pub count: u32,
}

impl Clip {
    pub(super) fn new(video: &Video, frames: i64) -> Result<Self> {
        if !(1..=i64::from(MAX_FRAMES)).contains(&frames) {
            let message = format!("there must be between 1 and {MAX_FRAMES}");
            return Err(Error::Frames { frames, message });
        }
        let chunk = if video.chunk == 0 { MAX_FRAMES } else { video.chunk };
        Ok(Self { frames: frames as u32, temporal: video.temporal, chunk })
    }

    /// That of a still image repeated to a patch.
    pub(super) fn of_patch(temporal: u32) -> Self {
        Self { frames: temporal, temporal, chunk: 1 }
    }

    /// Patches along time.
    pub fn patches(self) -> u32 {
        self.frames.div_ceil(self.temporal)
    }

    /// Rows of the grid.
    pub fn chunks(self) -> u32 {
        self.patches().div_ceil(self.chunk)
    }

    /// Patches along time of every row of the grid.
    pub fn rows(self) -> impl Iterator<Item = u32> {
        let patches = self.patches();
        (0..self.chunks()).map(move |row| (patches - row * self.chunk).min(self.chunk))
    }

    /// The patch along time that a frame belongs to, and its places there.
    pub fn place(self, frame: u32) -> (u32, Slots) {
        let (patch, first) = (frame / self.temporal, frame % self.temporal);
        let count = if frame + 1 == self.frames { self.temporal - first } else { 1 };
        (patch, Slots { temporal: self.temporal, first, count })
    }

    /// Frames of a patch along time, the last one of the video repeated.
    pub fn tubelet(self, patch: u32) -> impl Iterator<Item = u32> {
        (0..self.temporal).map(move |slot| (patch * self.temporal + slot).min(self.frames - 1))
    }

    /// The number of frames rounded to whole patches, halves to even.
    pub(super) fn rounded_frames(self) -> u32 {
        py_round(f64::from(self.frames) / f64::from(self.temporal)) as u32 * self.temporal
    }

    /// As [`Self::rounded_frames`], refused where there is not one whole patch.
    pub(super) fn whole_frames(self) -> Result<u32> {
        if self.frames < self.temporal {
            let message = format!("there must be at least {}, as many as a patch has", self.temporal);
            return Err(Error::Frames { frames: self.frames.into(), message });
        }
        Ok(self.rounded_frames())
    }

    /// A cap's most pixels, of `min..=max` pixels that a budget has; whole ones but of a share.
    pub(super) fn capped(self, cap: Cap, align: u64, min: u64, max: u64) -> Most {
        let merged = (align * align) as f64;
        let (frames, least) = (u64::from(self.frames), (min as f64 * 1.05) as u64);
        match cap.per {
            CapPer::Video => {
                let total = (cap.tokens as f64 * merged * 0.9) as u64;
                Most::whole((total.saturating_mul(self.temporal.into()) / frames).min(max).max(least))
            }
            CapPer::Frame => {
                Most::whole(cap.tokens.saturating_mul(align * align).min(max / frames).max(least) * frames)
            }
            CapPer::Share => {
                let share = cap.total_pixels.unwrap_or(max) as f64 / frames as f64 * f64::from(self.temporal);
                let exact = (cap.tokens as f64 * merged).min(share).max(least as f64).min(max as f64);
                Most { pixels: exact as u64, exact }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_frame_fills_its_patch() {
        let clip = Clip { frames: 5, temporal: 2, chunk: 2 };
        assert_eq!((clip.patches(), clip.chunks()), (3, 2));
        assert_eq!(clip.rows().collect::<Vec<_>>(), [2, 1]);
        assert_eq!(clip.place(3), (1, Slots { temporal: 2, first: 1, count: 1 }));
        assert_eq!(clip.place(4), (2, Slots { temporal: 2, first: 0, count: 2 }));
        assert_eq!(clip.tubelet(2).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(clip.rounded_frames(), 4);
    }
}
