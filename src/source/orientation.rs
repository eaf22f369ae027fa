//! How an image is to be turned, as Pillow's `getexif` and `exif_transpose` find it: in EXIF data of every form that Pillow
//! reads, else in XMP. What Pillow cannot read turns nothing.

use std::io::Cursor;

use super::bytes::Bytes;
use super::tiff::directory::{Directory, Entry, Order};
use crate::geometry::Size;

/// EXIF's tag of the orientation.
pub(super) const ORIENTATION: u16 = 274;
const PREFIX: &[u8] = b"Exif\0\0";

/// What is done to the stored image to see it upright, by EXIF's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Orientation {
    /// 1: nothing.
    #[default]
    Upright,
    /// 2: left and right change places.
    FlipX,
    /// 3: a half turn.
    HalfTurn,
    /// 4: top and bottom change places.
    FlipY,
    /// 5: rows become columns.
    Transpose,
    /// 6: a quarter turn clockwise.
    Clockwise,
    /// 7: rows become columns, then a half turn.
    Transverse,
    /// 8: a quarter turn counterclockwise.
    Counterclockwise,
}

impl Orientation {
    pub(super) fn of(number: i64) -> Self {
        match number {
            2 => Self::FlipX,
            3 => Self::HalfTurn,
            4 => Self::FlipY,
            5 => Self::Transpose,
            6 => Self::Clockwise,
            7 => Self::Transverse,
            8 => Self::Counterclockwise,
            _ => Self::Upright,
        }
    }

    /// Whether width and height change places.
    pub(crate) fn swaps_sides(self) -> bool {
        matches!(self, Self::Transpose | Self::Clockwise | Self::Transverse | Self::Counterclockwise)
    }

    /// Whether the stored image's columns are seen from the last to the first, and whether its rows are.
    pub(crate) fn mirrors(self) -> [bool; 2] {
        let columns = [Self::FlipX, Self::HalfTurn, Self::Transverse, Self::Counterclockwise].contains(&self);
        let rows = [Self::HalfTurn, Self::FlipY, Self::Clockwise, Self::Transverse].contains(&self);
        [columns, rows]
    }

    /// The size of an image as it is seen from that as it is stored, or the other way round.
    pub(crate) fn turned(self, size: Size) -> Size {
        if self.swaps_sides() { size.transposed() } else { size }
    }
}

/// What a file carries beside its pixels.
#[derive(Clone, Debug, Default)]
pub(super) struct Metadata {
    /// EXIF data, which may begin with "Exif\0\0", even twice.
    pub(super) exif: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
}

impl Metadata {
    pub(super) fn orientation(&self) -> Orientation {
        match self.exif.as_deref().map_or(Exif::Silent, read_exif) {
            Exif::Says(orientation) => orientation,
            Exif::Silent => self.xmp.as_deref().map(of_xmp).unwrap_or_default(),
        }
    }

    /// The number that XMP has for the orientation.
    pub(super) fn number_in_xmp(&self) -> Option<u8> {
        self.xmp.as_deref().and_then(number_in_xmp)
    }
}

/// What EXIF data says of the orientation.
enum Exif {
    /// Nothing: XMP may.
    Silent,
    Says(Orientation),
}

fn read_exif(data: &[u8]) -> Exif {
    let mut data = data;
    for _ in 0..2 {
        data = data.strip_prefix(PREFIX).unwrap_or(data);
    }
    if data.is_empty() {
        return Exif::Silent;
    }
    let order = match data.first_chunk::<4>() {
        Some(b"II*\0" | b"II\0*") => Order::Little,
        Some(b"MM\0*" | b"MM*\0") => Order::Big,
        // Pillow fails on such data, or makes nothing of it, and does not look at XMP either.
        _ => return Exif::Says(Orientation::Upright),
    };
    let Some(place) = data.get(4..8) else { return Exif::Says(Orientation::Upright) };
    let place = order.number(place);
    let Ok(mut bytes) = Bytes::new(Cursor::new(data)) else { return Exif::Silent };
    let directory = Directory::load(&mut bytes, place, order, false, |tag| tag == ORIENTATION);
    directory.get(ORIENTATION).map_or(Exif::Silent, |entry| Exif::Says(of_entry(entry, order)))
}

/// That of a TIFF's own directory, which has tags 274 and 700.
pub(super) fn of_directory(directory: &Directory, order: Order, xmp: u16) -> Orientation {
    if let Some(entry) = directory.get(ORIENTATION) {
        return of_entry(entry, order);
    }
    directory.get(xmp).filter(|entry| matches!(entry.kind, 1 | 7)).map(|entry| of_xmp(&entry.data)).unwrap_or_default()
}

