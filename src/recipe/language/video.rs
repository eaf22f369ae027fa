//! How a family takes videos.

use serde::Deserialize;

use super::views::ViewSpec;
use super::{OutputSpec, Tokens};

/// From the frames of a video to patches and tokens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// The code whose output it reproduces.
    pub reference: String,
    /// From a frame to its canvas, for every frame alike.
    pub view: ViewSpec,
    /// Frames in a patch; the last frame of a video is repeated where one lacks some.
    pub temporal: u32,
    /// Most patches along time in a row of the grid; none where the whole video is one row.
    #[serde(default)]
    pub chunk: u32,
    /// Whether a token is the mean over a chunk.
    #[serde(default)]
    pub pooled: bool,
    /// From patches to tokens.
    pub tokens: Tokens,
    /// The reference processor's output.
    pub outputs: Vec<OutputSpec>,
    /// Key of the seconds between patches along time, where the reference's processor gives them.
    #[serde(default)]
    pub seconds_key: Option<String>,
    /// How the reference picks frames of a longer video.
    pub frame_sampling: FrameSampling,
    /// Who picks frames of a longer video.
    #[serde(default)]
    pub sampling: Sampling,
}

/// Who picks frames of a longer video.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// The reference, by `frame_sampling`.
    #[default]
    Reference,
    /// qwen-vl-utils: from the first frame to the last in f32, rounded, an even number of them. Its rate and limits are those of
    /// `frame_sampling`, or 2 frames a second, 4 and 768 frames.
    QwenVlUtils,
}

/// How a reference picks frames of a longer video.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FrameSampling {
    /// Equal steps from the first frame, truncated; all frames where no rate is asked for (transformers' default).
    Arange {
        /// Frames a second; none where that is 0.
        fps: f64,
    },
    /// Equal steps from the first frame in f32, truncated, of whole patches (Qwen2-VL).
    ArangePatches {
        /// Fewest frames.
        min_frames: u32,
        /// Most frames.
        max_frames: u32,
    },
    /// From the first frame to the last, rounded (Qwen3-VL).
    Linspace {
        /// Frames a second.
        fps: f64,
        /// Fewest frames.
        min_frames: u32,
        /// Most frames.
        max_frames: u32,
    },
    /// The first frame at or after each time, an even number of them (GLM-4V).
    Timestamps {
        /// Frames a second.
        fps: f64,
        /// Most seconds; longer videos are sampled evenly.
        max_duration: f64,
    },
    /// A frame whenever its time has come, evenly where these are too many or too few; an even number (GLM-4.6V, GLM-5).
    FpsByDuration {
        /// Patches, or frames, a second by the duration up to which that is; the last rate holds beyond.
        rates: Vec<[f64; 2]>,
        /// Whether rates are of patches, and not the caller's to set.
        per_patch: bool,
        /// Most frames.
        max_frames: u32,
        /// Most seconds that count; any where that is 0.
        max_duration: f64,
    },
}
