//! BMP, as Pillow reads it: headers of Windows and OS/2, bit fields that it knows, run lengths.

use std::io::{Read, Seek};

use super::bytes::Bytes;
use super::transparency::look;
use crate::error::{Error, Result};

const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BIT_FIELDS: u32 = 3;

/// What a header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bmp {
    pub(super) width: u32,
    pub(super) height: u32,
    top_down: bool,
    bits: u16,
    layout: Layout,
    /// Where the palette lies, its entries, and the bytes of one.
    palette: (u64, u32, u32),
    /// Where the pixels begin.
    data: u64,
}

/// How pixels are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// Indices of 1, 4 or 8 bits, into a palette.
    Palette,
    /// The indices' grays.
    Gray,
    /// As they are, in run lengths: of 4 bits, or of 8.
    Runs { four: bool, gray: bool },
    /// Bits of red, green and blue in 16: five of blue and red, and five or six of green.
    Sixteen { green: u32 },
    /// Bytes of a pixel, and which are red, green and blue; whether the fourth is an alpha.
    Bytes { step: usize, places: [usize; 3], has_alpha: bool },
}

pub(super) fn is_bmp(head: &[u8]) -> bool {
    head.starts_with(b"BM")
}

impl Bmp {
    pub(super) fn read<R: Read + Seek>(bytes: &mut Bytes<R>) -> Result<Self> {
        let cut = || error("a header that is cut off");
        let word = |bytes: &[u8], at: usize| u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let long = |bytes: &[u8], at: usize| word(bytes, at) | word(bytes, at + 2) << 16;
        let head: [u8; 18] = bytes.array(0).ok_or_else(cut)?;
        let (mut data, length) = (u64::from(long(&head, 10)), long(&head, 14));
        if !matches!(length, 12 | 40 | 52 | 56 | 64 | 108 | 124) {
            return Err(error(&format!("a header of {length} bytes")));
        }
        let header = bytes.get(14, length.into()).ok_or_else(cut)?;
        let mut at = 14 + u64::from(length);
        let core = length == 12;
        let (width, height, top_down, bits) = if core {
            (word(&header, 4), word(&header, 6), false, word(&header, 10))
        } else {
            let top_down = header[11] == 0xff;
            let height = long(&header, 8);
            (long(&header, 4), if top_down { height.wrapping_neg() } else { height }, top_down, word(&header, 14))
        };
        let compression = if core { RAW } else { long(&header, 16) };
        let masks = if compression == BIT_FIELDS && length >= 52 {
            [40, 44, 48, 52].map(|place| if place + 4 <= header.len() { long(&header, place) } else { 0 })
        } else if compression == BIT_FIELDS {
            let read: [u8; 12] = bytes.array(at).ok_or_else(cut)?;
            at += 12;
            [long(&read, 0), long(&read, 4), long(&read, 8), 0]
        } else {
            [0; 4]
        };
        if !matches!(bits, 1 | 4 | 8 | 16 | 24 | 32) {
            return Err(error(&format!("pixels of {bits} bits")));
        }
        let padding = if core { 3 } else { 4 };
        let colours = if core { 0 } else { long(&header, 32) };
        let colours = if colours == 0 { 1u32.checked_shl(bits).unwrap_or(0) } else { colours };
        if data == 14 + u64::from(length) && bits <= 8 {
            data += u64::from(padding) * u64::from(colours);
        }
        let mut bmp = Self {
            width,
            height,
            top_down,
            bits: bits as u16,
            layout: Layout::Palette,
            palette: (at, colours, padding),
            data,
        };
        let runs = match compression {
            RAW => false,
            RLE8 | RLE4 => true,
            BIT_FIELDS if bits > 8 => false,
            BIT_FIELDS => return Err(error("bit fields of a palette's indices")),
            _ => return Err(error(&format!("compression {compression}"))),
        };
        if bits <= 8 {
            at += bmp.read_palette(bytes)?;
            if runs {
                let gray = bmp.layout == Layout::Gray;
                if gray && bits == 1 {
                    return Err(error("run lengths of black and white"));
                }
                bmp.layout = Layout::Runs { four: compression == RLE4, gray };
            }
        } else if runs {
            return Err(error("run lengths of pixels without a palette"));
        } else if compression == RAW {
            bmp.layout = match bits {
                16 => Layout::Sixteen { green: 5 },
                24 => Layout::Bytes { step: 3, places: [2, 1, 0], has_alpha: false },
                _ => Layout::Bytes { step: 4, places: [2, 1, 0], has_alpha: false },
            };
        } else {
            bmp.layout = bit_fields(bits, masks).ok_or_else(|| error(&format!("bit fields of {masks:x?}")))?;
        }
        if bmp.data == 0 {
            bmp.data = at;
        }
        Ok(bmp)
    }

