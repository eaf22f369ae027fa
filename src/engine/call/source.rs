//! The inputs of a call, and how they become pixels.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::plan::Plan;
use crate::source::{ColourKey, Decoder, Memory, Opened, Orientation, OwnedImage, PixelView, Streamed};
use crate::threads::{Phase, Threads, check_stopped, job, parallel, timed};

/// Keeps an image's pixels alive while a call reads them.
pub trait PixelOwner: Send + Sync {
    /// The pixels.
    fn view(&self) -> Result<PixelView<'_>>;
}

impl PixelOwner for PixelView<'_> {
    fn view(&self) -> Result<PixelView<'_>> {
        Ok(*self)
    }
}

impl PixelOwner for OwnedImage {
    fn view(&self) -> Result<PixelView<'_>> {
        self.view()
    }
}

/// An image of known size whose pixels are made on demand: a page of a document, or a frame of a video file.
pub trait DeferredImage: Send + Sync {
    /// The size.
    fn size(&self) -> Size;

    /// Makes the pixels, of that size.
    fn pixels(&self) -> Result<OwnedImage>;
}

/// An image, or a frame of a video.
pub enum Input<'a> {
    /// The bytes of an image file.
    Bytes(Memory<'a>),
    /// The path of an image file.
    Path(PathBuf),
    /// An image file whose header was read already.
    Opened(Arc<Opened<'static>>),
    /// Pixels.
    Pixels(Box<dyn PixelOwner + 'a>),
    /// Pixels that are made on demand.
    Deferred(Box<dyn DeferredImage + 'a>),
}

/// An input whose size is known.
pub(super) enum Source<'a> {
    Encoded(Opened<'a>),
    Shared(Arc<Opened<'static>>),
    Pixels(Box<dyn PixelOwner + 'a>),
    Deferred(Box<dyn DeferredImage + 'a>),
}

/// Bytes of a pixel that is decoded.
const PIXEL_BYTES: u64 = 3;

impl<'a> Source<'a> {
    /// Reads headers. Images over a limit are refused.
    pub(super) fn open_all(
        inputs: Vec<Input<'a>>,
        limits: &Limits,
        decoder: &Decoder,
        threads: Threads,
    ) -> Vec<Result<Self>> {
        let mut paths = Vec::new();
        for input in &inputs {
            if let Input::Path(path) = input {
                paths.push(path);
            }
        }
        let mut files = parallel(&paths, threads, |path| {
            check_stopped()?;
            timed(Phase::Open, || Opened::file(path, limits, decoder))
        })
        .into_iter();
        let mut open = |input| match input {
            Input::Pixels(pixels) => Ok(Self::Pixels(pixels)),
            Input::Bytes(bytes) => {
                job(|| timed(Phase::Open, || Opened::bytes(bytes, limits, decoder))).map(Self::Encoded)
            }
            Input::Path(_) => files.next().unwrap_or_else(|| Err(Error::Argument("no file".into()))).map(Self::Encoded),
            Input::Opened(file) => Ok(Self::Shared(file)),
            Input::Deferred(image) => {
                let size = image.size();
                limits.check_pixels((size.width, size.height))?;
                limits.check_decoded(size.area() * PIXEL_BYTES)?;
                Ok(Self::Deferred(image))
            }
        };
        inputs.into_iter().map(&mut open).collect()
    }

    fn encoded(&self) -> Option<&Opened<'_>> {
        match self {
            Self::Encoded(opened) => Some(opened),
            Self::Shared(opened) => Some(opened),
            Self::Pixels(_) | Self::Deferred(_) => None,
        }
    }

    /// The image's size after EXIF orientation.
    pub(super) fn size(&self) -> Result<Size> {
        match self {
            Self::Encoded(opened) => opened.size(),
            Self::Shared(opened) => opened.size(),
            Self::Pixels(pixels) => Ok(pixels.view()?.size()),
            Self::Deferred(image) => Ok(image.size()),
        }
    }

    /// Bytes that decoding takes, including those of a file that is read.
    pub(super) fn decoding_bytes(&self) -> u64 {
        match self {
            Self::Deferred(image) => image.size().area() * PIXEL_BYTES,
            _ => self.encoded().map_or(0, Opened::decoding_bytes),
        }
    }

    /// Whether it has to be decoded.
    pub(super) fn is_encoded(&self) -> bool {
        !matches!(self, Self::Pixels(_))
    }

    /// The decoded image, at its plan's reduced size if that is wanted and possible; nothing if the source is pixels.
    pub(super) fn decode(
        &self,
        plan: &Plan,
        scaled: bool,
        key: ColourKey,
        threads: Threads,
    ) -> Result<Option<OwnedImage>> {
        if let Self::Deferred(image) = self {
            return image.pixels().map(Some);
        }
        let reduction = if scaled { plan.reduction() } else { 1 };
        self.encoded().map(|opened| opened.decode(reduction, key, threads)).transpose()
    }

    /// How the rows lie of a file that can be decoded while they are read.
    pub(super) fn lies(&self) -> Option<Orientation> {
        self.encoded().and_then(Opened::lies)
    }

    /// A file that can be decoded while its rows are read, as by [`Self::decode`].
    pub(super) fn streamed(&self, plan: &Plan, scaled: bool) -> Result<Option<Streamed<'_>>> {
        let Some(opened) = self.encoded() else { return Ok(None) };
        let streamed = opened.streamed(if scaled { plan.reduction() } else { 1 })?;
        streamed.map(|file| check_size(file.orientation().turned(file.size()), plan).map(|()| file)).transpose()
    }

    /// The pixels; `decoded` is the decoded image, if there is one.
    pub(super) fn view<'v>(&'v self, decoded: Option<&'v OwnedImage>, plan: &Plan) -> Result<PixelView<'v>> {
        let view = match (self, decoded) {
            (_, Some(image)) => image.view()?,
            (Self::Pixels(pixels), None) => pixels.view()?,
            (_, None) => return Err(Error::Argument("the image is not decoded".into())),
        };
        check_size(view.size(), plan)?;
        Ok(view)
    }
}

/// Refuses an image of another size than its plan's.
fn check_size(size: Size, plan: &Plan) -> Result<()> {
    if [plan.size, plan.reduced_size()].contains(&size) {
        return Ok(());
    }
    let planned = plan.size;
    Err(Error::Argument(format!(
        "the image has {}x{} pixels, its plan {}x{}",
        size.width, size.height, planned.width, planned.height
    )))
}
