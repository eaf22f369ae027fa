//! Finds cells of patches that equal an earlier cell.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::error::{Error, Result};
use crate::memory::filled;

/// Bytes of a cell's patch where it has none: a cell at the edge of a grid.
const NONE: usize = usize::MAX;

/// Of each cell the first one of its group that holds the same bytes, itself where none does.
///
/// `patches` are `size` bytes each. A cell is `len` of them, by index, `usize::MAX` for one that it lacks; `groups` has a number for
/// each cell, and cells of different groups are not compared.
pub fn first_equal(patches: &[u8], size: usize, cells: &[usize], len: usize, groups: &[i32]) -> Result<Vec<i64>> {
    let count = patches.len().checked_div(size).unwrap_or(0);
    let fits = len > 0 && cells.len() == groups.len() * len;
    if !fits || cells.iter().any(|&patch| patch != NONE && patch >= count) {
        return Err(Error::Argument("cells do not match groups in length, or name patches that do not exist".into()));
    }
    let bytes = |patch: usize| if patch == NONE { &[][..] } else { &patches[patch * size..][..size] };
    let of = |cell: usize| cells[cell * len..][..len].iter().map(|&patch| bytes(patch));
    let mut first = filled(groups.len(), 0i64)?;
    // Cells by their hash; those that are equal all the same are few, but nothing is taken for equal unseen.
    let mut known: HashMap<u64, Vec<usize>, BuildHasherDefault<Same>> = HashMap::default();
    for (cell, first) in first.iter_mut().enumerate() {
        let hash = of(cell).fold(groups[cell] as u64, hash);
        let alike = known.entry(hash).or_default();
        let equal = |&&other: &&usize| groups[other] == groups[cell] && of(other).eq(of(cell));
        let earlier = alike.iter().find(equal).copied();
        if earlier.is_none() {
            alike.push(cell);
        }
        *first = earlier.unwrap_or(cell) as i64;
    }
    Ok(first)
}

/// The hash of some bytes after another: words, multiplied and turned.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(mix(seed, bytes.len() as u64), |hash, &word| mix(hash, u64::from_le_bytes(word)));
    let hash = rest.iter().fold(hash, |hash, &byte| mix(hash, u64::from(byte)));
    hash ^ hash >> 29
}

/// Keys are hashes already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(self.0, bytes);
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_cells_of_a_group_have_one_first() {
        let patches = *b"aabbaaccaabb";
        let cells = [0, 1, 2, 3, 4, 5];
        assert_eq!(first_equal(&patches, 2, &cells, 1, &[0; 6]).unwrap(), [0, 1, 0, 3, 0, 1]);
        assert_eq!(first_equal(&patches, 2, &cells, 2, &[0; 3]).unwrap(), [0, 1, 0]);
        assert_eq!(first_equal(&patches, 2, &cells, 1, &[0, 0, 1, 1, 1, 1]).unwrap(), [0, 1, 2, 3, 2, 5]);
    }

    #[test]
    fn a_patch_that_a_cell_lacks_is_equal_to_none() {
        let patches = [0; 16];
        assert_eq!(first_equal(&patches, 8, &[0, 1, 0, NONE, 1, NONE], 2, &[0; 3]).unwrap(), [0, 1, 1]);
        assert!(first_equal(&patches, 8, &[2], 1, &[0]).is_err());
        assert!(first_equal(&patches, 8, &[0, 1], 2, &[0, 0]).is_err());
    }
}