    /// Tells a palette of grays from one of colours, and how many bytes it has.
    fn read_palette<R: Read + Seek>(&mut self, bytes: &mut Bytes<R>) -> Result<u64> {
        let (at, colours, padding) = self.palette;
        if !(1..=65536).contains(&colours) {
            return Err(error(&format!("a palette of {colours} colours")));
        }
        let palette = bytes.up_to(at, u64::from(colours * padding)).unwrap_or_default();
        let value = |index: u32| if colours == 2 { index * 255 } else { index } as u8;
        let is_gray = |index: u32| {
            let start = (index * padding) as usize;
            palette.get(start..start + 3) == Some(&[value(index); 3])
        };
        if (0..colours).all(is_gray) {
            // Pillow reads such pixels with bits of their own: 1 of two colours, else 8.
            if self.bits != if colours <= 2 { 1 } else { 8 } {
                let feature = format!("grays of {} bits in a palette of {colours} colours", self.bits);
                return Err(Error::NotNative { format: "a BMP", feature });
            }
            self.layout = Layout::Gray;
        } else if palette.len() / padding as usize > 256 {
            return Err(error(&format!("a palette of {colours} colours")));
        }
        Ok(palette.len() as u64)
    }

    /// At least the bytes that decoding takes: RGB, and indices where they come in run lengths.
    pub(super) fn bytes(self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        pixels.saturating_mul(if matches!(self.layout, Layout::Runs { .. }) { 4 } else { 3 })
    }

    /// The colours of all indices.
    fn colours(self, bytes: &[u8]) -> [[u8; 3]; 256] {
        let (at, entries, padding) = self.palette;
        let mut colours = [[0; 3]; 256];
        if let Layout::Gray | Layout::Runs { gray: true, .. } = self.layout {
            let most = (1u32 << self.bits) - 1;
            colours.iter_mut().zip(0..).for_each(|(colour, index): (_, u32)| *colour = [(index * 255 / most) as u8; 3]);
            return colours;
        }
        let palette = bytes.get(at as usize..).unwrap_or_default();
        for (colour, entry) in colours.iter_mut().zip(palette.chunks_exact(padding as usize).take(entries as usize)) {
            *colour = [entry[2], entry[1], entry[0]];
        }
        colours
    }

    /// Decodes the file that has this header into packed RGB.
    pub(super) fn decode(self, bytes: &[u8], pixels: &mut [u8]) -> Result<()> {
        let cut = || error("data that end before the image does");
        let data = bytes.get(self.data as usize..).ok_or_else(cut)?;
        let (width, height) = (self.width as usize, self.height as usize);
        let unpacked;
        let (data, stride, bits) = if let Layout::Runs { four, .. } = self.layout {
            unpacked = self.runs(bytes, four)?;
            (&unpacked[..], width, 8)
        } else {
            let bits = usize::from(self.bits);
            (data, (width * bits).div_ceil(32) * 4, bits)
        };
        let used = (width * bits).div_ceil(8);
        if data.len() < stride * (height - 1) + used {
            return Err(cut());
        }
        let colours = self.colours(bytes);
        for (y, out) in pixels.chunks_exact_mut(width * 3).enumerate() {
            let y = if self.top_down { y } else { height - 1 - y };
            let row = &data[y * stride..][..used];
            let out = out.as_chunks_mut::<3>().0;
            match self.layout {
                Layout::Runs { .. } => paint(out, row, 8, &colours),
                Layout::Palette | Layout::Gray => paint(out, row, bits, &colours),
                Layout::Sixteen { green } => {
                    for (out, pixel) in out.iter_mut().zip(row.as_chunks::<2>().0) {
                        let pixel = u32::from(u16::from_le_bytes(*pixel));
                        let most = (1 << green) - 1;
                        let part = |value: u32, most: u32| ((value & most) * 255 / most) as u8;
                        *out = [part(pixel >> (5 + green), 31), part(pixel >> 5, most), part(pixel, 31)];
                    }
                }
                Layout::Bytes { step: 3, .. } => {
                    for (out, [blue, green, red]) in out.iter_mut().zip(row.as_chunks::<3>().0) {
                        *out = [*red, *green, *blue];
                    }
                }
                Layout::Bytes { places: [red, green, blue], has_alpha, .. } => {
                    for (out, pixel) in out.iter_mut().zip(row.as_chunks::<4>().0) {
                        *out = [pixel[red], pixel[green], pixel[blue]];
                    }
                    if has_alpha {
                        look(row.as_chunks::<4>().0);
                    }
                }
            }
        }
        Ok(())
    }

