//! What a call is given, and how it becomes pixels.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::limits::Limits;
use crate::plan::Plan;
use crate::source::{Header, ImageFile, OwnedImage, PixelView};
use crate::threads::{Threads, check_stopped, parallel};

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

/// An image, or a frame of a video.
pub enum Input<'a> {
    /// The bytes of an image file.
    Bytes(Box<dyn AsRef<[u8]> + Send + Sync + 'a>),
    /// Where an image file lies.
    Path(PathBuf),
    /// An image file whose header was read already.
    Opened(Arc<(ImageFile, Header)>),
    /// Pixels.
    Pixels(Box<dyn PixelOwner + 'a>),
}

/// An input whose size is known.
pub(super) enum Source<'a> {
    Bytes(Box<dyn AsRef<[u8]> + Send + Sync + 'a>, Header),
    File(Arc<(ImageFile, Header)>),
    Pixels(Box<dyn PixelOwner + 'a>),
}

impl<'a> Source<'a> {
    /// Reads headers. Files of more pixels are refused.
    pub(super) fn open_all(inputs: Vec<Input<'a>>, limits: &Limits, threads: Threads) -> Vec<Result<Self>> {
        let mut paths = Vec::new();
        for input in &inputs {
            if let Input::Path(path) = input {
                paths.push(path);
            }
        }
        let mut files = parallel(&paths, threads, |path| {
            check_stopped()?;
            ImageFile::open(path, limits)
        })
        .into_iter();
        let mut open = |input| {
            let source = match input {
                Input::Pixels(pixels) => Self::Pixels(pixels),
                Input::Bytes(bytes) => {
                    let header = Header::of((*bytes).as_ref())?;
                    Self::Bytes(bytes, header)
                }
                Input::Path(_) => {
                    let opened = files.next().unwrap_or_else(|| Err(Error::Argument("no file".into())))?;
                    Self::File(Arc::new(opened))
                }
                Input::Opened(file) => Self::File(file),
            };
            if let Some(header) = source.header() {
                header.check(limits)?;
            }
            Ok(source)
        };
        inputs.into_iter().map(&mut open).collect()
    }

    fn header(&self) -> Option<&Header> {
        match self {
            Self::Bytes(_, header) => Some(header),
            Self::File(file) => Some(&file.1),
            Self::Pixels(_) => None,
        }
    }

    /// The image's size as it is to be seen.
    pub(super) fn size(&self) -> Result<Size> {
        match self {
            Self::Bytes(_, header) => header.size(),
            Self::File(file) => file.1.size(),
            Self::Pixels(pixels) => Ok(pixels.view()?.size()),
        }
    }

    /// Bytes that decoding it takes.
    pub(super) fn decoded_bytes(&self) -> u64 {
        self.header().map_or(0, Header::decoded_bytes)
    }

    /// Whether it has to be decoded.
    pub(super) fn is_encoded(&self) -> bool {
        !matches!(self, Self::Pixels(_))
    }

    /// The decoded image, straight at its plan's reduced size where that is wanted and can be; nothing of pixels.
    pub(super) fn decode(&self, plan: &Plan, scaled: bool) -> Result<Option<OwnedImage>> {
        let reduction = if scaled { plan.reduction() } else { 1 };
        let image = match self {
            Self::Pixels(_) => return Ok(None),
            Self::Bytes(bytes, header) => header.decode((**bytes).as_ref(), reduction)?,
            Self::File(file) => file.1.decode(&file.0.read()?, reduction)?,
        };
        Ok(Some(image))
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
