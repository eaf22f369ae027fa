//! A directory of tags, with what Pillow skips, cuts and forgives.

use std::io::{Read, Seek};

use crate::source::bytes::Bytes;

/// Bytes of a tag's values that are kept at most: those of two million strips.
const MOST_BYTES: u64 = 8 << 20;

/// The order of a number's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) enum Order {
    Little,
    Big,
}

impl Order {
    /// A number of at most eight bytes.
    pub(in crate::source) fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, add),
            Self::Big => bytes.iter().fold(0, add),
        }
    }
}

/// A tag's values.
#[derive(Debug)]
pub(in crate::source) struct Entry {
    tag: u16,
    /// TIFF's number of the type.
    pub(in crate::source) kind: u16,
    pub(in crate::source) data: Vec<u8>,
}

impl Entry {
    /// Whole numbers; nothing of other types. Bytes are no numbers to Pillow.
    pub(in crate::source) fn numbers(&self, order: Order) -> Option<Vec<i64>> {
        let read = |width: usize, signed: bool| {
            let sign = |number: u64| {
                let unused = 64 - 8 * width as u32;
                if signed { ((number << unused) as i64) >> unused } else { number as i64 }
            };
            self.data.chunks_exact(width).map(|bytes| sign(order.number(bytes))).collect()
        };
        Some(match self.kind {
            3 => read(2, false),
            4 | 13 => read(4, false),
            6 => read(1, true),
            8 => read(2, true),
            9 => read(4, true),
            16 => read(8, false),
            _ => return None,
        })
    }
}

/// The bytes of a value of a type; nothing of types that Pillow passes over.
fn width(kind: u16) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 => 8,
        _ => return None,
    })
}

/// The tags that were wanted of a directory.
#[derive(Debug, Default)]
pub(in crate::source) struct Directory {
    entries: Vec<Entry>,
    /// Whether a wanted tag was passed over, or the directory is cut off: libtiff may refuse what Pillow forgives.
    pub(in crate::source) is_odd: bool,
}

impl Directory {
    /// Reads a directory to its end, or to where it is damaged; of a tag that is there twice, the first. `big` is `BigTIFF`.
    pub(in crate::source) fn load<R: Read + Seek>(
        bytes: &mut Bytes<R>,
        place: u64,
        order: Order,
        big: bool,
        wanted: impl Fn(u16) -> bool,
    ) -> Self {
        let mut directory = Self { is_odd: true, ..Self::default() };
        let (counted, entry, field) = if big { (8, 20, 8) } else { (2, 12, 4) };
        let Some(count) = bytes.get(place, counted) else { return directory };
        let start = place + counted;
        let whole = bytes.len().saturating_sub(start) / entry;
        let Some(table) = bytes.get(start, order.number(&count).min(whole) * entry) else { return directory };
        directory.is_odd = order.number(&count) > whole;
        let mut seen = Seen::default();
        let mut total = 0u64;
        for row in table.chunks_exact(entry as usize) {
            let (tag, kind) = (order.number(&row[..2]) as u16, order.number(&row[2..4]) as u16);
            if seen.has(tag) {
                continue;
            }
            let (count, value) = row[4..].split_at(field);
            let size = width(kind).map_or(0, |width| order.number(count).saturating_mul(width));
            if size == 0 {
                directory.is_odd |= wanted(tag);
                continue;
            }
            let data = if size > field as u64 {
                let at = order.number(value);
                if at >= 1 << 63 {
                    directory.is_odd |= wanted(tag);
                    continue;
                }
                total = total.saturating_add(size);
                if total > bytes.len() {
                    directory.is_odd |= wanted(tag);
                    continue;
                }
                if at.saturating_add(size) > bytes.len() {
                    directory.is_odd = true;
                    break;
                }
                (wanted(tag) && size <= MOST_BYTES).then(|| bytes.get(at, size))
            } else {
                wanted(tag).then(|| Some(value[..size as usize].to_vec()))
            };
            seen.add(tag);
            if let Some(Some(data)) = data {
                directory.entries.push(Entry { tag, kind, data });
            }
        }
        directory
    }

    pub(in crate::source) fn get(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.tag == tag)
    }
}

/// Tags that were there, a bit each.
struct Seen(Vec<u64>);

impl Default for Seen {
    fn default() -> Self {
        Self(vec![0; 1 << 10])
    }
}

impl Seen {
    fn has(&self, tag: u16) -> bool {
        self.0[usize::from(tag >> 6)] >> (tag & 63) & 1 == 1
    }

    fn add(&mut self, tag: u16) {
        self.0[usize::from(tag >> 6)] |= 1 << (tag & 63);
    }
}
