//! Whether a file may have transparent pixels, or gray of 16 bits, from its first bytes; and whether dropping alpha has brought
//! dark pixels to light.

use std::cell::Cell;

/// Bytes that are looked at. Where they do not tell, the file may be transparent.
pub(super) const HEAD: usize = 1 << 16;
/// Darker than this, and more transparent, a pixel is a dark one on a page that was to be seen.
const HALF: u8 = 128;

thread_local! {
    /// Whether this thread has dropped the alpha of a dark pixel that was transparent.
    static DARK: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread has dropped the alpha of a dark pixel that was transparent since it was last asked.
pub fn take_dark() -> bool {
    DARK.take()
}

/// Looks at pixels whose alpha, the last of their samples of 8 bits, is dropped.
pub(super) fn look<const N: usize>(pixels: &[[u8; N]]) {
    if !DARK.get() && pixels.iter().any(is_dark) {
        DARK.set(true);
    }
}

/// Looks at colours whose alphas are dropped.
pub(super) fn look_at<'a>(mut pixels: impl Iterator<Item = (&'a [u8; 3], u8)>) {
    if !DARK.get() && pixels.any(|(colour, alpha)| alpha < HALF && is_dark(colour)) {
        DARK.set(true);
    }
}

/// Whether all samples are below the middle.
pub(super) fn is_dark<const N: usize>(samples: &[u8; N]) -> bool {
    samples.iter().all(|&sample| sample < HALF)
}

/// Whether the image that begins so may have transparent pixels, or gray of 16 bits, which a caller may want otherwise too.
pub(super) fn may_be_transparent(head: &[u8]) -> bool {
    match head {
        [0xff, 0xd8, ..] => false,
        [0x89, b'P', b'N', b'G', ..] => png(head).unwrap_or(true),
        [b'R', b'I', b'F', b'F', ..] => webp(head).unwrap_or(true),
        _ => true,
    }
}

/// An alpha channel, gray of 16 bits, or a chunk of transparency before the pixels.
fn png(head: &[u8]) -> Option<bool> {
    let (depth, colour) = (*head.get(24)?, *head.get(25)?);
    if colour & 4 != 0 || (depth, colour) == (16, 0) {
        return Some(true);
    }
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(*head.get(at..)?.first_chunk()?);
        match head.get(at + 4..at + 8)? {
            b"tRNS" => return Some(true),
            b"IDAT" => return Some(false),
            _ => at += length as usize + 12,
        }
    }
}

/// The flag of an extended file, or that of a lossless one; a plain lossy one has no alpha.
fn webp(head: &[u8]) -> Option<bool> {
    match head.get(12..16)? {
        b"VP8X" => Some(*head.get(20)? & 0x10 != 0),
        b"VP8L" => Some(*head.get(24)? & 0x10 != 0),
        b"VP8 " => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat};

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn dark_pixels_are_seen_once() {
        look(&[[255, 255, 255, 0], [0, 0, 0, 255], [0, 0, 200, 0]]);
        assert!(!take_dark());
        look(&[[9, 0]]);
        assert!(take_dark() && !take_dark());
        look_at([(&[0, 0, 0], 128), (&[0, 0, 128], 0)].into_iter());
        assert!(!take_dark());
        look_at([(&[0, 9, 127], 127)].into_iter());
        assert!(take_dark());
    }

    #[test]
    fn an_alpha_channel_is_seen_in_the_first_bytes() {
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            assert!(may_be_transparent(&encoded(&DynamicImage::new_rgba8(9, 9), format)));
            assert!(!may_be_transparent(&encoded(&DynamicImage::new_rgb8(9, 9), format)));
        }
        assert!(!may_be_transparent(include_bytes!("../../python/vlmres/samples/photo.jpg")));
        assert!(may_be_transparent(&encoded(&DynamicImage::new_luma16(9, 9), ImageFormat::Png)));
    }

    #[test]
    fn what_is_not_known_may_be_transparent() {
        let png = encoded(&DynamicImage::new_rgb8(9, 9), ImageFormat::Png);
        for head in [&b""[..], b"GIF89a", &png[..10], &png[..30], b"RIFF\0\0\0\0WEBPVP8X"] {
            assert!(may_be_transparent(head), "{head:?}");
        }
    }

    #[test]
    fn a_transparent_colour_is_seen() {
        let mut png = encoded(&DynamicImage::new_rgb8(9, 9), ImageFormat::Png);
        png.splice(33..33, *b"\0\0\0\x06tRNS\0\0\0\0\0\0crc!");
        assert!(may_be_transparent(&png));
    }
}
