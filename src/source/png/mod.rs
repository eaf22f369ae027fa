//! PNG, as Pillow reads it: which chunks it checks, what it passes over, and where it stops.

mod filter;
mod image;
mod paint;
mod text;

use std::io::{Read, Seek};

use self::paint::Paint;
use super::bytes::Bytes;
use super::orientation::Metadata;
use crate::error::{Error, Result};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What stands before the pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Png {
    pub(super) width: u32,
    pub(super) height: u32,
    depth: u8,
    colour: Colour,
    interlaced: bool,
    /// Where the palette's chunk has its entries, and their bytes.
    palette: Option<(u64, u32)>,
    /// The colour that is transparent, as its chunk says.
    key: Option<Key>,
    /// Where a palette's alphas are, and how many, where they are more than a key.
    alphas: Option<(u64, u32)>,
    /// The first chunk of pixels.
    data: u64,
}

/// What samples mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colour {
    Gray,
    Rgb,
    Palette,
    GrayAlpha,
    Rgba,
}

/// A colour of a palette, or of samples.
#[derive(Clone, Copy, Debug)]
enum Key {
    Index(u8),
    Samples([u16; 3]),
}

pub(super) fn is_png(head: &[u8]) -> bool {
    head.starts_with(SIGNATURE)
}

impl Png {
    /// Reads all chunks up to the pixels, and looks at the others for how the image is to be turned.
    pub(super) fn read<R: Read + Seek>(bytes: &mut Bytes<R>) -> Result<(Self, Metadata)> {
        let mut chunks = Chunks { bytes, at: SIGNATURE.len() as u64 };
        let mut found = Found::default();
        let data = loop {
            let chunk = chunks.next().ok_or_else(|| error("an end before its pixels"))?;
            match &chunk.name {
                b"IDAT" => break chunk.start - 8,
                b"fdAT" => return Err(not_native("an animation without a still image")),
                b"IEND" => return Err(error("no pixels")),
                _ => found.take(&chunk, &chunks.checked(&chunk)?)?,
            }
        };
        chunks.at = data;
        // Pillow looks at what follows the pixels as far as it can be read, without its checksums.
        while let Some(chunk) = chunks.next() {
            match &chunk.name {
                b"IEND" => break,
                b"fcTL" if found.is_animated() => break,
                name if text::is_metadata(*name) => {
                    if let Some(body) = chunks.bytes.get(chunk.start, chunk.length.into()) {
                        found.texts.take(chunk.name, &body);
                    }
                }
                _ => {}
            }
        }
        let Found { header, palette, transparency, alphas, frame, texts, .. } = found;
        let mut png = header.ok_or_else(|| error("no header"))?;
        if frame.is_some_and(|frame| frame != (0, 0, png.width, png.height)) {
            return Err(not_native("a first frame that is smaller than the image"));
        }
        if palette.is_some_and(|(_, length)| length / 3 > 256) {
            return Err(error("a palette of more than 256 colours"));
        }
        (png.palette, png.data) = (palette.filter(|_| png.colour == Colour::Palette), data);
        (png.key, png.alphas) = (transparency, alphas.filter(|_| transparency.is_none()));
        Ok((png, texts.metadata()))
    }

    /// Bits of a pixel as it is stored.
    fn bits(self) -> usize {
        let samples = match self.colour {
            Colour::Gray | Colour::Palette => 1,
            Colour::GrayAlpha => 2,
            Colour::Rgb => 3,
            Colour::Rgba => 4,
        };
        samples * usize::from(self.depth)
    }

    /// At least the bytes that decoding takes: RGB, and a few rows.
    pub(super) fn bytes(self) -> u64 {
        let row = (u64::from(self.width) * self.bits() as u64).div_ceil(8) + 1;
        let rgb = (u64::from(self.width) * u64::from(self.height)).saturating_mul(3);
        rgb.saturating_add(row * 3 + image::WINDOW as u64)
    }

