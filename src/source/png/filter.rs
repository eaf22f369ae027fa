//! PNG's filters, undone.

/// Undoes a row's filter. `before` is the row above; pixels are `bytes` long, or one where they are shorter.
pub(super) fn undo(filter: u8, bytes: usize, before: &[u8], row: &mut [u8]) -> Option<()> {
    match (filter, bytes) {
        (0, _) => {}
        (2, _) => row.iter_mut().zip(before).for_each(|(value, above)| *value = value.wrapping_add(*above)),
        (1 | 3 | 4, 1) => by::<1>(filter, before, row),
        (1 | 3 | 4, 2) => by::<2>(filter, before, row),
        (1 | 3 | 4, 3) => by::<3>(filter, before, row),
        (1 | 3 | 4, 4) => by::<4>(filter, before, row),
        (1 | 3 | 4, 6) => by::<6>(filter, before, row),
        (1 | 3 | 4, _) => by::<8>(filter, before, row),
        _ => return None,
    }
    Some(())
}

fn by<const N: usize>(filter: u8, before: &[u8], row: &mut [u8]) {
    let (before, _) = before.as_chunks::<N>();
    let (row, _) = row.as_chunks_mut::<N>();
    let mut left = [0; N];
    let mut corner = [0; N];
    match filter {
        1 => {
            for pixel in row {
                for (value, left) in pixel.iter_mut().zip(&mut left) {
                    *value = value.wrapping_add(*left);
                    *left = *value;
                }
            }
        }
        3 => {
            for (pixel, above) in row.iter_mut().zip(before) {
                for index in 0..N {
                    let mean = u16::midpoint(left[index].into(), above[index].into());
                    pixel[index] = pixel[index].wrapping_add(mean as u8);
                }
                left = *pixel;
            }
        }
        _ => {
            for (pixel, above) in row.iter_mut().zip(before) {
                for index in 0..N {
                    pixel[index] = pixel[index].wrapping_add(paeth(left[index], above[index], corner[index]));
                }
                (left, corner) = (*pixel, *above);
            }
        }
    }
}

/// The neighbour that is nearest to left + above - corner, without branches.
fn paeth(left: u8, above: u8, corner: u8) -> u8 {
    let (a, b, c) = (i16::from(left), i16::from(above), i16::from(corner));
    let threshold = c * 3 - (a + b);
    let (low, high) = (a.min(b), a.max(b));
    let first = if high <= threshold { low } else { c };
    (if threshold <= low { high } else { first }) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paeth_is_the_specification_s() {
        for a in (0..=255u8).step_by(5) {
            for b in (0..=255u8).step_by(3) {
                for c in 0..=255u8 {
                    let p = i16::from(a) + i16::from(b) - i16::from(c);
                    let [pa, pb, pc] = [a, b, c].map(|value| (p - i16::from(value)).abs());
                    let wanted = if pa <= pb && pa <= pc {
                        a
                    } else if pb <= pc {
                        b
                    } else {
                        c
                    };
                    assert_eq!(paeth(a, b, c), wanted, "{a} {b} {c}");
                }
            }
        }
    }
}
