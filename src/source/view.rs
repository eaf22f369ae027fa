//! Borrowed 8-bit pixels with any strides, read as packed RGB rows.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::geometry::{Rect, Size};

/// Bytes from one sample to the next along each axis; negative where the memory runs backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strides {
    /// Down one row.
    pub y: isize,
    /// Right one pixel.
    pub x: isize,
    /// To the next channel.
    pub channel: isize,
}

/// How the pixels of a row lie one after the other: so many bytes each, the channels at fixed places in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interleaving {
    step: usize,
    channels: [usize; 3],
}

impl Interleaving {
    /// Red, green, blue.
    pub const RGB: Self = Self { step: 3, channels: [0, 1, 2] };

    /// Most bytes of a pixel.
    const MOST: usize = 4;

    /// Place of a pixel's channel in its row.
    pub fn at(self, pixel: usize, channel: usize) -> usize {
        pixel * self.step + self.channels[channel]
    }

    /// Bytes of a row from its first sample to its last.
    pub fn row_len(self, pixels: usize) -> usize {
        self.bytes(0..pixels as u32).len()
    }

    /// Where some pixels of a row lie.
    pub(crate) fn bytes(self, pixels: Range<u32>) -> Range<usize> {
        let [a, b, c] = self.channels;
        let start = pixels.start as usize * self.step;
        start..(pixels.end as usize * self.step + a.max(b).max(c) + 1).saturating_sub(self.step).max(start)
    }

    /// A row, or part of one, as packed RGB.
    pub(crate) fn pack(self, row: &[u8], out: &mut [u8]) {
        if self == Self::RGB {
            out.copy_from_slice(row);
            return;
        }
        let mut done = 0;
        if self.step == 4 && self.channels == [0, 1, 2] {
            // Four bytes at once; the next pixel overwrites the fourth.
            while (done + 1) * 4 <= row.len() && done * 3 + 4 <= out.len() {
                out[done * 3..done * 3 + 4].copy_from_slice(&row[done * 4..done * 4 + 4]);
                done += 1;
            }
        }
        for (index, pixel) in out.as_chunks_mut::<3>().0.iter_mut().enumerate().skip(done) {
            *pixel = [0, 1, 2].map(|channel| row[self.at(index, channel)]);
        }
    }
}

/// What a fourth channel means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlphaRule {
    /// It is ignored.
    Ignore,
    /// Composited on white in f64, rounded half to even (transformers' numpy path).
    WhiteNumpy,
    /// Composited on white in f32, truncated (transformers' torchvision path).
    WhiteTorch,
}

/// A borrowed image.
#[derive(Clone, Copy, Debug)]
pub struct PixelView<'a> {
    data: &'a [u8],
    origin: usize,
    size: Size,
    channels: u8,
    strides: Strides,
    alpha: AlphaRule,
}

impl<'a> PixelView<'a> {
    /// An image whose first sample is `data[origin]`, with 1, 3 or 4 channels. Every sample must lie in `data`.
    pub fn new(
        data: &'a [u8],
        origin: usize,
        size: Size,
        channels: u8,
        strides: Strides,
        alpha: AlphaRule,
    ) -> Result<Self> {
        if !matches!(channels, 1 | 3 | 4) {
            return Err(Error::Argument(format!("an image has 1, 3 or 4 channels, got {channels}")));
        }
        let size = Size::of_image(size.width.into(), size.height.into())?;
        let extents = [(size.height, strides.y), (size.width, strides.x), (channels.into(), strides.channel)];
        let (mut low, mut high) = (origin as i128, origin as i128);
        for (count, stride) in extents {
            let reach = i128::from(count - 1) * stride as i128;
            if reach < 0 { low += reach } else { high += reach }
        }
        if low < 0 || high >= data.len() as i128 {
            return Err(Error::Argument(format!(
                "an image of {}x{} with {channels} channels does not fit its {} bytes",
                size.width,
                size.height,
                data.len()
            )));
        }
        Ok(Self { data, origin, size, channels, strides, alpha })
    }