    /// The colours of all indices, black where the palette is too short.
    fn colours(self, bytes: &[u8]) -> [[u8; 3]; 256] {
        let mut colours = [[0; 3]; 256];
        if let Some((at, length)) = self.palette {
            let palette = bytes.get(at as usize..).and_then(|bytes| bytes.get(..length as usize)).unwrap_or_default();
            colours.iter_mut().zip(palette.as_chunks::<3>().0).for_each(|(colour, entry)| *colour = *entry);
        }
        colours
    }

    /// The alphas of all indices.
    fn palette_alphas(self, bytes: &[u8]) -> Option<Box<[u8; 256]>> {
        let (at, length) = self.alphas?;
        let mut alphas = Box::new([255; 256]);
        alphas[..length as usize].copy_from_slice(bytes.get(at as usize..)?.get(..length as usize)?);
        Some(alphas)
    }

    /// The colour of decoded pixels that Pillow takes for transparent, where there is one.
    pub(super) fn colour_key(self, bytes: &[u8]) -> Option<[u8; 3]> {
        let clip = |value: u16| value.min(255) as u8;
        Some(match (self.key?, self.colour, self.depth) {
            (Key::Index(index), ..) => self.colours(bytes)[usize::from(index)],
            // Pillow keeps what the chunk says, though pixels of few bits are spread.
            (Key::Samples([value, ..]), Colour::Gray, 2..=8) => [clip(value); 3],
            // One number is a red, and of more than eight bits the low ones.
            (Key::Samples([value, ..]), Colour::Gray, 1) => [if value == 0 { 0 } else { 255 }, 0, 0],
            (Key::Samples([value, ..]), Colour::Gray, _) => [value as u8, 0, 0],
            (Key::Samples(values), ..) => values.map(|value| value as u8),
        })
    }

    /// Decodes the file that has this header into packed RGB.
    pub(super) fn decode(self, bytes: &[u8], pixels: &mut [u8]) -> Result<()> {
        let colours = self.colours(bytes);
        let paint = Paint::new(self.colour, self.depth, &colours, self.palette_alphas(bytes));
        image::decode(self, bytes, &paint, pixels)
    }
}

/// What chunks have said so far.
#[derive(Default)]
struct Found {
    header: Option<Png>,
    palette: Option<(u64, u32)>,
    transparency: Option<Key>,
    alphas: Option<(u64, u32)>,
    /// The first frame of an animation: left, top, width, height.
    frame: Option<(u32, u32, u32, u32)>,
    /// Frames that an animation says it has.
    frames: Option<u32>,
    texts: text::Texts,
}

impl Found {
    /// Whether there is more than the image that is read.
    fn is_animated(&self) -> bool {
        self.frames.is_some_and(|frames| frames > 1 || self.frame.is_none())
    }

