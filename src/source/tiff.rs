//! A check in front of the `tiff` crate, whose release 0.11.3 writes a line of its own to the standard error of a process that
//! decodes a file with an impossible tag.

use std::io::{Read, Result, Seek, SeekFrom};

/// The tags that hold text, none of which the decoder reads.
const TEXT: [u16; 15] = [269, 270, 271, 272, 285, 305, 306, 315, 316, 333, 337, 33432, 42112, 42113, 50708];
const ASCII: u16 = 2;

/// Whether a TIFF's first directory has text where numbers belong, longer than the file. The reader is at its start then.
pub(super) fn has_impossible_tag(reader: &mut (impl Read + Seek)) -> bool {
    let found = impossible(reader).unwrap_or(false);
    reader.rewind().is_ok() && found
}

fn impossible(reader: &mut (impl Read + Seek)) -> Result<bool> {
    let mut head = [0; 16];
    reader.rewind()?;
    // A file of eight bytes may be a TIFF, if not one of an image.
    let filled = reader.by_ref().take(16).read(&mut head)?;
    let numbers = match &head[..2] {
        b"II" => Numbers { little: true },
        b"MM" => Numbers { little: false },
        _ => return Ok(false),
    };
    // Where the directory's place is, how long that and an entry's count are, how long the number of entries and an entry are.
    let (place, width, length, entry) = match numbers.read(&head[2..4]) {
        42 if filled >= 8 => (4, 4, 2, 12),
        43 if filled == 16 => (8, 8, 8, 20),
        _ => return Ok(false),
    };
    let size = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(numbers.read(&head[place..place + width])))?;
    let mut count = [0; 8];
    reader.read_exact(&mut count[..length])?;
    let entries = numbers.read(&count[..length]).min(u64::from(u16::MAX));
    let mut directory = Vec::new();
    reader.take(entries * entry as u64).read_to_end(&mut directory)?;
    Ok(directory.chunks_exact(entry).any(|entry| {
        let (tag, kind) = (numbers.read(&entry[..2]) as u16, numbers.read(&entry[2..4]) as u16);
        kind == ASCII && numbers.read(&entry[4..4 + width]) > size && !TEXT.contains(&tag)
    }))
}

/// Numbers in a file's order of bytes.
struct Numbers {
    little: bool,
}

impl Numbers {
    fn read(&self, bytes: &[u8]) -> u64 {
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn file(big: bool, little: bool, entries: &[(u16, u16, u64)]) -> Vec<u8> {
        let bytes = |number: u64, size: usize| {
            let mut found = number.to_le_bytes()[..size].to_vec();
            if !little {
                found.reverse();
            }
            found
        };
        let mut made = if little { b"II".to_vec() } else { b"MM".to_vec() };
        let (width, length) = if big { (8, 8) } else { (4, 2) };
        made.extend(bytes(if big { 43 } else { 42 }, 2));
        if big {
            made.extend(bytes(8, 2));
            made.extend(bytes(0, 2));
        }
        made.extend(bytes(if big { 16 } else { 8 }, width));
        made.extend(bytes(entries.len() as u64, length));
        for &(tag, kind, count) in entries {
            made.extend(bytes(tag.into(), 2));
            made.extend(bytes(kind.into(), 2));
            made.extend(bytes(count, width));
            made.extend(bytes(0, width));
        }
        made
    }

    fn is_impossible(bytes: &[u8]) -> bool {
        let mut reader = Cursor::new(bytes);
        let found = has_impossible_tag(&mut reader);
        assert_eq!(reader.position(), 0);
        found
    }

    #[test]
    fn text_where_numbers_belong_is_found() {
        for (big, little) in [(false, false), (false, true), (true, false), (true, true)] {
            let found = |entries: &[_]| is_impossible(&file(big, little, entries));
            assert!(found(&[(256, 3, 1), (258, ASCII, 0xffff_fff0)]));
            assert!(!found(&[(256, 3, 1), (258, ASCII, 4)]));
            // A number's count is the decoder's to check; a text that is cut off disturbs nobody.
            assert!(!found(&[(256, 3, 0xffff_fff0), (305, ASCII, 0xffff_fff0)]));
        }
    }

    #[test]
    fn files_that_end_anywhere_are_no_trouble() {
        let whole = file(true, true, &[(258, ASCII, u64::MAX)]);
        assert!(is_impossible(&whole));
        for end in 0..whole.len() {
            assert!(!is_impossible(&whole[..end]));
        }
        assert!(!is_impossible(b"II*\0\xff\xff\xff\xff"));
        assert!(!is_impossible(b"\x89PNG\r\n\x1a\n"));
    }
}