/// The first value of any type that Python finds equal to a whole number. Bytes and texts are none.
fn of_entry(entry: &Entry, order: Order) -> Orientation {
    let whole = |value: f64| if value.fract() == 0.0 { value as i64 } else { 0 };
    let float =
        |bits: u64, width: usize| if width == 4 { f32::from_bits(bits as u32).into() } else { f64::from_bits(bits) };
    let number = match entry.kind {
        11 | 12 => {
            let width = if entry.kind == 11 { 4 } else { 8 };
            entry.data.get(..width).map_or(0, |bytes| whole(float(order.number(bytes), width)))
        }
        5 | 10 => match (entry.data.get(..4), entry.data.get(4..8)) {
            (Some(above), Some(below)) => {
                let read = |bytes: &[u8]| {
                    let number = order.number(bytes);
                    if entry.kind == 5 { number as i64 } else { i64::from(number as u32 as i32) }
                };
                let (above, below) = (read(above), read(below));
                if below != 0 && above % below == 0 { above / below } else { 0 }
            }
            _ => 0,
        },
        _ => entry.numbers(order).and_then(|numbers| numbers.first().copied()).unwrap_or(0),
    };
    Orientation::of(number)
}

fn of_xmp(xmp: &[u8]) -> Orientation {
    number_in_xmp(xmp).map_or_else(Orientation::default, |number| Orientation::of(number.into()))
}

/// Pillow's search: `tiff:Orientation(="|>)([0-9])`.
fn number_in_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut rest = xmp;
    while let Some(at) = rest.windows(NAME.len()).position(|window| window == NAME) {
        rest = &rest[at + NAME.len()..];
        let value = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"));
        if let Some(digit) = value.and_then(<[u8]>::first).filter(|byte| byte.is_ascii_digit()) {
            return Some(digit - b'0');
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(prefix: &[u8], kind: u16, count: u32, value: &[u8]) -> Metadata {
        let mut data = [prefix, b"II*\0\x08\0\0\0\x01\0\x12\x01"].concat();
        data.extend(kind.to_le_bytes());
        data.extend(count.to_le_bytes());
        let mut field = [0; 4];
        if value.len() > 4 {
            field[0] = 26;
        } else {
            field[..value.len()].copy_from_slice(value);
        }
        data.extend(field);
        data.extend([0; 4]);
        if value.len() > 4 {
            data.extend(value);
        }
        Metadata { exif: Some(data), xmp: Some(b"<tiff:Orientation>3<".to_vec()) }
    }

    #[test]
    fn every_type_that_python_compares_with_a_number_is_read() {
        let turned = |metadata: Metadata| metadata.orientation();
        for prefix in [&b""[..], PREFIX, b"Exif\0\0Exif\0\0"] {
            assert_eq!(turned(exif(prefix, 3, 1, &[6, 0])), Orientation::Clockwise);
            assert_eq!(turned(exif(prefix, 3, 2, &[6, 0, 3, 0])), Orientation::Clockwise);
            assert_eq!(turned(exif(prefix, 4, 1, &[6, 0, 0, 0])), Orientation::Clockwise);
            assert_eq!(turned(exif(prefix, 11, 1, &6f32.to_le_bytes())), Orientation::Clockwise);
            assert_eq!(turned(exif(prefix, 12, 1, &6f64.to_le_bytes())), Orientation::Clockwise);
            assert_eq!(turned(exif(prefix, 5, 1, &[12, 0, 0, 0, 2, 0, 0, 0])), Orientation::Clockwise);
        }
        // A byte is bytes to Pillow, and present: XMP is not asked.
        assert_eq!(turned(exif(b"", 1, 1, &[6])), Orientation::Upright);
        assert_eq!(turned(exif(b"Exif\0\0Exif\0\0Exif\0\0", 3, 1, &[6, 0])), Orientation::Upright);
    }

    #[test]
    fn xmp_is_asked_where_exif_is_silent() {
        let of = |xmp: &[u8]| Metadata { exif: Some(PREFIX.to_vec()), xmp: Some(xmp.to_vec()) }.orientation();
        assert_eq!(of(b"<x tiff:Orientation=\"8\"/>"), Orientation::Counterclockwise);
        assert_eq!(of(b"tiff:Orientation='2' tiff:Orientation>5"), Orientation::Transpose);
        assert_eq!(of(b"tiff:Orientation=6"), Orientation::Upright);
    }

    #[test]
    fn data_that_ends_anywhere_is_no_trouble() {
        let whole = exif(PREFIX, 12, 1, &6f64.to_le_bytes()).exif.unwrap();
        for end in 0..whole.len() {
            let cut = Metadata { exif: Some(whole[..end].to_vec()), xmp: None };
            assert_eq!(cut.orientation(), Orientation::Upright);
        }
    }
}
