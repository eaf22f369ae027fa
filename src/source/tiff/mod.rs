//! TIFF, as Pillow reads its first page: without libtiff where it is not compressed, else as libtiff unpacks it. What is rare,
//! or differs from a Pillow to the next, is reported as not native.

pub(super) mod directory;
mod fax;
mod jpeg;
mod lzw;
mod paint;
mod unpack;

use std::io::{Read, Seek};

use self::directory::{Directory, Order};
use self::paint::Samples;
use self::unpack::Compression;
use super::bytes::{Bytes, PIECE, zeroed};
use super::orientation::{self, Orientation};
use crate::error::{Error, Result};
use crate::threads::check_stopped;

const WIDTH: u16 = 256;
const HEIGHT: u16 = 257;
const BITS: u16 = 258;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const FILL_ORDER: u16 = 266;
const STRIP_OFFSETS: u16 = 273;
const SAMPLES: u16 = 277;
const STRIP_ROWS: u16 = 278;
const STRIP_BYTES: u16 = 279;
const PLANAR: u16 = 284;
const PREDICTOR: u16 = 317;
const COLOUR_MAP: u16 = 320;
const TILE_WIDTH: u16 = 322;
const TILE_HEIGHT: u16 = 323;
const TILE_OFFSETS: u16 = 324;
const TILE_BYTES: u16 = 325;
const EXTRA_SAMPLES: u16 = 338;
const SAMPLE_FORMAT: u16 = 339;
const JPEG_TABLES: u16 = 347;
const XMP: u16 = 700;
/// Numbers of JPEG XR's pixel format: Pillow refuses such files.
const JPEG_XR: u16 = 0xbc01;

/// Every tag that is looked at.
const WANTED: [u16; 23] = [
    WIDTH,
    HEIGHT,
    BITS,
    COMPRESSION,
    PHOTOMETRIC,
    FILL_ORDER,
    STRIP_OFFSETS,
    orientation::ORIENTATION,
    SAMPLES,
    STRIP_ROWS,
    STRIP_BYTES,
    PLANAR,
    PREDICTOR,
    COLOUR_MAP,
    TILE_WIDTH,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_BYTES,
    EXTRA_SAMPLES,
    SAMPLE_FORMAT,
    JPEG_TABLES,
    XMP,
    JPEG_XR,
];

pub(super) fn is_tiff(head: &[u8]) -> bool {
    matches!(head.first_chunk::<4>(), Some(b"II*\0" | b"MM\0*" | b"II\0*" | b"MM*\0" | b"II+\0" | b"MM\0+"))
}

/// What a directory says of its image.
#[derive(Debug)]
pub(super) struct Tiff {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: Orientation,
    order: Order,
    compression: Compression,
    predictor: bool,
    /// Whether the bits of bytes come in the other order.
    reversed: bool,
    samples: Samples,
    /// What tiles of JPEG share.
    jpeg: jpeg::Shared,
    /// Strips are tiles as wide as the image.
    tile: (u32, u32),
    is_tiled: bool,
    /// Where tiles begin, and their bytes.
    tiles: Vec<(u64, u64)>,
}

impl Tiff {
    pub(super) fn read<R: Read + Seek>(bytes: &mut Bytes<R>) -> Result<Self> {
        let head: [u8; 8] = bytes.array(0).ok_or_else(|| error("a header that is cut off"))?;
        let (order, big) = match &head[..4] {
            b"II*\0" => (Order::Little, false),
            b"MM\0*" => (Order::Big, false),
            b"II+\0" => (Order::Little, true),
            _ => return Err(not_native("a header of another kind")),
        };
        let place = if big {
            let place: [u8; 8] = bytes.array(8).ok_or_else(|| error("a header that is cut off"))?;
            order.number(&place)
        } else {
            order.number(&head[4..])
        };
        let directory = Directory::load(bytes, place, order, big, |tag| WANTED.contains(&tag));
        Tags { directory: &directory, order }.image()
    }

