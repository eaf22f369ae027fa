//! Portable loops over the table: the definition that every other level must equal.

use super::{PatchRow, TileRows};
use crate::write::{Sink, Values};

/// As [`super::Kernels::merged`].
pub(in crate::write) fn merged<T: Copy>(row: &PatchRow<'_>, temporal: usize, values: &Values<T>, sink: &Sink<'_, T>) {
    let plane = row.size * row.size;
    for &(from, to) in row.patches {
        for (channel, table) in values.table.iter().enumerate() {
            let first = to + channel * temporal * plane;
            for line in 0..row.size {
                let bytes = row.line(from, line)[channel..].iter().step_by(3);
                sink.write(first + line * row.size, row.size, bytes.map(|&byte| table[usize::from(byte)]));
            }
            for copy in 1..temporal {
                sink.repeat(first, first + copy * plane, plane);
            }
        }
    }
}

/// As [`super::Kernels::flat`].
pub(in crate::write) fn flat<T: Copy>(row: &PatchRow<'_>, values: &Values<T>, sink: &Sink<'_, T>) {
    let [red, green, blue] = &values.table;
    for &(from, to) in row.patches {
        for line in 0..row.size {
            let pixels = row.line(from, line).as_chunks::<3>().0.iter();
            let run = pixels.flat_map(|&[r, g, b]| [red[usize::from(r)], green[usize::from(g)], blue[usize::from(b)]]);
            sink.write(to + line * row.size * 3, row.size * 3, run);
        }
    }
}

/// As [`super::Kernels::planar`].
pub(in crate::write) fn planar<T: Copy>(rows: &TileRows<'_>, values: &Values<T>, sink: &Sink<'_, T>) {
    for &(from, to) in rows.tiles {
        for (channel, table) in values.table.iter().enumerate() {
            for row in 0..rows.count {
                let bytes = &rows.lines[row * rows.stride + from..][..rows.width * 3];
                let at = to + channel * rows.plane + row * rows.width;
                sink.write(at, rows.width, bytes[channel..].iter().step_by(3).map(|&byte| table[usize::from(byte)]));
            }
        }
    }
}
