//! The one error type. Every message names the bad value and the limit it broke.

/// An error. Its kind says what to correct: the recipe, the image's size, its bytes, or the caller's buffer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No recipe has this name.
    #[error("no recipe is named {name:?}{hint} (`vlmres recipes` lists all {count})")]
    UnknownRecipe {
        /// The name asked for.
        name: String,
        /// A question that names likely ones, or nothing.
        hint: String,
        /// How many recipes there are.
        count: usize,
    },
    /// An override names a parameter that the recipe does not have.
    #[error("recipe {recipe:?} has no parameter {name:?}{hint}{known}")]
    UnknownParameter {
        /// The recipe.
        recipe: String,
        /// The parameter asked for.
        name: String,
        /// A question that names likely ones, or nothing.
        hint: String,
        /// The existing parameters, if the hint names none.
        known: String,
    },
    /// An override has a value that its parameter cannot take.
    #[error("recipe {recipe:?}: {message}")]
    Recipe {
        /// The recipe.
        recipe: String,
        /// The problem, with the value.
        message: String,
    },
    /// A file or text of recipes that cannot be read.
    #[error("{file}: {message}")]
    RecipeFile {
        /// The file, and the line if known.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// A checkpoint's preprocessor configuration cannot be followed exactly.
    #[error("checkpoint: {0}")]
    Checkpoint(String),
    /// An image without pixels, or larger than any image.
    #[error("image size {width}x{height}: both sides must be between 1 and {limit} pixels")]
    ImageSize {
        /// Width given.
        width: i64,
        /// Height given.
        height: i64,
        /// The longest side.
        limit: u32,
    },
    /// A side of the planned image rounds to zero, or leaves the range of sizes.
    #[error(
        "an image of {from_width}x{from_height} would be resized to {width}x{height}: both sides must be between 1 and {limit} pixels"
    )]
    PlannedSize {
        /// Planned width.
        width: i64,
        /// Planned height.
        height: i64,
        /// Width of the image.
        from_width: u32,
        /// Height of the image.
        from_height: u32,
        /// The longest side.
        limit: u32,
    },
    /// More tiles, patches or tokens than can be counted.
    #[error("an image of {width}x{height} would have over {limit} {what}")]
    PlannedCount {
        /// Width of the image.
        width: u32,
        /// Height of the image.
        height: u32,
        /// What is too many.
        what: &'static str,
        /// The most.
        limit: u64,
    },
    /// A side of the planned image is shorter than the recipe's reference takes.
    #[error(
        "an image of {from_width}x{from_height} would be resized to {width}x{height}: no side may have fewer than {limit} pixels"
    )]
    ThinSize {
        /// Planned width.
        width: i64,
        /// Planned height.
        height: i64,
        /// Width of the image.
        from_width: u32,
        /// Height of the image.
        from_height: u32,
        /// The fewest pixels.
        limit: u32,
    },
    /// A number of frames that cannot be a video.
    #[error("a video of {frames} frames: {message}")]
    Frames {
        /// Frames given.
        frames: i64,
        /// The problem, with the limit.
        message: String,
    },
    /// An intermediate canvas of a view is too large.
    #[error(
        "an image of {from_width}x{from_height} would need a canvas of {width}x{height} on the way, {pixels} pixels, over the limit of {limit}"
    )]
    Canvas {
        /// Width of the canvas.
        width: u32,
        /// Height of the canvas.
        height: u32,
        /// Their product.
        pixels: u64,
        /// The most pixels.
        limit: u64,
        /// Width of the image.
        from_width: u32,
        /// Height of the image.
        from_height: u32,
    },
    /// An axis of a resize has too many weights.
    #[error("a resize from {input} to {output} samples of a side has {weights} weights, over the limit of {limit}")]
    Weights {
        /// Samples of the image's side.
        input: u32,
        /// Samples of the resized side.
        output: u32,
        /// How many weights there would be.
        weights: u64,
        /// The most.
        limit: u64,
    },
    /// The image is longer and narrower than the recipe allows.
    #[error("aspect ratio {ratio} of an image of {width}x{height} is over the limit of {limit}")]
    AspectRatio {
        /// Width of the image.
        width: u32,
        /// Height of the image.
        height: u32,
        /// Longer over shorter side.
        ratio: f64,
        /// The largest allowed.
        limit: f64,
    },
    /// The header announces more pixels than the caller allows.
    #[error("image of {width}x{height} has {pixels} pixels, over the limit of {limit}")]
    TooManyPixels {
        /// Width in the header.
        width: u32,
        /// Height in the header.
        height: u32,
        /// Their product.
        pixels: u64,
        /// The limit.
        limit: u64,
    },
    /// Something has more bytes than the caller allows.
    #[error("{what} {bytes} bytes, over the limit of {limit} ({setting})")]
    TooManyBytes {
        /// What has or needs them.
        what: &'static str,
        /// How many.
        bytes: u64,
        /// The limit.
        limit: u64,
        /// The setting that raises it.
        setting: &'static str,
    },
    /// The bytes are not an image that can be decoded.
    #[error("cannot decode the image: {0}")]
    Decode(String),
    /// Another library may decode these bytes. This one does not, or not to Pillow's pixels.
    #[error(
        "cannot decode the image: {format} with {feature} is not read natively (decoder=\"auto\" has Pillow read it)"
    )]
    NotNative {
        /// The file's format, or "a file" if it is unknown.
        format: &'static str,
        /// The part of it that is not supported.
        feature: String,
    },
    /// A file could not be read.
    #[error("{path}: {message}")]
    File {
        /// The path.
        path: String,
        /// What the system said.
        message: String,
        /// The system's error number, if any.
        errno: Option<i32>,
    },
    /// This filter has no reference in this arithmetic.
    #[error("filter {filter:?} does not exist in arithmetic {arithmetic:?}; it has {known}")]
    Filter {
        /// The filter.
        filter: String,
        /// The arithmetic.
        arithmetic: String,
        /// Its filters.
        known: String,
    },
    /// The caller no longer wants the result.
    #[error("interrupted")]
    Interrupted,
    /// The system has no more memory.
    #[error("no memory for {bytes} bytes")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// A buffer or an argument is invalid.
    #[error("{0}")]
    Argument(String),
}

impl Error {
    /// The error of a file or folder that the system refuses.
    pub(crate) fn of_file(path: &std::path::Path, error: &std::io::Error) -> Self {
        let errno = error.raw_os_error();
        let message = error.to_string();
        // The number has a field of its own.
        let message = errno.and_then(|errno| message.strip_suffix(&format!(" (os error {errno})"))).unwrap_or(&message);
        Self::File { path: path.display().to_string(), message: message.to_owned(), errno }
    }
}

/// Result with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;
