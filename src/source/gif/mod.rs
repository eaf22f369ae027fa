//! GIF, as Pillow reads its first frame: what it passes over, forgives and refuses.

mod lzw;

use std::io::{Read, Seek};

use super::bytes::Bytes;
use super::decode::give;
use crate::error::{Error, Result};

/// What stands before a frame's data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gif {
    /// The canvas: the screen, or more where the frame reaches outside.
    pub(super) width: u32,
    pub(super) height: u32,
    left: u32,
    top: u32,
    frame_width: u32,
    frame_height: u32,
    interlaced: bool,
    /// The index that is transparent, and fills the canvas around the frame.
    transparent: Option<u8>,
    /// Where the frame's palette lies, and its bytes; none of an image whose indices are grays.
    palette: Option<(u64, usize)>,
    /// Bits of a literal code.
    bits: u8,
    /// Where the codes begin.
    data: u64,
}

pub(super) fn is_gif(head: &[u8]) -> bool {
    head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a")
}

impl Gif {
    pub(super) fn read<R: Read + Seek>(bytes: &mut Bytes<R>) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        reader.first_frame().ok_or_else(|| error("an end before its first frame"))
    }

    /// At least the bytes that decoding takes: RGB, and indices.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * 3 + u64::from(self.frame_width) * u64::from(self.frame_height)
    }

    /// The colours of all indices.
    fn colours(self, bytes: &[u8]) -> [[u8; 3]; 256] {
        let mut colours = [[0; 3]; 256];
        match self.palette {
            Some((at, length)) => {
                let palette = bytes.get(at as usize..).unwrap_or_default();
                let (entries, _) = palette[..length.min(palette.len())].as_chunks::<3>();
                colours.iter_mut().zip(entries).for_each(|(colour, entry)| *colour = *entry);
            }
            None => colours.iter_mut().enumerate().for_each(|(index, colour)| *colour = [index as u8; 3]),
        }
        colours
    }

    /// The colour that is transparent, where one is.
    pub(super) fn colour_key(self, bytes: &[u8]) -> Option<[u8; 3]> {
        self.transparent.map(|index| self.colours(bytes)[usize::from(index)])
    }

    /// Decodes the file that has this header into packed RGB.
    pub(super) fn decode(self, bytes: &[u8], pixels: &mut [u8]) -> Result<()> {
        let (width, height) = (self.frame_width as usize, self.frame_height as usize);
        let indices = lzw::decode(bytes, self.data as usize, self.bits, width * height)?;
        let colours = self.colours(bytes);
        let colours = colours.map(|[red, green, blue]| u32::from_le_bytes([red, green, blue, 0]));
        let row = self.width as usize * 3;
        let around = colours[usize::from(self.transparent.unwrap_or(0))].to_le_bytes();
        if (width as u32, height as u32) != (self.width, self.height) {
            pixels.as_chunks_mut::<3>().0.fill([around[0], around[1], around[2]]);
        }
        let rows = rows(height, self.interlaced);
        for (y, line) in rows.zip(indices.chunks_exact(width)) {
            let start = (self.top as usize + y) * row + self.left as usize * 3;
            paint(&mut pixels[start..start + width * 3], line, &colours);
        }
        give(indices);
        Ok(())
    }
}

/// The order of rows.
fn rows(height: usize, interlaced: bool) -> impl Iterator<Item = usize> {
    let passes: &[(usize, usize)] = if interlaced { &[(0, 8), (4, 8), (2, 4), (1, 2)] } else { &[(0, 1)] };
    passes.iter().flat_map(move |&(first, step)| (first..height).step_by(step))
}

fn paint(out: &mut [u8], line: &[u8], colours: &[u32; 256]) {
    // A fourth byte is written, and overwritten by the next pixel.
    let whole = line.len().saturating_sub(2);
    for (x, &index) in line[..whole].iter().enumerate() {
        out[x * 3..x * 3 + 4].copy_from_slice(&colours[usize::from(index)].to_le_bytes());
    }
    for (x, &index) in line.iter().enumerate().skip(whole) {
        out[x * 3..x * 3 + 3].copy_from_slice(&colours[usize::from(index)].to_le_bytes()[..3]);
    }
}

/// Pillow's way through the blocks. `None` is where Pillow fails.
struct Reader<'b, R> {
    bytes: &'b mut Bytes<R>,
    at: u64,
}