    /// At least the bytes that decoding takes: RGB, and a tile unpacked, of which a copy may have its bits reversed.
    pub(super) fn bytes(&self) -> u64 {
        // Of sides that no image has, sums are of no interest but must not wrap.
        let area = |(width, height): (u32, u32), each: u64| (u64::from(width) * u64::from(height)).saturating_mul(each);
        let packed = self.tiles.iter().map(|tile| tile.1).max().unwrap_or(0);
        let tile = self.row_bytes().saturating_mul(self.tile.1.into());
        let copy = if self.reversed { packed } else { 0 };
        // A tile of JPEG is RGB, has coefficients of two bytes where it is progressive, and a copy of its data.
        let jpeg = if self.compression == Compression::Jpeg { area(self.tile, 9).saturating_add(packed) } else { 0 };
        [tile, copy, jpeg].into_iter().fold(area((self.width, self.height), 3), u64::saturating_add)
    }

    /// Bytes of a row of a tile.
    fn row_bytes(&self) -> u64 {
        (u64::from(self.tile.0) * self.samples.bits()).div_ceil(8)
    }

    /// Decodes the file that has this directory into packed RGB, as it is stored.
    pub(super) fn decode(&self, bytes: &[u8], pixels: &mut [u8]) -> Result<()> {
        let (width, height) = (self.width as usize, self.height as usize);
        let (across, down) = (self.tile.0 as usize, self.tile.1 as usize);
        let row = self.row_bytes() as usize;
        let columns = width.div_ceil(across);
        let mut unpacked = Vec::new();
        let mut reversed = Vec::new();
        for (index, &(at, length)) in self.tiles.iter().enumerate() {
            check_stopped()?;
            let (left, top) = (index % columns * across, index / columns * down);
            let (shown, rows) = (across.min(width - left), down.min(height - top));
            // Strips are as high as the image leaves them, tiles are whole.
            let stored = if self.is_tiled { down } else { rows };
            let mut packed = self.packed(bytes, at, length, stored * row)?;
            if self.reversed {
                reversed.clear();
                reversed.try_reserve(packed.len()).map_err(|_| Error::Memory { bytes: packed.len() })?;
                reversed.extend(packed.iter().map(|byte| byte.reverse_bits()));
                packed = &reversed;
            }
            let decoded;
            let data = if self.compression == Compression::None {
                packed
            } else if self.compression == Compression::Jpeg {
                decoded = self.jpeg(packed, (across as u32, stored as u32))?;
                &decoded[..]
            } else {
                if unpacked.len() < stored * row + PIECE {
                    unpacked = zeroed(stored * row + PIECE)?;
                }
                let out = &mut unpacked[..stored * row + PIECE];
                unpack::unpack(self.compression, packed, (across, row), out).ok_or_else(damaged)?;
                let out = &mut out[..stored * row];
                if self.predictor {
                    self.samples.sum(out, row, self.order);
                }
                out
            };
            for (y, line) in data.chunks(row).take(rows).enumerate() {
                let start = ((top + y) * width + left) * 3;
                self.samples.paint(line, &mut pixels[start..start + shown * 3]);
            }
        }
        Ok(())
    }

    /// A tile of JPEG as samples.
    fn jpeg(&self, packed: &[u8], size: (u32, u32)) -> Result<Vec<u8>> {
        let components = (self.samples.bits() / 8) as usize;
        let mut pixels = self.jpeg.decode(packed, size, components).ok_or_else(damaged)?;
        if components == 1 {
            for index in 0..pixels.len() / 3 {
                pixels[index] = pixels[index * 3];
            }
            pixels.truncate(pixels.len() / 3);
        }
        Ok(pixels)
    }