    /// Unpacks run lengths, by Pillow's rules: what is passed over is index 0, and lines may be of any length.
    fn runs(self, bytes: &[u8], four: bool) -> Result<Vec<u8>> {
        let (width, wanted) = (self.width as usize, self.width as usize * self.height as usize);
        let mut out = Vec::new();
        out.try_reserve_exact(wanted + 256).map_err(|_| Error::Memory { bytes: wanted })?;
        let mut at = self.data as usize;
        let mut x = 0usize;
        while out.len() < wanted {
            let Some(&[count, value]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>) else { break };
            at += 2;
            match (count, value) {
                (0, 0) => {
                    out.resize(out.len().next_multiple_of(width), 0);
                    x = 0;
                }
                (0, 1) => break,
                (0, 2) => {
                    let Some(&[right, up]) = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>) else { break };
                    at += 2;
                    let skipped = usize::from(right) + usize::from(up) * width;
                    out.resize((out.len() + skipped).min(wanted), 0);
                    x = out.len() % width;
                }
                (0, _) => {
                    let pixels = usize::from(value).min(wanted - out.len());
                    let length = if four { pixels.div_ceil(2) } else { pixels };
                    let found = &bytes[at.min(bytes.len())..(at + length).min(bytes.len())];
                    at += found.len();
                    if four {
                        let nibbles = found.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                        out.extend(nibbles.take(pixels));
                    } else {
                        out.extend_from_slice(found);
                    }
                    if found.len() < length || out.len() == wanted {
                        break;
                    }
                    x += usize::from(value);
                    at += at % 2;
                }
                (count, value) => {
                    let pixels = usize::from(count).min(width.saturating_sub(x));
                    let pair = if four { [value >> 4, value & 15] } else { [value; 2] };
                    out.extend(pair.iter().cycle().take(pixels));
                    x += pixels;
                }
            }
        }
        if out.len() < wanted { Err(error("data that end before the image does")) } else { Ok(out) }
    }
}

/// The bit fields that Pillow knows.
fn bit_fields(bits: u32, [red, green, blue, alpha]: [u32; 4]) -> Option<Layout> {
    let places = match (bits, red, green, blue, alpha) {
        (16, 0xf800, 0x7e0, 0x1f, _) => return Some(Layout::Sixteen { green: 6 }),
        (16, 0x7c00, 0x3e0, 0x1f, _) => return Some(Layout::Sixteen { green: 5 }),
        (24, 0x00ff_0000, 0xff00, 0xff, _) => {
            return Some(Layout::Bytes { step: 3, places: [2, 1, 0], has_alpha: false });
        }
        (32, 0x00ff_0000, 0xff00, 0xff, 0 | 0xff00_0000) | (32, 0, 0, 0, 0) => [2, 1, 0],
        (32, 0xff00_0000, 0x00ff_0000, 0xff00, 0 | 0xff) => [3, 2, 1],
        (32, 0xff00_0000, 0xff00, 0xff, 0 | 0x00ff_0000) => [3, 1, 0],
        (32, 0xff, 0xff00, 0x00ff_0000, 0xff00_0000) => [0, 1, 2],
        _ => return None,
    };
    // Fields of nothing are of all four.
    Some(Layout::Bytes { step: 4, places, has_alpha: alpha != 0 || red == 0 })
}

fn paint(out: &mut [[u8; 3]], row: &[u8], bits: usize, colours: &[[u8; 3]; 256]) {
    match bits {
        8 => out.iter_mut().zip(row).for_each(|(out, &index)| *out = colours[usize::from(index)]),
        4 => out.iter_mut().enumerate().for_each(|(x, out)| {
            *out = colours[usize::from(row[x / 2] >> (4 - x % 2 * 4) & 15)];
        }),
        _ => out.iter_mut().enumerate().for_each(|(x, out)| {
            *out = colours[usize::from(row[x / 8] >> (7 - x % 8) & 1)];
        }),
    }
}

fn error(what: &str) -> Error {
    Error::Decode(format!("the BMP has {what}"))
}