    fn take(&mut self, chunk: &Chunk, body: &[u8]) -> Result<()> {
        let short = |least: usize| {
            let is_short = body.len() < least;
            if is_short { Err(error("a chunk that is too short")) } else { Ok(()) }
        };
        let long = |at: usize| u32::from_be_bytes([body[at], body[at + 1], body[at + 2], body[at + 3]]);
        let word = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        match &chunk.name {
            b"IHDR" => {
                short(13)?;
                self.header = Some(header(body, (long(0), long(4)))?);
            }
            b"PLTE" => {
                let is_palette = self.header.is_some_and(|header| header.colour == Colour::Palette);
                self.palette = is_palette.then_some((chunk.start, chunk.length));
            }
            b"tRNS" => match self.header.map(|header| header.colour) {
                Some(Colour::Palette) => {
                    // One index that is transparent, while the others are not; else alphas, which are dropped.
                    // Python's `$` passes over a newline.
                    let body = body.strip_suffix(b"\n").unwrap_or(body);
                    let transparent = body.iter().position(|&alpha| alpha == 0).filter(|&first| first < 256);
                    let is_key =
                        |index: &usize| body.iter().enumerate().all(|(at, &alpha)| at == *index || alpha == 255);
                    self.transparency = transparent.filter(is_key).map(|index| Key::Index(index as u8));
                    self.alphas = Some((chunk.start, chunk.length.min(256)));
                }
                Some(Colour::Gray) => {
                    short(2)?;
                    self.transparency = Some(Key::Samples([word(0), 0, 0]));
                }
                Some(Colour::Rgb) => {
                    short(6)?;
                    self.transparency = Some(Key::Samples([word(0), word(2), word(4)]));
                }
                _ => {}
            },
            b"gAMA" => short(4)?,
            b"cHRM" => short(32)?,
            b"sRGB" => short(1)?,
            b"pHYs" => short(9)?,
            b"acTL" => {
                short(8)?;
                self.frames =
                    if self.frames.is_some() || !(1..=1 << 31).contains(&long(0)) { None } else { Some(long(0)) };
            }
            b"fcTL" => {
                short(26)?;
                if long(0) != 0 || self.frame.is_some() {
                    return Err(error("frames out of order"));
                }
                self.frame = Some((long(12), long(16), long(4), long(8)));
            }
            name if text::is_metadata(*name) => self.texts.take(chunk.name, body),
            _ => {}
        }
        Ok(())
    }
}

fn header(body: &[u8], (width, height): (u32, u32)) -> Result<Png> {
    let (depth, interlaced) = (body[8], body[12] != 0);
    let colour = match (depth, body[9]) {
        (1 | 2 | 4 | 8 | 16, 0) => Colour::Gray,
        (8 | 16, 2) => Colour::Rgb,
        (1 | 2 | 4 | 8, 3) => Colour::Palette,
        (8 | 16, 4) => Colour::GrayAlpha,
        (8 | 16, 6) => Colour::Rgba,
        (depth, colour) => return Err(error(&format!("{depth} bits of colour type {colour}"))),
    };
    if body[11] != 0 {
        return Err(error("unknown filters"));
    }
    Ok(Png { width, height, depth, colour, interlaced, palette: None, key: None, alphas: None, data: 0 })
}

/// A chunk's name, and where its body is.
struct Chunk {
    name: [u8; 4],
    start: u64,
    length: u32,
}

struct Chunks<'b, R> {
    bytes: &'b mut Bytes<R>,
    at: u64,
}

impl<R: Read + Seek> Chunks<'_, R> {
    /// The next chunk whose name Pillow accepts.
    fn next(&mut self) -> Option<Chunk> {
        let [a, b, c, d, name @ ..]: [u8; 8] = self.bytes.array(self.at)?;
        let (start, length) = (self.at + 8, u32::from_be_bytes([a, b, c, d]));
        if !name.iter().all(|&letter: &u8| letter.is_ascii_alphanumeric() || letter == b'_') {
            return None;
        }
        self.at = start + u64::from(length) + 4;
        Some(Chunk { name, start, length })
    }

    /// A chunk's body, whose checksum is right.
    fn checked(&mut self, chunk: &Chunk) -> Result<Vec<u8>> {
        let cut = || error("a chunk that is cut off, or too long");
        let body = self.bytes.get(chunk.start, chunk.length.into()).ok_or_else(cut)?;
        let sum: [u8; 4] = self.bytes.array(chunk.start + u64::from(chunk.length)).ok_or_else(cut)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&chunk.name);
        hasher.update(&body);
        if hasher.finalize() == u32::from_be_bytes(sum) {
            Ok(body)
        } else {
            Err(error(&format!("a wrong checksum of its chunk {}", chunk.name.escape_ascii())))
        }
    }
}

fn error(what: &str) -> Error {
    Error::Decode(format!("the PNG has {what}"))
}

fn not_native(what: &str) -> Error {
    Error::NotNative { format: "a PNG", feature: what.to_owned() }
}
