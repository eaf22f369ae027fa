//! WebP, by libwebp as Pillow uses it: the first frame on a transparent canvas, its colours as they are stored.

use std::io::{Read, Seek};
use std::mem::MaybeUninit;
use std::ptr;

use libwebp_sys as sys;

use super::bytes::Bytes;
use super::decode::{give, reuse};
use super::orientation::Metadata;
use super::transparency::{look, look_at};
use crate::error::{Error, Result};

/// Bits of the extended header: there is EXIF data, XMP, or an alpha. A lossless picture has the last one at the same place.
const EXIF: u8 = 8;
const XMP: u8 = 4;
const ALPHA: u8 = 16;

pub(super) fn is_webp(head: &[u8]) -> bool {
    head.starts_with(b"RIFF") && matches!(head.get(8..16), Some(b"WEBPVP8 " | b"WEBPVP8L" | b"WEBPVP8X"))
}

/// Size, metadata, and whether some of it may be transparent.
pub(super) fn read_header<R: Read + Seek>(bytes: &mut Bytes<R>) -> Result<((u32, u32), Metadata, bool)> {
    // A lossless picture may be shorter.
    let start = bytes.up_to(0, 30).unwrap_or_default();
    let mut head = [0; 30];
    head[..start.len()].copy_from_slice(&start);
    let word = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let three = |at: usize| word(at) | u32::from(head[at + 2]) << 16;
    let size = match &head[12..16] {
        b"VP8 " if head[23..26] == [0x9d, 1, 0x2a] => (word(26) & 0x3fff, word(28) & 0x3fff),
        b"VP8L" if head[20] == 0x2f => {
            let bits = word(21) | word(23) << 16;
            ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)
        }
        b"VP8X" => (three(24) + 1, three(27) + 1),
        _ => return Err(error("no header of a picture")),
    };
    let mut metadata = Metadata::default();
    if &head[12..16] == b"VP8X" && head[20] & (EXIF | XMP) != 0 {
        let end = bytes.len().min(u64::from(word(4) | word(6) << 16) + 8);
        let mut at = 12;
        while let Some(chunk) = bytes.array::<8>(at).filter(|_| at + 8 <= end) {
            let length = u64::from(u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]));
            match &chunk[..4] {
                b"EXIF" if head[20] & EXIF != 0 && metadata.exif.is_none() => metadata.exif = bytes.get(at + 8, length),
                b"XMP " if head[20] & XMP != 0 && metadata.xmp.is_none() => metadata.xmp = bytes.get(at + 8, length),
                _ => {}
            }
            at += 8 + length.next_multiple_of(2);
        }
    }
    let has_alpha = match &head[12..16] {
        b"VP8X" => head[20] & ALPHA != 0,
        b"VP8L" => head[24] & ALPHA != 0,
        _ => false,
    };
    Ok((size, metadata, has_alpha))
}

/// At least the bytes that decoding takes beside the RGB pixels: libwebp's own of a lossless picture, four a pixel, and as many
/// of pixels with their alpha.
pub(super) fn beside(pixels: u64, has_alpha: bool) -> u64 {
    pixels * if has_alpha { 8 } else { 4 }
}

/// Decodes the first frame into `pixels`, packed RGB of the size that the header says.
pub(super) fn decode(bytes: &[u8], (width, height): (u32, u32), pixels: &mut [u8]) -> Result<()> {
    let demuxer = Demuxer::new(bytes).ok_or_else(|| error("a structure that is damaged or cut off"))?;
    if demuxer.size() != (width, height) {
        return Err(error("two sizes"));
    }
    let frame = demuxer.first_frame().ok_or_else(|| error("no frame"))?;
    let whole = (frame.x, frame.y, frame.width, frame.height) == (0, 0, width, height);
    let fits = u64::from(frame.x) + u64::from(frame.width) <= width.into()
        && u64::from(frame.y) + u64::from(frame.height) <= height.into();
    if !fits {
        return Err(error("a frame outside its canvas"));
    }
    if !whole {
        pixels.fill(0);
    }
    let stride = width as usize * 3;
    let start = frame.y as usize * stride + frame.x as usize * 3;
    let size = (frame.width, frame.height);
    if !frame.has_alpha {
        return decode_frame(frame.data, size, &mut pixels[start..], stride, sys::WEBP_CSP_MODE::MODE_RGB);
    }
    if !whole {
        look_at([(&[0; 3], 0)].into_iter());
    }
    let row = frame.width as usize * 4;
    let mut rgba = reuse(row * frame.height as usize)?;
    let decoded = decode_frame(frame.data, size, &mut rgba, row, sys::WEBP_CSP_MODE::MODE_RGBA);
    if decoded.is_ok() {
        for (out, row) in pixels[start..].chunks_mut(stride).zip(rgba.chunks_exact(row)) {
            let row = row.as_chunks::<4>().0;
            look(row);
            let colours = row.iter().map(|&[red, green, blue, _]| [red, green, blue]);
            out.as_chunks_mut::<3>().0.iter_mut().zip(colours).for_each(|(out, colour)| *out = colour);
        }
    }
    give(rgba);
    decoded
}

