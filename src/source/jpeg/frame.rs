//! What a JPEG's headers say of its image, and why reading one stops.

use arrayvec::ArrayVec;

/// Why reading ends before the image does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The data ends.
    Truncated,
    /// libjpeg calls it an error.
    Broken(&'static str),
    /// This decoder does not know how.
    Unsupported(&'static str),
    /// Careful reading is wanted, which follows libjpeg's steps one by one.
    Again,
    /// Nobody wants the image any longer.
    Interrupted,
    /// There is no memory for so many bytes.
    Memory(usize),
}

/// The order in which a block's coefficients are sent, as places in it. Damaged data may run past the last.
pub(super) const NATURAL: [u8; 128] = {
    let mut order = [63; 128];
    let (mut row, mut col, mut at) = (0, 0, 0);
    while at < 64 {
        order[at] = row * 8 + col;
        let up = (row + col) % 2 == 0;
        if up {
            if col == 7 {
                row += 1;
            } else if row == 0 {
                col += 1;
            } else {
                row -= 1;
                col += 1;
            }
        } else if row == 7 {
            col += 1;
        } else if col == 0 {
            row += 1;
        } else {
            col -= 1;
            row += 1;
        }
        at += 1;
    }
    order
};

/// One colour component of the frame.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) id: u8,
    pub(super) h: u32,
    pub(super) v: u32,
    pub(super) quant_index: u8,
    /// The table in force at the component's first scan.
    pub(super) quant: Option<[u16; 64]>,
    /// Blocks that hold pixels.
    pub(super) blocks_x: u32,
    pub(super) blocks_y: u32,
}

/// The frame header.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    pub(super) max_h: u32,
    pub(super) max_v: u32,
    pub(super) precision: u8,
    pub(super) unsupported: Option<&'static str>,
}

impl Frame {
    /// Rows of whole minimum coded units.
    pub(super) fn rows(&self) -> u32 {
        self.height.div_ceil(self.max_v * 8)
    }

    /// Whole minimum coded units in a row.
    pub(super) fn columns(&self) -> u32 {
        self.width.div_ceil(self.max_h * 8)
    }
}

/// The parts of a scan: component, DC table, AC table.
pub(super) type Parts = ArrayVec<(usize, usize, usize), 4>;

/// The scan header.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    pub(super) parts: Parts,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) high: u32,
    pub(super) low: u32,
}

/// The colours that the components stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    Gray,
    Rgb,
    Ycc,
    Cmyk,
    Ycck,
}
