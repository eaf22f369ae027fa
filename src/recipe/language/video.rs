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
    /// The view of every frame.
    pub view: ViewSpec,
    /// Frames in a patch; the last frame of a video is repeated if a patch lacks frames.
    pub temporal: u32,
    /// Most patches along time in a row of the grid; by default the whole video is one row.
    #[serde(default)]
    pub chunk: u32,
    /// Whether a token is the mean over a chunk.
    #[serde(default)]
    pub pooled: bool,
    /// From patches to tokens.
    pub tokens: Tokens,
    /// The reference processor's output.
    pub outputs: Vec<OutputSpec>,
    /// Key of the seconds between patches along time, if the reference's processor returns them.
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
    /// qwen-vl-utils: an even number of frames from the first to the last, in f32, rounded. Its rate and limits are
    /// those of `frame_sampling`, or else 2 frames per second and 4 to 768 frames.
    QwenVlUtils,
}

/// How a reference picks frames of a longer video.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FrameSampling {
    /// Equal steps from the first frame, truncated; all frames if no rate is given (transformers' default).
    Arange {
        /// Frames per second; 0 for no rate.
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
    /// The first frame at or after each time; an even number of frames (GLM-4V).
    Timestamps {
        /// Frames a second.
        fps: f64,
        /// Most seconds; longer videos are sampled evenly.
        max_duration: f64,
    },
    /// The first frame after each interval; evenly spaced if these are too many or too few; an even number of frames
    /// (GLM-4.6V, GLM-5).
    FpsByDuration {
        /// Patches or frames per second, by the duration up to which the rate applies; the last rate applies to longer
        /// videos.
        rates: Vec<[f64; 2]>,
        /// Whether rates count patches; the caller cannot change them then.
        per_patch: bool,
        /// Most frames.
        max_frames: u32,
        /// Most seconds that count; 0 for no limit.
        max_duration: f64,
    },
}