    /// A tile's bytes as they are stored. Pillow reads an uncompressed one to its last pixel, whatever its length says.
    fn packed<'b>(&self, bytes: &'b [u8], at: u64, length: u64, size: usize) -> Result<&'b [u8]> {
        let length = if self.compression == Compression::None { size as u64 } else { length };
        let end = usize::try_from(at.saturating_add(length)).unwrap_or(usize::MAX);
        bytes.get(at as usize..end).ok_or_else(damaged)
    }
}

/// A directory's tags.
struct Tags<'d> {
    directory: &'d Directory,
    order: Order,
}

impl Tags<'_> {
    fn numbers(&self, tag: u16) -> Result<Option<Vec<i64>>> {
        match self.directory.get(tag) {
            None => Ok(None),
            Some(entry) => entry.numbers(self.order).map(Some).ok_or_else(|| not_native("a tag of an odd type")),
        }
    }

    /// The one value of a tag.
    fn number(&self, tag: u16, default: i64) -> Result<i64> {
        Ok(self.numbers(tag)?.and_then(|numbers| numbers.first().copied()).unwrap_or(default))
    }

    fn side(&self, tag: u16) -> Result<u32> {
        let numbers = self.numbers(tag)?.ok_or_else(|| error("no size"))?;
        match numbers[..] {
            [side] => u32::try_from(side).map_err(|_| error("a side out of range")),
            _ => Err(not_native("a size of several numbers")),
        }
    }

    fn image(&self) -> Result<Tiff> {
        if self.directory.get(JPEG_XR).is_some() {
            return Err(not_native("JPEG XR inside"));
        }
        let (width, height) = (self.side(WIDTH)?, self.side(HEIGHT)?);
        let compression = Compression::of(self.number(COMPRESSION, 1)?)?;
        let raw = compression == Compression::None;
        if self.directory.is_odd && !raw {
            return Err(not_native("tags that are damaged"));
        }
        let photometric = self.number(PHOTOMETRIC, 0)?;
        let count = self.number(SAMPLES, 1)?;
        let mut bits = self.numbers(BITS)?.unwrap_or(vec![1]);
        if !(1..=8).contains(&count) {
            return Err(not_native(&format!("{count} samples to a pixel")));
        }
        if bits.len() == 1 {
            bits = vec![bits[0]; count as usize];
        }
        bits.truncate(count as usize);
        let formats = self.numbers(SAMPLE_FORMAT)?.unwrap_or(vec![1]);
        let extra = self.numbers(EXTRA_SAMPLES)?.unwrap_or_default();
        let deep_first = bits.first().copied().unwrap_or(1);
        let alike = bits.len() == count as usize && bits.iter().all(|&own| own == deep_first);
        let signed_bytes = formats.iter().all(|&format| format == 2) && (photometric, &bits[..]) == (1, &[8]);
        if !alike || !(signed_bytes || formats.iter().all(|&format| format == 1)) {
            return Err(not_native(&format!("samples of {bits:?} bits and formats {formats:?}")));
        }
        let fill_order = self.number(FILL_ORDER, 1)?;
        let map = self.numbers(COLOUR_MAP)?.unwrap_or_default();
        // libtiff has libjpeg make RGB of YCbCr.
        let is_ycc = photometric == 6 && compression == Compression::Jpeg && count == 3;
        let seen = if is_ycc { 2 } else { photometric };
        let samples = Samples::new(seen, deep_first, &extra, count, &map, self.order)?;
        let tables = self.directory.get(JPEG_TABLES).map(|entry| entry.data.clone()).unwrap_or_default();
        let is_plain = deep_first == 8 && fill_order == 1 && matches!((seen, count), (0 | 1, 1) | (2, 3));
        if compression == Compression::Jpeg && !is_plain {
            return Err(not_native(&format!("JPEG compression of photometry {photometric} and {count} samples")));
        }
        if !matches!(fill_order, 1 | 2)
            || fill_order == 2 && !samples.may_be_reversed(self.order, &extra, photometric, raw)
        {
            return Err(not_native(&format!("bits in the order {fill_order}")));
        }
        if self.number(PLANAR, 1)? != 1 && (count > 1 || !raw) {
            return Err(not_native("samples in separate planes"));
        }
        if samples.is_gray16() && (photometric == 0 || self.order == Order::Big) && !raw {
            return Err(not_native("compressed gray of 16 bits, in an order that Pillow takes for another"));
        }
        if compression == Compression::Fax4 && samples.bits() != 1 {
            return Err(not_native("fax compression of more than one bit"));
        }
        let predictor = match (compression, self.number(PREDICTOR, 1)?) {
            (Compression::Lzw | Compression::Deflate, 2) if matches!(deep_first, 8 | 16) => true,
            (Compression::Lzw | Compression::Deflate, predictor) if predictor != 1 => {
                return Err(not_native(&format!("predictor {predictor} of {deep_first} bits")));
            }
            _ => false,
        };
        let (tile, tiles) = self.tiles((width, height), raw)?;
        Ok(Tiff {
            width,
            height,
            orientation: orientation::of_directory(self.directory, self.order, XMP),
            order: self.order,
            compression,
            predictor,
            reversed: fill_order == 2,
            samples,
            jpeg: jpeg::Shared { tables, is_ycc },
            tile,
            is_tiled: self.directory.get(STRIP_OFFSETS).is_none(),
            tiles,
        })
    }

    /// The size of a tile, and where all of them are.
    fn tiles(&self, (width, height): (u32, u32), raw: bool) -> Result<((u32, u32), Vec<(u64, u64)>)> {
        let strips = self.numbers(STRIP_OFFSETS)?;
        let tiled = self.numbers(TILE_OFFSETS)?;
        if strips.is_some() && tiled.is_some() {
            return Err(not_native("strips and tiles"));
        }
        let is_tiled = tiled.is_some();
        let offsets = strips.or(tiled).ok_or_else(|| not_native("neither strips nor tiles"))?;
        let (tile, lengths) = if is_tiled {
            ((self.side(TILE_WIDTH)?, self.side(TILE_HEIGHT)?), self.numbers(TILE_BYTES)?)
        } else {
            let rows = self.number(STRIP_ROWS, height.into())?.clamp(0, height.into()) as u32;
            ((width, rows), self.numbers(STRIP_BYTES)?)
        };
        if tile.0 == 0 || tile.1 == 0 || is_tiled && (tile.0 % 16 != 0 || tile.1 % 16 != 0) {
            return Err(not_native(&format!("tiles of {}x{}", tile.0, tile.1)));
        }
        // Fifteen pixels beyond the image are usual, a tile that is much larger than it is not.
        let most = (u64::from(width) + 4096).saturating_mul(u64::from(height) + 4096);
        if is_tiled && u64::from(tile.0) * u64::from(tile.1) > most {
            return Err(not_native(&format!("tiles of {}x{}", tile.0, tile.1)));
        }
        let wanted = width.div_ceil(tile.0) as usize * height.div_ceil(tile.1) as usize;
        // Before room is made for as many.
        if offsets.len() != wanted {
            return Err(not_native(&format!("{} strips or tiles of {wanted}", offsets.len())));
        }
        let lengths = match lengths {
            Some(lengths) if lengths.len() >= wanted => lengths,
            _ if raw => vec![0; wanted],
            _ => return Err(not_native("lengths of its strips missing")),
        };
        let place = |value: i64| u64::try_from(value).map_err(|_| not_native("a place out of range"));
        let tiles = offsets.iter().zip(&lengths).map(|(&at, &length)| Ok((place(at)?, place(length)?)));
        Ok((tile, tiles.collect::<Result<_>>()?))
    }
}

/// Data that are not as they ought to be: what libtiff makes of them, libtiff knows.
fn damaged() -> Error {
    not_native("damaged or missing data")
}

fn error(what: &str) -> Error {
    Error::Decode(format!("the TIFF has {what}"))
}

fn not_native(what: &str) -> Error {
    Error::NotNative { format: "a TIFF", feature: what.to_owned() }
}
