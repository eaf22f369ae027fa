//! Encoded images whose header was read, wherever their bytes are and whoever decodes them.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::jpeg::Jpeg;
use super::other::AnyHeader;
use super::{ColourKey, Decoder, Encoded, Header, ImageFile, Orientation, OwnedImage, Streamed};
use crate::error::Result;
use crate::geometry::Size;
use crate::limits::Limits;
use crate::threads::Threads;

/// Bytes in memory, and who holds them.
pub type Memory<'a> = Box<dyn AsRef<[u8]> + Send + Sync + 'a>;

/// An encoded image whose header was read and is within limits.
pub struct Opened<'a> {
    place: Place<'a>,
    header: AnyHeader,
    decoder: Decoder,
}

enum Place<'a> {
    Memory(Memory<'a>),
    /// A file that this library has opened.
    File(ImageFile),
    /// One that another library opens.
    Path(PathBuf),
}

impl Place<'_> {
    /// Bytes of a file that is read whole to be decoded.
    fn bytes_to_read(&self) -> u64 {
        match self {
            Self::File(file) => file.size(),
            Self::Memory(_) | Self::Path(_) => 0,
        }
    }
}

impl<'a> Opened<'a> {
    /// Reads the header of bytes in memory.
    pub fn bytes(bytes: Memory<'a>, limits: &Limits, decoder: &Decoder) -> Result<Self> {
        let encoded = Encoded::Bytes((*bytes).as_ref());
        let header = decoder.header(|| Header::of((*bytes).as_ref()), encoded)?;
        Self::checked(Place::Memory(bytes), header, limits, decoder)
    }

    /// Reads the header of a file.
    pub fn file(path: &Path, limits: &Limits, decoder: &Decoder) -> Result<Self> {
        if matches!(decoder, Decoder::Other(_)) {
            ImageFile::check(path, limits)?;
        }
        let mut file = None;
        let own = || {
            let (opened, header) = ImageFile::open(path, limits)?;
            file = Some(opened);
            Ok(header)
        };
        let header = decoder.header(own, Encoded::Path(path))?;
        Self::checked(file.map_or_else(|| Place::Path(path.to_owned()), Place::File), header, limits, decoder)
    }

    fn checked(place: Place<'a>, header: AnyHeader, limits: &Limits, decoder: &Decoder) -> Result<Self> {
        match &header {
            AnyHeader::Own(header) => header.check(limits, place.bytes_to_read())?,
            AnyHeader::Other(header) => header.check(limits)?,
        }
        Ok(Self { place, header, decoder: decoder.clone() })
    }

    /// The image's size as it is to be seen: turned by its EXIF orientation.
    pub fn size(&self) -> Result<Size> {
        match &self.header {
            AnyHeader::Own(header) => header.size(),
            AnyHeader::Other(header) => Ok(header.size),
        }
    }

    /// The image's size as stored.
    pub fn stored_size(&self) -> Result<Size> {
        match &self.header {
            AnyHeader::Own(header) => header.stored_size(),
            AnyHeader::Other(header) => Ok(header.stored),
        }
    }

    /// At least the bytes that decoding takes, those of a file that is read for it among them.
    pub fn decoding_bytes(&self) -> u64 {
        match &self.header {
            AnyHeader::Own(header) => header.decoded_bytes().saturating_add(self.place.bytes_to_read()),
            AnyHeader::Other(header) => header.bytes,
        }
    }

    /// How the rows lie of a file that can be decoded while they are read; nothing where it can only be decoded whole.
    pub(crate) fn lies(&self) -> Option<Orientation> {
        self.jpeg().map(Jpeg::orientation)
    }

    fn jpeg(&self) -> Option<Jpeg> {
        match (&self.header, &self.place) {
            (AnyHeader::Own(header), Place::Memory(_) | Place::File(_)) => header.streamed(),
            _ => None,
        }
    }

    /// The file, to be decoded while its rows are read, if it can be.
    pub(crate) fn streamed(&self, reduction: u32) -> Result<Option<Streamed<'_>>> {
        let Some(jpeg) = self.jpeg() else { return Ok(None) };
        let bytes = match &self.place {
            Place::Memory(bytes) => Cow::Borrowed((**bytes).as_ref()),
            Place::File(file) => Cow::Owned(file.read()?),
            Place::Path(_) => return Ok(None),
        };
        Streamed::new(jpeg, bytes, reduction).map(Some)
    }

    /// The pixels: see [`Header::decode_keyed`]. Another library's are never reduced.
    pub fn decode(&self, reduction: u32, key: ColourKey, threads: Threads) -> Result<OwnedImage> {
        let held;
        let encoded = match &self.place {
            Place::Memory(bytes) => Encoded::Bytes((**bytes).as_ref()),
            Place::Path(path) => Encoded::Path(path),
            Place::File(file) => {
                held = file.read()?;
                Encoded::Bytes(&held)
            }
        };
        match (&self.header, encoded) {
            (AnyHeader::Own(header), Encoded::Bytes(bytes)) => {
                self.decoder.rest(header.decode_keyed(bytes, reduction, key, threads), encoded)
            }
            _ => self.decoder.other(encoded),
        }
    }
}