impl<R: Read + Seek> Reader<'_, R> {
    fn byte(&mut self) -> Option<u8> {
        let [byte] = self.bytes.array(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// A block of data; nothing at an empty one, and at the end of the file.
    fn block(&mut self) -> Option<Vec<u8>> {
        let length = self.byte().filter(|&length| length > 0)?;
        let block = self.bytes.up_to(self.at, length.into())?;
        self.at += block.len() as u64;
        Some(block)
    }

    fn skip_blocks(&mut self) {
        while let Some(length) = self.byte().filter(|&length| length > 0) {
            self.at = (self.at + u64::from(length)).min(self.bytes.len());
        }
    }

    /// A palette of so many bits, unless its colours are the indices' grays. It may be cut off.
    fn palette(&mut self, bits: u8) -> Option<(u64, usize)> {
        let start = self.at;
        let entries = self.bytes.up_to(start, 3 << bits).unwrap_or_default();
        self.at += entries.len() as u64;
        let is_gray = |(index, entry): (usize, &[u8])| entry == [index as u8; 3];
        if entries.chunks(3).enumerate().all(is_gray) { None } else { Some((start, entries.len())) }
    }

    fn first_frame(&mut self) -> Option<Gif> {
        let screen: [u8; 13] = self.bytes.array(0)?;
        self.at = 13;
        let word = |bytes: &[u8]| u32::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let (mut width, mut height) = (word(&screen[6..]), word(&screen[8..]));
        let global = if screen[10] & 0x80 == 0 { None } else { self.palette((screen[10] & 7) + 1) };
        let mut transparent = None;
        loop {
            match self.byte()? {
                b';' => return None,
                b'!' => self.extension(&mut transparent)?,
                b',' => break,
                _ => {}
            }
        }
        let frame: [u8; 9] = self.bytes.array(self.at)?;
        self.at += 9;
        let (left, top) = (word(&frame[..]), word(&frame[2..]));
        let (frame_width, frame_height) = (word(&frame[4..]), word(&frame[6..]));
        (width, height) = (width.max(left + frame_width), height.max(top + frame_height));
        let palette = if frame[8] & 0x80 == 0 { global } else { self.palette((frame[8] & 7) + 1) };
        let bits = self.byte()?;
        let interlaced = frame[8] & 0x40 != 0;
        let data = self.at;
        if frame_width == 0 || frame_height == 0 {
            return None;
        }
        Some(Gif { width, height, left, top, frame_width, frame_height, interlaced, transparent, palette, bits, data })
    }

    fn extension(&mut self, transparent: &mut Option<u8>) -> Option<()> {
        let label = self.byte()?;
        let block = self.block();
        match (label, block) {
            (0xf9, Some(block)) => {
                // Flags, delay, transparent index.
                if block.first()? & 1 == 1 {
                    *transparent = Some(*block.get(3)?);
                }
                block.get(2)?;
            }
            (0xfe, mut block) => {
                while block.is_some() {
                    block = self.block();
                }
                return Some(());
            }
            (0xff, Some(block)) if block.starts_with(b"NETSCAPE2.0") => {
                self.block();
            }
            _ => {}
        }
        self.skip_blocks();
        Some(())
    }
}

fn error(what: &str) -> Error {
    Error::Decode(format!("the GIF has {what}"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_gif_says_where_its_first_frame_lies() {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend([9, 0, 8, 0, 0x80, 0, 0, 1, 2, 3, 4, 5, 6]);
        bytes.extend([0x21, 0xf9, 4, 1, 0, 0, 1, 0, 0x2c, 2, 0, 1, 0, 3, 0, 4, 0, 0, 2]);
        let read = |bytes: &[u8]| Gif::read(&mut Bytes::new(Cursor::new(bytes)).unwrap());
        let gif = read(&bytes).unwrap();
        assert_eq!((gif.left, gif.top, gif.frame_width, gif.frame_height), (2, 1, 3, 4));
        assert_eq!((gif.width, gif.height, gif.colour_key(&bytes)), (9, 8, Some([4, 5, 6])));
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn rows_come_in_passes() {
        let order: Vec<usize> = rows(10, true).collect();
        assert_eq!(order, [0, 8, 4, 2, 6, 1, 3, 5, 7, 9]);
        assert!(rows(3, true).eq([0, 2, 1]));
    }
}
