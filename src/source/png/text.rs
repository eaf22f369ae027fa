//! Chunks that may say how an image is to be turned: EXIF data, XMP, and profiles that `ImageMagick` writes as text.

use crate::source::orientation::Metadata;

/// The most that Pillow unpacks of a text.
const MOST_TEXT: usize = 1 << 20;
const PROFILE: &[u8] = b"Raw profile type exif";
const XMP: &[u8] = b"XML:com.adobe.xmp";

pub(super) fn is_metadata(name: [u8; 4]) -> bool {
    matches!(&name, b"eXIf" | b"tEXt" | b"zTXt" | b"iTXt")
}

/// The latest of each kind.
#[derive(Debug, Default)]
pub(super) struct Texts {
    exif: Option<Vec<u8>>,
    profile: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

impl Texts {
    pub(super) fn take(&mut self, name: [u8; 4], body: &[u8]) {
        if &name == b"eXIf" {
            self.exif = Some([b"Exif\0\0", body].concat());
            return;
        }
        let Some(at) = body.iter().position(|&byte| byte == 0) else { return };
        let (key, value) = (&body[..at], &body[at + 1..]);
        if !matches!(key, b"exif" | PROFILE | XMP) {
            return;
        }
        let value = match &name {
            b"tEXt" => Some(value.to_vec()),
            b"zTXt" if value.first() == Some(&0) => Some(unpack(&value[1..]).unwrap_or_default()),
            b"iTXt" => international(value),
            _ => None,
        };
        match (key, value) {
            (PROFILE, Some(value)) => self.profile = Some(value),
            (XMP, Some(value)) => self.xmp = Some(value),
            // Only an uncompressed text is bytes to Pillow.
            (b"exif", Some(value)) if &name == b"tEXt" => self.exif = Some(value),
            _ => {}
        }
    }

    pub(super) fn metadata(self) -> Metadata {
        let exif = self.exif.or_else(|| self.profile.as_deref().and_then(from_hex));
        Metadata { exif, xmp: self.xmp }
    }
}

fn unpack(data: &[u8]) -> Option<Vec<u8>> {
    fdeflate::decompress_to_vec_bounded(data, MOST_TEXT).ok()
}

/// Whether it is compressed, by what, language, key in the language, and the text.
fn international(value: &[u8]) -> Option<Vec<u8>> {
    let (&[compressed, method], rest) = value.split_first_chunk::<2>()?;
    let mut parts = rest.splitn(3, |&byte| byte == 0);
    let text = parts.nth(2)?;
    match (compressed, method) {
        (0, _) => Some(text.to_vec()),
        (_, 0) => unpack(text),
        _ => None,
    }
}

/// `ImageMagick`'s profile: an empty line, its name, its length, then hexadecimal digits.
fn from_hex(profile: &[u8]) -> Option<Vec<u8>> {
    let lines = profile.split(|&byte| byte == b'\n').skip(3);
    let digits: Vec<u8> = lines.flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = digits.chunks(2).map(|pair| Some((value(&pair[0])? << 4 | value(pair.get(1)?)?) as u8));
    pairs.collect()
}
