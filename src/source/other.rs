//! Decoders of other libraries, for what this one does not read.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Encoded, Header, OwnedImage};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::limits::Limits;

/// Another library's decoder.
pub trait OtherDecoder: Debug + Send + Sync {
    /// Reads a header, and no pixel. Where it may leave images to this library, nothing of one that it leaves.
    fn header(&self, encoded: Encoded<'_>, may_leave: bool) -> Result<Option<OtherHeader>>;

    /// Decodes to RGB as transformers loads a file: turned by its EXIF orientation.
    fn decode(&self, encoded: Encoded<'_>) -> Result<OwnedImage>;
}

/// What another library says of an image.
#[derive(Clone, Copy, Debug)]
pub struct OtherHeader {
    /// The size as stored.
    pub stored: Size,
    /// The size as it is to be seen.
    pub size: Size,
    /// At least the bytes that decoding takes.
    pub bytes: u64,
}

/// Who decodes.
#[derive(Clone, Debug, Default)]
pub enum Decoder {
    /// This library alone.
    #[default]
    Own,
    /// This library, and another one where this one does not read a format.
    Auto(Arc<dyn OtherDecoder>),
    /// As `Auto`, and another library for those images that are transparent, as far as it does not leave them.
    Transparent(Arc<dyn OtherDecoder>),
    /// Another library alone.
    Other(Arc<dyn OtherDecoder>),
}

/// A header, and who has read it.
#[derive(Debug)]
pub(super) enum AnyHeader {
    Own(Header),
    Other(OtherHeader),
}

impl Decoder {
    /// A header, by whoever reads it.
    pub(super) fn header(&self, own: impl FnOnce() -> Result<Header>, encoded: Encoded<'_>) -> Result<AnyHeader> {
        let left = || Error::Decode("the fallback decoder does not read this file".into());
        let decoder = match self {
            Self::Own => return own().map(AnyHeader::Own),
            Self::Other(decoder) => return decoder.header(encoded, false)?.map(AnyHeader::Other).ok_or_else(left),
            Self::Transparent(decoder) if encoded.may_be_transparent()? => {
                if let Some(header) = decoder.header(encoded, true)? {
                    return Ok(AnyHeader::Other(header));
                }
                decoder
            }
            Self::Auto(decoder) | Self::Transparent(decoder) => decoder,
        };
        match own() {
            Err(error @ Error::NotNative { .. }) => match decoder.header(encoded, false) {
                Ok(header) => header.map(AnyHeader::Other).ok_or(error),
                Err(other) => Err(both(&error, other)),
            },
            found => found.map(AnyHeader::Own),
        }
    }

    /// The pixels of an image whose header this library has read, and whose pixels it may not read.
    pub(super) fn rest(&self, own: Result<OwnedImage>, encoded: Encoded<'_>) -> Result<OwnedImage> {
        match (self, own) {
            (Self::Auto(decoder) | Self::Transparent(decoder), Err(error @ Error::NotNative { .. })) => {
                decoder.decode(encoded).map_err(|other| both(&error, other))
            }
            (_, own) => own,
        }
    }

    /// The pixels of an image whose header the other library has read.
    pub(super) fn other(&self, encoded: Encoded<'_>) -> Result<OwnedImage> {
        match self {
            Self::Own => Err(Error::Argument("there is no fallback decoder".into())),
            Self::Auto(decoder) | Self::Transparent(decoder) | Self::Other(decoder) => decoder.decode(encoded),
        }
    }
}

impl OtherHeader {
    /// Refuses an image of more pixels, or one whose decoding takes more bytes.
    pub(super) fn check(&self, limits: &Limits) -> Result<()> {
        limits.check_pixels((self.stored.width, self.stored.height))?;
        limits.check_decoded(self.bytes)
    }
}

/// Why neither decoder reads an image.
fn both(own: &Error, other: Error) -> Error {
    match (own, other) {
        (Error::NotNative { format, feature }, Error::Decode(other)) => {
            Error::Decode(format!("{format} with {feature} is not read natively; {other}"))
        }
        (_, other) => other,
    }
}