/// A frame, and where it lies on its canvas.
struct Frame<'a> {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    has_alpha: bool,
    /// A file of one picture.
    data: &'a [u8],
}

/// libwebp's reader of the container.
struct Demuxer<'a> {
    demuxer: *mut sys::WebPDemuxer,
    bytes: &'a [u8],
}

impl<'a> Demuxer<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let data = sys::WebPData { bytes: bytes.as_ptr(), size: bytes.len() };
        // SAFETY: the data outlives the demuxer, which keeps pointers into it; null is an error.
        let demuxer =
            unsafe { sys::WebPDemuxInternal(&raw const data, 0, ptr::null_mut(), sys::WEBP_DEMUX_ABI_VERSION as i32) };
        if demuxer.is_null() { None } else { Some(Self { demuxer, bytes }) }
    }

    fn size(&self) -> (u32, u32) {
        // SAFETY: the demuxer is alive.
        let get = |feature| unsafe { sys::WebPDemuxGetI(self.demuxer, feature) };
        (get(sys::WebPFormatFeature::WEBP_FF_CANVAS_WIDTH), get(sys::WebPFormatFeature::WEBP_FF_CANVAS_HEIGHT))
    }

    fn first_frame(&self) -> Option<Frame<'a>> {
        let mut iterator = MaybeUninit::<sys::WebPIterator>::zeroed();
        // SAFETY: the iterator is zeroed memory, which is a valid one, and written by the call.
        let found = unsafe { sys::WebPDemuxGetFrame(self.demuxer, 1, iterator.as_mut_ptr()) };
        // SAFETY: it was zeroed, then written.
        let mut iterator = unsafe { iterator.assume_init() };
        let frame = (found != 0).then(|| {
            let start = (iterator.fragment.bytes as usize).wrapping_sub(self.bytes.as_ptr() as usize);
            let data = self.bytes.get(start..)?.get(..iterator.fragment.size)?;
            let side = |value: i32| u32::try_from(value).ok();
            Some(Frame {
                x: side(iterator.x_offset)?,
                y: side(iterator.y_offset)?,
                width: side(iterator.width)?,
                height: side(iterator.height)?,
                has_alpha: iterator.has_alpha != 0,
                data,
            })
        });
        // SAFETY: the iterator is of this demuxer.
        unsafe { sys::WebPDemuxReleaseIterator(&raw mut iterator) };
        frame.flatten()
    }
}

impl Drop for Demuxer<'_> {
    fn drop(&mut self) {
        // SAFETY: it was made by `new`, and is deleted once.
        unsafe { sys::WebPDemuxDelete(self.demuxer) };
    }
}

/// Decodes a picture into rows that are `stride` bytes apart, in RGB or RGBA.
fn decode_frame(
    data: &[u8],
    (width, height): (u32, u32),
    out: &mut [u8],
    stride: usize,
    mode: sys::WEBP_CSP_MODE,
) -> Result<()> {
    let mut config = sys::WebPDecoderConfig::new().map_err(|()| error("another version of libwebp"))?;
    let samples = if mode == sys::WEBP_CSP_MODE::MODE_RGBA { 4 } else { 3 };
    let needed = stride * (height as usize).saturating_sub(1) + width as usize * samples;
    if width == 0 || height == 0 || needed > out.len() {
        return Err(error("a frame outside its canvas"));
    }
    config.output.colorspace = mode;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = sys::WebPRGBABuffer { rgba: out.as_mut_ptr(), stride: stride as i32, size: out.len() };
    // SAFETY: the data and the output are live slices; libwebp checks the picture's size against the output's.
    let status = unsafe { sys::WebPDecode(data.as_ptr(), data.len(), &raw mut config) };
    match status {
        sys::VP8StatusCode::VP8_STATUS_OK
            if (config.input.width, config.input.height) == (width as i32, height as i32) =>
        {
            Ok(())
        }
        sys::VP8StatusCode::VP8_STATUS_OK => Err(error("a picture of another size than its frame")),
        sys::VP8StatusCode::VP8_STATUS_OUT_OF_MEMORY => Err(Error::Memory { bytes: needed }),
        sys::VP8StatusCode::VP8_STATUS_NOT_ENOUGH_DATA | sys::VP8StatusCode::VP8_STATUS_SUSPENDED => {
            Err(error("data that end before the image does"))
        }
        _ => Err(error("damaged data")),
    }
}

fn error(what: &str) -> Error {
    Error::Decode(format!("the WebP has {what}"))
}
