//! What a call is given, and how it becomes pixels.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::plan::Plan;
use crate::source::{ColourKey, Decoder, Memory, Opened, OwnedImage, PixelView};
use crate::threads::{Phase, Threads, check_stopped, job, parallel, timed};

/// Holds an image's pixels for as long as a call reads them.
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

/// An image whose size is known, and whose pixels are made when they are needed: a page that is drawn, a video's frame.
pub trait DeferredImage: Send + Sync {
    /// The size.
    fn size(&self) -> Size;

    /// The pixels, of that size.
    fn pixels(&self) -> Result<OwnedImage>;
}

/// An image, or a frame of a video.
pub enum Input<'a> {
    /// The bytes of an image file.
    Bytes(Memory<'a>),
    /// Where an image file lies.
    Path(PathBuf),
    /// An image file whose header was read already.
    Opened(Arc<Opened<'static>>),
    /// Pixels.
    Pixels(Box<dyn PixelOwner + 'a>),
    /// Pixels that are made when they are needed.
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

    /// The image's size as it is to be seen.
    pub(super) fn size(&self) -> Result<Size> {
        match self {
            Self::Encoded(opened) => opened.size(),
            Self::Shared(opened) => opened.size(),
            Self::Pixels(pixels) => Ok(pixels.view()?.size()),
            Self::Deferred(image) => Ok(image.size()),
        }
    }

    /// Bytes that decoding it takes, those of a file that is read for it among them.
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

    /// The decoded image, straight at its plan's reduced size where that is wanted and can be; nothing of pixels.
    pub(super) fn decode(&self, plan: &Plan, scaled: bool, key: ColourKey) -> Result<Option<OwnedImage>> {
        if let Self::Deferred(image) = self {
            return image.pixels().map(Some);
        }
        let reduction = if scaled { plan.reduction() } else { 1 };
        self.encoded().map(|opened| opened.decode(reduction, key)).transpose()
    }

    /// The pixels, where `decoded` is what was decoded.
    pub(super) fn view<'v>(&'v self, decoded: Option<&'v OwnedImage>, plan: &Plan) -> Result<PixelView<'v>> {
        let view = match (self, decoded) {
            (_, Some(image)) => image.view()?,
            (Self::Pixels(pixels), None) => pixels.view()?,
            (_, None) => return Err(Error::Argument("the image is not decoded".into())),
        };
        if [plan.size, plan.reduced_size()].contains(&view.size()) {
            Ok(view)
        } else {
            let (size, planned) = (view.size(), plan.size);
            Err(Error::Argument(format!(
                "the image has {}x{} pixels, its plan {}x{}",
                size.width, size.height, planned.width, planned.height
            )))
        }
    }
}