    /// Packed RGB rows without gaps.
    pub fn packed(data: &'a [u8], size: Size) -> Result<Self> {
        let strides = Strides { y: size.width as isize * 3, x: 3, channel: 1 };
        Self::new(data, 0, size, 3, strides, AlphaRule::Ignore)
    }

    /// A part of this image; what sticks out is left away.
    #[must_use]
    pub fn crop(self, part: Rect) -> Self {
        let Size { width, height } = self.size;
        let (x, y) = (part.x.min(width - 1), part.y.min(height - 1));
        let size = Size::new(part.size.width.min(width - x), part.size.height.min(height - y));
        let down = self.origin.wrapping_add_signed(self.strides.y * y as isize);
        Self { origin: down.wrapping_add_signed(self.strides.x * x as isize), size, ..self }
    }

    /// The part of this image that is wanted, where not all of it is.
    pub(crate) fn cut(self, part: Option<Rect>) -> Self {
        part.map_or(self, |part| self.crop(part))
    }

    /// The image's size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Address of the first byte and of the end of its memory.
    pub fn extent(&self) -> (usize, usize) {
        let range = self.data.as_ptr_range();
        (range.start as usize, range.end as usize)
    }

    /// How rows lie, where they can be read in place.
    pub fn interleaving(&self) -> Option<Interleaving> {
        let step = usize::try_from(self.strides.x).ok().filter(|step| (1..=Interleaving::MOST).contains(step))?;
        if self.channels == 4 && self.alpha != AlphaRule::Ignore {
            return None;
        }
        let stride = if self.channels == 1 { 0 } else { self.strides.channel };
        let first = self.first_channel();
        let channels = [0, 1, 2].map(|channel| (stride * channel - first) as usize);
        channels.iter().all(|&at| at < step).then_some(Interleaving { step, channels })
    }

    /// From a pixel's red to the first of its channels that is read: not positive.
    fn first_channel(&self) -> isize {
        if self.channels == 1 { 0 } else { (self.strides.channel * 2).min(0) }
    }

    /// Bytes `range` of row `y`, as [`Self::interleaving`] counts them.
    pub(crate) fn row_bytes(&self, y: u32, range: Range<usize>) -> &'a [u8] {
        let start = self.row_start(y).wrapping_add_signed(self.first_channel());
        &self.data[start + range.start..start + range.end]
    }

    /// Where red of row `y` begins.
    fn row_start(&self, y: u32) -> usize {
        self.origin.wrapping_add_signed(self.strides.y * y as isize)
    }

    /// Row `y` as packed RGB, written to `out`.
    pub fn copy_row(&self, y: u32, out: &mut [u8]) {
        match self.interleaving() {
            Some(from) => from.pack(self.row_bytes(y, from.bytes(0..self.size.width)), out),
            None => self.convert_row(y, out),
        }
    }

    fn convert_row(&self, y: u32, out: &mut [u8]) {
        let mut at = self.row_start(y);
        let channel = |at: usize, index: isize| self.data[at.wrapping_add_signed(self.strides.channel * index)];
        for pixel in out.as_chunks_mut::<3>().0 {
            *pixel = match self.channels {
                1 => [channel(at, 0); 3],
                3 => [channel(at, 0), channel(at, 1), channel(at, 2)],
                _ => self.alpha.apply([channel(at, 0), channel(at, 1), channel(at, 2)], channel(at, 3)),
            };
            at = at.wrapping_add_signed(self.strides.x);
        }
    }
}

/// An image of packed RGB rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedImage {
    size: Size,
    data: Vec<u8>,
}

impl OwnedImage {
    /// An image of `width * height * 3` bytes.
    pub fn new(size: Size, data: Vec<u8>) -> Result<Self> {
        PixelView::packed(&data, size)?;
        Ok(Self { size, data })
    }

    /// Borrows the pixels.
    pub fn view(&self) -> Result<PixelView<'_>> {
        PixelView::packed(&self.data, self.size)
    }

    /// The image's size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Its rows, packed.
    pub fn into_bytes(self) -> Vec<u8> {
        self.data
    }
}

