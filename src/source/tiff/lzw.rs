//! TIFF's LZW: codes from the high bits on, that grow a code earlier than the table. The table holds a short string itself, and
//! says of a long one where its first copy was written: a code is one store, or a copy within the output.

use crate::source::bytes::{PIECE, copy};

const CLEAR: usize = 256;
const END: usize = 257;
const CODES: usize = 4096;
const MOST_BITS: u32 = 12;

/// Fills `out` but for its last [`PIECE`] bytes, which hold anything. Nothing where the codes are damaged, end too early, or are
/// of the old kind, low bits first.
pub(super) fn decode(data: &[u8], out: &mut [u8]) -> Option<()> {
    if let [0, second, ..] = data
        && second & 1 == 1
    {
        return None;
    }
    let count = out.len().checked_sub(PIECE)?;
    u32::try_from(count).ok()?;
    let mut strings: Box<[Text; CODES]> = vec![Text::NONE; CODES].try_into().ok()?;
    for (value, text) in strings.iter_mut().enumerate().take(CLEAR) {
        *text = Text::byte(value as u8);
    }
    let mut next = END + 1;
    let mut width = 9;
    let mut at = 0;
    let mut written = 0;
    // The string before, and where it was written.
    let (mut last, mut last_start) = (Text::NONE, 0);
    while written < count {
        let code = code(data, at, width)?;
        at += width as usize;
        let start = written;
        let text = if code < next {
            strings[code % CODES]
        } else if code == next && !last.is_none() {
            // The string before and its first byte once more. Were it longer than the room, its last byte would be left out.
            last.and(last.first(), last_start)
        } else {
            return None;
        };
        if let Some(length) = text.short_length() {
            out[written..written + PIECE].copy_from_slice(&text.0.to_le_bytes());
            written += length;
        } else if let Some((from, length)) = text.long() {
            let length = length.min(count - written);
            if from + length > written {
                // The byte behind the string before is the first of its own copy.
                copy(out, from, written, length - 1);
                out[written + length - 1] = text.first();
            } else {
                copy(out, from, written, length);
            }
            written += length;
        } else if code == CLEAR {
            (next, width, last) = (END + 1, 9, Text::NONE);
            continue;
        } else {
            return None;
        }
        if !last.is_none() {
            *strings.get_mut(next)? = last.and(text.first(), last_start);
            next += 1;
            if next == (1 << width) - 1 && width < MOST_BITS {
                width += 1;
            }
        }
        (last, last_start) = (text, start);
    }
    Some(())
}

/// The code at a bit, of up to [`MOST_BITS`].
#[inline]
fn code(data: &[u8], at: usize, width: u32) -> Option<usize> {
    let word = match data.get(at / 8..at / 8 + 4) {
        Some(four) => u32::from_be_bytes([four[0], four[1], four[2], four[3]]),
        None => last_code(data, at, width)?,
    };
    Some((word << (at % 8) >> (32 - width)) as usize)
}

#[cold]
fn last_code(data: &[u8], at: usize, width: u32) -> Option<u32> {
    if at + width as usize > data.len() * 8 {
        return None;
    }
    let mut four = [0; 4];
    let rest = &data[at / 8..];
    four[..rest.len()].copy_from_slice(rest);
    Some(u32::from_be_bytes(four))
}

/// A string. From the low byte on, of up to seven bytes: its bytes, zeros, and in the highest byte their count; of more: its first
/// byte, where it is in the output (4 bytes), its length (2 bytes), and [`LONG`].
#[derive(Clone, Copy)]
struct Text(u64);

const LONG: u64 = 0xff;
const MOST_SHORT: u64 = 7;

impl Text {
    /// What is no string.
    const NONE: Self = Self(0);

    fn byte(value: u8) -> Self {
        Self(1 << 56 | u64::from(value))
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }

    fn first(self) -> u8 {
        self.0 as u8
    }

    fn short_length(self) -> Option<usize> {
        let length = self.0 >> 56;
        (length.wrapping_sub(1) < MOST_SHORT).then_some(length as usize)
    }

    /// Where it is in the output, and its length.
    fn long(self) -> Option<(usize, usize)> {
        (self.0 >> 56 == LONG).then_some(((self.0 >> 8) as u32 as usize, (self.0 >> 40) as u16 as usize))
    }

