//! One image file in all the ways that it is read.

use std::borrow::Cow;

use vlmres::error::Result;
use vlmres::limits::Limits;
use vlmres::source::{Encoded, Header, OwnedImage, image_size};

/// What an image may take here: small, so that a fuzzer is quick, and that tiny files are over it.
pub const LIMITS: Limits =
    Limits { image_pixels: 1 << 18, file_bytes: 1 << 20, decoded_bytes: 64 << 20, output_bytes: Some(16 << 20) };
/// Bytes that decoding may take beside those that its header foretells: tables and buffers of a decoder.
const BESIDE: usize = 2 << 20;
/// Those of a PNG, whose texts and profile are unpacked with its header, and of a WebP, which says the length of its parts in
/// three bytes: room that nobody touches where the file ends.
const BESIDE_OTHERS: usize = 18 << 20;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Reads a file's header and pixels, and compares what they say of each other.
pub fn check(data: &[u8]) {
    let Ok(header) = Header::of(data) else {
        assert!(image_size(Encoded::Bytes(data), true).is_err(), "a size without a header");
        return;
    };
    if header.check(&LIMITS, 0).is_err() {
        return;
    }
    let size = header.size().expect("a header that was checked has a size");
    assert_eq!(image_size(Encoded::Bytes(data), true).ok(), Some(size));
    let Ok(decoded) = foretold(&header, data) else { return };
    assert_eq!(decoded.size(), size, "the header says another size than the pixels");
    let again = header.decode(data, 1).expect("a file decodes once and not twice");
    assert!(decoded == again, "a file decodes to other pixels at a second time");
    if data.starts_with(&[0xff, 0xd8]) {
        for reduction in [2, 4, 8] {
            let reduced = header.decode(data, reduction).expect("a file decodes whole and not reduced").size();
            let side = |side: u32| side.div_ceil(reduction);
            assert_eq!((reduced.width, reduced.height), (side(size.width), side(size.height)), "by {reduction}");
        }
    }
}

/// Decodes a file, in no more memory than its header foretold.
pub fn foretold(header: &Header, data: &[u8]) -> Result<OwnedImage> {
    let (decoded, peak) = crate::memory::peak(|| header.decode(data, 1));
    let foretold = header.decoded_bytes() as usize;
    // Buffers of a few sizes are taken, so that they fit other images, too: nobody touches what is more than was wanted.
    let rounded = foretold / 4;
    // A JPEG has lines of units, which may be many times as high as it, and so may its coefficients.
    let columns = header.stored_size().map_or(0, |size| size.width.max(size.height) as usize);
    let units = if data.starts_with(&[0xff, 0xd8]) { columns * 64 * 3 } else { 0 };
    let beside = if data.starts_with(PNG) || data.starts_with(b"RIFF") { BESIDE_OTHERS } else { BESIDE };
    assert!(peak <= foretold + rounded + units + beside, "decoding took {peak} bytes, its header foretold {foretold}");
    decoded
}

/// A file that begins as its format does, whatever was changed: else most inputs end at the signature.
pub fn signed<'a>(data: &'a [u8], signature: &[u8]) -> Option<Cow<'a, [u8]>> {
    if data.len() < signature.len() {
        return None;
    }
    if data.starts_with(signature) {
        return Some(Cow::Borrowed(data));
    }
    let mut signed = data.to_vec();
    signed[..signature.len()].copy_from_slice(signature);
    Some(Cow::Owned(signed))
}

/// A PNG whose checksums are right: else no change of a chunk gets beyond them.
pub fn with_checksums(data: &[u8]) -> Option<Vec<u8>> {
    let mut data = signed(data, PNG)?.into_owned();
    let mut at = PNG.len();
    while let Some(length) = data.get(at..at + 4) {
        let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let end = at + 8 + length;
        if end + 4 > data.len() {
            break;
        }
        let sum = crc32(&data[at + 4..end]);
        data[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        at = end + 4;
    }
    Some(data)
}

/// PNG's checksum.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(sum & 1)))
    })
}
