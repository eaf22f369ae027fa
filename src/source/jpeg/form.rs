//! What tells one JPEG file from another for all who read such files: where it is certain, another reader's work can be foretold.

use std::path::Path;

use super::header::Header;
use super::{Stop, is_jpeg};
use crate::error::Result;
use crate::geometry::Size;
use crate::source::file;
use crate::source::orientation::{Metadata, ORIENTATION, Orientation};

/// A header is looked for in so many bytes, then in so many times as many.
const FIRST_BYTES: usize = 1 << 14;
const MORE_BYTES: usize = 4;
const MOST_BYTES: usize = 1 << 22;

/// The form of a file that holds one image of gray or colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JpegForm {
    /// As stored.
    pub size: Size,
    /// Whether it has one component.
    pub is_gray: bool,
    /// What its EXIF data say, any number; 1 without such.
    pub orientation: u16,
}

impl JpegForm {
    /// That of a file; none of other formats, of several images, of inks, and where readers differ about the orientation.
    pub fn of_file(path: &Path) -> Result<Option<Self>> {
        let mut wanted = FIRST_BYTES;
        loop {
            let bytes = file::head(path, wanted)?;
            if !is_jpeg(&bytes) {
                return Ok(None);
            }
            match Header::read(&bytes) {
                Err(Stop::Truncated) if bytes.len() == wanted && wanted < MOST_BYTES => wanted *= MORE_BYTES,
                Err(_) => return Ok(None),
                Ok(header) => return Self::of(&header),
            }
        }
    }

    fn of(header: &Header) -> Result<Option<Self>> {
        let is_one = !header.is_several || has_gain_map(&header.metadata);
        if !is_one || header.has_odd_exif || !matches!(header.components, 1 | 3) {
            return Ok(None);
        }
        let Some(orientation) = orientation(&header.metadata) else { return Ok(None) };
        let size = Size::of_image(header.width.into(), header.height.into())?;
        Ok(Some(Self { size, is_gray: header.components == 1, orientation }))
    }
}

/// Whether a file of several images is one to Pillow, and a map of what is brighter on some screens.
fn has_gain_map(metadata: &Metadata) -> bool {
    const MARK: &[u8] = b" hdrgm:Version=\"";
    metadata.xmp.as_deref().is_some_and(|xmp| xmp.windows(MARK.len()).any(|window| window == MARK))
}

/// The orientation that all readers find: one entry of one 16-bit number, or none anywhere.
fn orientation(metadata: &Metadata) -> Option<u16> {
    let stated = metadata.exif.as_deref().map_or(Some(Vec::new()), entries)?;
    let number = match stated[..] {
        [] if metadata.number_in_xmp().is_none_or(|number| number == 1) => 1,
        [number] => number,
        _ => return None,
    };
    // Pillow reads further, and may find another.
    (metadata.orientation() == Orientation::of(number.into())).then_some(number)
}

/// The orientations in EXIF data as every reader takes them; nothing where readers may differ.
fn entries(exif: &[u8]) -> Option<Vec<u16>> {
    let tiff = exif.strip_prefix(b"Exif\0\0")?;
    let is_little = match tiff.first_chunk()? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk()?;
        Some(if is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let start = long(4)? as usize;
    let mut found = Vec::new();
    for index in 0..usize::from(short(start)?) {
        let at = start + 2 + index * 12;
        let (tag, kind, count, value) = (short(at)?, short(at + 2)?, long(at + 4)?, short(at + 8)?);
        if tag == ORIENTATION {
            found.push(value);
            if (kind, count) != (3, 1) {
                return None;
            }
        }
    }
    Some(found)
}