    /// It and one more byte, which stands behind its copy at `start`.
    fn and(self, byte: u8, start: usize) -> Self {
        let length = self.0 >> 56;
        if length < MOST_SHORT {
            Self((self.0 + (1 << 56)) | (u64::from(byte) << (8 * length)))
        } else {
            let length = self.long().map_or(MOST_SHORT as usize, |(_, length)| length);
            Self(LONG << 56 | (length as u64 + 1) << 40 | (start as u64) << 8 | u64::from(self.first()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes as bits.
    #[derive(Default)]
    struct Packed {
        bytes: Vec<u8>,
        bits: u32,
    }

    impl Packed {
        fn put(&mut self, code: usize, width: u32) {
            for bit in (0..width).rev() {
                if self.bits.is_multiple_of(8) {
                    self.bytes.push(0);
                }
                *self.bytes.last_mut().unwrap() |= ((code >> bit & 1) as u8) << (7 - self.bits % 8);
                self.bits += 1;
            }
        }
    }

    /// So many codes that `choose` picks out of those that have a string now, and what they stand for. The table is cleared
    /// where it is full.
    fn coded(count: usize, mut choose: impl FnMut(usize, bool) -> usize) -> (Packed, Vec<u8>) {
        let bytes = || (0..CLEAR).map(|value| vec![value as u8]).chain([vec![], vec![]]);
        let mut table: Vec<Vec<u8>> = bytes().collect();
        let (mut packed, mut whole) = (Packed::default(), Vec::new());
        let (mut width, mut last) = (9, Vec::new());
        packed.put(CLEAR, width);
        for _ in 0..count {
            if table.len() == CODES - 1 {
                packed.put(CLEAR, width);
                (table, width, last) = (bytes().collect(), 9, Vec::new());
            }
            let code = match choose(table.len(), last.is_empty()) {
                CLEAR | END => 0,
                code => code,
            };
            packed.put(code, width);
            let text = match table.get(code) {
                Some(text) => text.clone(),
                None => [&last[..], &last[..1]].concat(),
            };
            if !last.is_empty() {
                last.push(text[0]);
                table.push(last);
            }
            if table.len() == (1 << width) - 1 && width < MOST_BITS {
                width += 1;
            }
            whole.extend_from_slice(&text);
            last = text;
        }
        (packed, whole)
    }

    fn unpacked(data: &[u8], count: usize) -> Option<Vec<u8>> {
        let mut out = vec![0xaa; count + PIECE];
        decode(data, &mut out)?;
        out.truncate(count);
        Some(out)
    }

    /// Numbers that look random.
    fn random(mut seed: u64) -> impl FnMut(usize) -> usize {
        move |most| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % (most + 1)
        }
    }

    #[test]
    fn strings_of_any_length_are_what_their_codes_say() {
        for kind in 0..5 {
            let mut random = random(kind);
            let (packed, whole) = coded(9000, |next, is_first| match kind {
                _ if is_first => random(255),
                // Bytes alone; the code that is next again and again, which is a run; any; long ones; a mixture.
                0 => random(255),
                1 => next,
                2 => random(next),
                3 => next - random(1) * usize::from(next > END + 3),
                _ => [random(255), next, random(next)][random(2)],
            });
            // To the middle of a string, too.
            for count in [0, 1, 7, 8, 9, whole.len() / 3, whole.len() - 5, whole.len()] {
                assert_eq!(
                    unpacked(&packed.bytes, count).as_deref(),
                    Some(&whole[..count]),
                    "kind {kind}, {count} bytes"
                );
            }
            // Seven bits that are left over are no code.
            assert_eq!(unpacked(&packed.bytes, whole.len() + 1), None);
            assert_eq!(unpacked(&packed.bytes[..packed.bytes.len() - 2], whole.len()), None);
        }
    }

    #[test]
    fn codes_without_a_string_are_refused() {
        let refused = |codes: &[usize]| {
            let mut packed = Packed::default();
            codes.iter().chain(&[65; 9]).for_each(|&code| packed.put(code, 9));
            unpacked(&packed.bytes, 9).is_none()
        };
        assert!(!refused(&[CLEAR, 65, END + 1]));
        assert!(!refused(&[65, CLEAR, 65]));
        // The end before it, the first string before there is one, one beyond the next.
        assert!(refused(&[CLEAR, 65, END]));
        assert!(refused(&[CLEAR, END + 1]));
        assert!(refused(&[CLEAR, 65, END + 1, CLEAR, END + 1]));
        assert!(refused(&[CLEAR, 65, END + 2]));
    }

    #[test]
    fn a_table_without_room_is_refused() {
        let mut packed = Packed::default();
        packed.put(CLEAR, 9);
        let mut width = 9;
        for next in END + 1..=CODES + 1 {
            packed.put(65, width);
            // The first code adds nothing.
            if next == (1 << width) - 1 && width < MOST_BITS {
                width += 1;
            }
        }
        let count = CODES - END - 1;
        assert_eq!(unpacked(&packed.bytes, count), Some(vec![65; count]));
        assert_eq!(unpacked(&packed.bytes, count + 2), None);
    }
}
