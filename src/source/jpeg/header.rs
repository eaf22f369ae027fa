//! A JPEG's header as Pillow's `open` reads it, before libjpeg sees the file: size, EXIF, and what is refused.

use super::frame::Stop;
use crate::source::orientation::Metadata;

const REFUSED: Stop = Stop::Broken("a header that Pillow refuses");

/// What the header says.
#[derive(Default)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Of the frame.
    pub(super) components: u8,
    /// EXIF data, with their prefix, and XMP.
    pub(super) metadata: Metadata,
    /// Whether EXIF data are in several segments, or have a prefix that some readers do not know.
    pub(super) has_odd_exif: bool,
    /// Whether it has an index of several images.
    pub(super) is_several: bool,
    /// Units between two restarts; 0 without such.
    pub(super) restart_interval: u16,
    /// Bytes of the coefficients of an image that comes in several scans.
    pub(super) coefficients: u64,
    /// Whether it is coded by Huffman's codes, and not lossless.
    pub(super) is_known: bool,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Stop> {
        let mut header = Self::default();
        let mut at = 2;
        // Of the frame: whether it is progressive, its components and its samples.
        let mut frame = (false, 0, 0);
        loop {
            // Over junk, and fill bytes, to a marker.
            let Some(&[first, second]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>) else {
                return Err(Stop::Truncated);
            };
            if first != 0xff || second == 0xff {
                at += 1;
                continue;
            }
            at += 2;
            let segment = || {
                let length = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>).ok_or(Stop::Truncated)?;
                let length = usize::from(u16::from_be_bytes(*length)).max(2);
                bytes.get(at + 2..at + length).ok_or(Stop::Truncated)
            };
            let length = match second {
                0x00 | 0xc8 | 0xd0..=0xd9 | 0xf0..=0xfd => 0,
                0x01..=0xbf | 0xff => return Err(REFUSED),
                0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf | 0xde => {
                    let segment = segment()?;
                    header.frame(segment)?;
                    frame = (second == 0xc2, segment[5], header.samples(segment));
                    header.is_known = matches!(second, 0xc0..=0xc2);
                    segment.len() + 2
                }
                0xda => {
                    let (progressive, components, samples) = frame;
                    let parts = segment()?.first();
                    // A scan without all components is not the only one.
                    if progressive || parts.is_some_and(|&parts| parts < components) {
                        header.coefficients = samples * 2;
                    }
                    break;
                }
                code => {
                    let segment = segment()?;
                    header.segment(code, segment)?;
                    segment.len() + 2
                }
            };
            at += length;
        }
        if header.width == 0 || header.height == 0 { Err(REFUSED) } else { Ok(header) }
    }

    fn frame(&mut self, segment: &[u8]) -> Result<(), Stop> {
        let &[bits, h1, h0, w1, w0, count] = segment.first_chunk::<6>().ok_or(REFUSED)?;
        if bits != 8 {
            return Err(Stop::Broken("samples that are not of 8 bits"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Stop::Broken("a number of components other than 1, 3 and 4"));
        }
        self.width = u16::from_be_bytes([w1, w0]).into();
        self.height = u16::from_be_bytes([h1, h0]).into();
        self.components = count;
        if !segment[6..].len().is_multiple_of(3) {
            return Err(REFUSED);
        }
        Ok(())
    }

    /// At least the samples of all components, whose sampling factors follow the size.
    fn samples(&self, segment: &[u8]) -> u64 {
        let factors = segment[6..].chunks_exact(3).map(|part| (u64::from(part[1] >> 4), u64::from(part[1] & 15)));
        let (h, v) = factors.clone().fold((1, 1), |(h, v), (own_h, own_v)| (h.max(own_h), v.max(own_v)));
        let pixels = u64::from(self.width) * u64::from(self.height);
        factors.map(|(own_h, own_v)| pixels * own_h * own_v / (h * v)).sum()
    }

    fn segment(&mut self, code: u8, segment: &[u8]) -> Result<(), Stop> {
        match code {
            0xe0 if segment.starts_with(b"JFIF") && segment.len() < 7 => Err(REFUSED),
            0xee if segment.starts_with(b"Adobe") && segment.len() < 7 => Err(REFUSED),
            0xdd => {
                self.restart_interval = segment.first_chunk().map_or(0, |interval| u16::from_be_bytes(*interval));
                Ok(())
            }
            0xe2 => {
                self.is_several |= segment.starts_with(b"MPF\0");
                Ok(())
            }
            0xe1 => {
                let has_prefix = segment.starts_with(b"Exif\0\0") && self.metadata.exif.is_none();
                self.has_odd_exif |= segment.starts_with(b"Exif") && !has_prefix;
                if let Some(tiff) = segment.strip_prefix(b"Exif\0\0") {
                    // One that goes on has its prefix again.
                    match &mut self.metadata.exif {
                        Some(exif) => exif.extend_from_slice(tiff),
                        None => self.metadata.exif = Some(segment.to_vec()),
                    }
                } else if let Some(xmp) = segment.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                    self.metadata.xmp = Some(xmp.to_vec());
                }
                Ok(())
            }
            0xdb => {
                let mut rest = segment;
                while let Some(first) = rest.first() {
                    let length = if first >> 4 == 0 { 65 } else { 129 };
                    rest = rest.get(length..).ok_or(REFUSED)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