impl AlphaRule {
    fn apply(self, rgb: [u8; 3], alpha: u8) -> [u8; 3] {
        match self {
            Self::Ignore => rgb,
            Self::WhiteNumpy => {
                let a = f64::from(alpha) / 255.0;
                rgb.map(|c| (a * f64::from(c) + (1.0 - a) * 255.0).round_ties_even() as u8)
            }
            Self::WhiteTorch => {
                let unit = |value: u8| f32::from(value) * (1.0 / 255.0f64) as f32;
                let a = unit(alpha);
                rgb.map(|c| ((unit(c) * a + (1.0 - a)) * (255.0f64 + 1.0 - 1e-3) as f32) as u8)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(view: &PixelView<'_>, y: u32) -> Vec<u8> {
        let mut out = vec![0; view.size().width as usize * 3];
        view.copy_row(y, &mut out);
        out
    }

    #[test]
    fn a_part_of_an_image_is_an_image() {
        let data: Vec<u8> = (0..60).collect();
        let view = PixelView::packed(&data, Size::new(5, 4)).unwrap();
        let part = view.crop(Rect { x: 3, y: 2, size: Size::new(9, 1) });
        assert_eq!(part.size(), Size::new(2, 1));
        let mut row = [0; 6];
        part.copy_row(0, &mut row);
        assert_eq!(row, data[39..45]);
        let backwards = Strides { y: -15, x: -3, channel: -1 };
        let view = PixelView::new(&data, 59, Size::new(5, 4), 3, backwards, AlphaRule::Ignore).unwrap();
        let part = view.crop(Rect { x: 1, y: 1, size: Size::new(1, 2) });
        let mut row = [0; 3];
        part.copy_row(1, &mut row);
        assert_eq!(row, [26, 25, 24]);
    }

    #[test]
    fn strides_may_run_backwards_and_are_checked() {
        let data: Vec<u8> = (0..24).collect();
        let size = Size::new(4, 2);
        let flipped = Strides { y: -12, x: 3, channel: 1 };
        let view = PixelView::new(&data, 12, size, 3, flipped, AlphaRule::Ignore).unwrap();
        assert_eq!(row(&view, 0), data[12..]);
        assert_eq!(row(&view, 1), data[..12]);
        assert!(PixelView::new(&data, 11, size, 3, flipped, AlphaRule::Ignore).is_err());
        assert!(PixelView::packed(&data, Size::new(4, 3)).is_err());
        assert!(PixelView::new(&data, 0, size, 2, flipped, AlphaRule::Ignore).is_err());
    }

    #[test]
    fn planar_rows_are_converted() {
        let data: Vec<u8> = (0..12).collect();
        let planar = Strides { y: 2, x: 1, channel: 4 };
        let view = PixelView::new(&data, 0, Size::new(2, 2), 3, planar, AlphaRule::Ignore).unwrap();
        assert_eq!(view.interleaving(), None);
        assert_eq!(row(&view, 1), [2, 6, 10, 3, 7, 11]);
    }

    #[test]
    fn gray_rgbx_and_bgr_are_read_in_place() {
        let data: Vec<u8> = (0..12).collect();
        let view = |size, origin, channels, strides| {
            PixelView::new(&data, origin, size, channels, strides, AlphaRule::Ignore).unwrap()
        };
        let gray = view(Size::new(2, 2), 0, 1, Strides { y: 2, x: 1, channel: 1 });
        assert_eq!(gray.interleaving().map(|from| from.row_len(2)), Some(2));
        assert_eq!(row(&gray, 1), [2, 2, 2, 3, 3, 3]);
        // The last pixel's fourth byte need not exist.
        let rgbx = view(Size::new(3, 1), 0, 3, Strides { y: 12, x: 4, channel: 1 });
        assert_eq!(rgbx.interleaving().map(|from| from.row_len(3)), Some(11));
        assert_eq!(row(&rgbx, 0), [0, 1, 2, 4, 5, 6, 8, 9, 10]);
        let bgr = view(Size::new(2, 2), 2, 3, Strides { y: 6, x: 3, channel: -1 });
        assert_eq!(bgr.interleaving().map(|from| from.at(1, 0)), Some(5));
        assert_eq!(row(&bgr, 1), [8, 7, 6, 11, 10, 9]);
    }
}
