//! Progressive images whose last scans are missing: libjpeg estimates the coefficients that were not sent from the averages of
//! a block's neighbours.

use super::frame::{Frame, Scan};
use super::quad::{LANES, ORDER, Plane, Quad};

/// Places in a block of the first ten coefficients as they are sent.
const PLACES: [usize; 10] = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24];

/// Weights of the 25 averages around a block, row by row, for each of the ten coefficients, where none but averages were sent.
#[rustfmt::skip]
const FROM_AVERAGES: [[i32; 25]; 10] = [
    [-2, -6, -8, -6, -2, -6, 6, 42, 6, -6, -8, 42, 152, 42, -8, -6, 6, 42, 6, -6, -2, -6, -8, -6, -2],
    [-1, -1, 0, 1, 1, -3, 13, 0, -13, 3, -3, 38, 0, -38, 3, -3, 13, 0, -13, 3, -1, -1, 0, 1, 1],
    [-1, -3, -3, -3, -1, -1, 13, 38, 13, -1, 0, 0, 0, 0, 0, 1, -13, -38, -13, 1, 1, 3, 3, 3, 1],
    [0, 0, 1, 0, 0, 0, 2, 7, 2, 0, 0, -5, -14, -5, 0, 0, 2, 7, 2, 0, 0, 0, 1, 0, 0],
    [-1, 0, 0, 0, 1, 0, 9, 0, -9, 0, 0, 0, 0, 0, 0, 0, -9, 0, 9, 0, 1, 0, 0, 0, -1],
    [0, 0, 0, 0, 0, 0, 2, -5, 2, 0, 1, 7, -14, 7, 1, 0, 2, -5, 2, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 0, -1, 0, 0, 2, 0, -2, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, -3, 1, 0, 0, 0, 0, 0, 0, 0, -1, 3, -1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 0, -1, 0, 0, -3, 0, 3, 0, 0, 1, 0, -1, 0, 0, 0, 0, 0, 0],
    [0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, -1, -2, -1, 0, 0, 0, 0, 0, 0],
];

/// The same of coefficients 1 to 5 where some others were sent.
#[rustfmt::skip]
const BESIDE_OTHERS: [[i32; 25]; 6] = [
    [0; 25],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -7, 50, 0, -50, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [0, 0, -7, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, -50, 0, 0, 0, 0, 7, 0, 0],
    [0, 0, -1, 0, 0, 0, 0, 13, 0, 0, 0, 0, -24, 0, 0, 0, 0, 13, 0, 0, 0, 0, -1, 0, 0],
    [0, -1, 0, 1, 0, -1, 10, 0, -10, 1, 0, 0, 0, 0, 0, 1, -10, 0, 10, -1, 0, 1, 0, -1, 0],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, 13, -24, 13, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

/// How much of the coefficients has come.
pub(super) struct Progress {
    /// Of each component's coefficients, in the order they are sent: the lowest bit that came, -1 for none.
    bits: Vec<[i32; 64]>,
    /// The same before the last scan of the component.
    before: Vec<[i32; 64]>,
    scans: u32,
    /// The last row of units for which the last scan had data.
    pub(super) last_good_row: u32,
}

impl Progress {
    pub(super) fn new(components: usize) -> Self {
        let none = vec![[-1; 64]; components];
        Self { bits: none.clone(), before: none, scans: 0, last_good_row: 0 }
    }

    /// Notes what a scan, the file's `number`th, brings.
    pub(super) fn start_scan(&mut self, scan: &Scan, number: u32) {
        self.scans = number;
        for &(index, ..) in &scan.parts {
            let (bits, before) = (&mut self.bits[index], &mut self.before[index]);
            for at in scan.first.min(1) as usize..=scan.last.max(9) as usize {
                before[at] = if number > 1 { bits[at] } else { 0 };
            }
            bits[scan.first as usize..=scan.last as usize].fill(scan.low as i32);
        }
    }

    /// Whether coefficients are missing that can be estimated.
    pub(super) fn is_incomplete(&self, frame: &Frame) -> bool {
        let known = frame.components.iter().zip(&self.bits).all(|(part, bits)| {
            bits[0] >= 0 && part.quant.is_some_and(|quant| PLACES.iter().all(|&place| quant[place] != 0))
        });
        known && self.bits.iter().any(|bits| bits[1..10].iter().any(|&bit| bit != 0))
    }

    /// Hands on the blocks of row `y` of a component, in row `unit_row` of units, with estimates for what is missing.
    pub(super) fn smooth(
        &self,
        frame: &Frame,
        index: usize,
        unit_row: u32,
        y: u32,
        plane: &Plane,
        mut emit: impl FnMut(usize, &Quad),
    ) {
        let part = &frame.components[index];
        let quant = part.quant.unwrap_or([0; 64]);
        let bits = if unit_row <= self.last_good_row {
            self.bits[index]
        } else if self.scans > 1 {
            self.before[index]
        } else {
            [-1; 64]
        };
        let only_averages = bits[1..10].iter().all(|&bit| bit == -1);

        // libjpeg counts the rows of the whole image by those of this row of units, which are fewer in the last.
        let in_unit = ((unit_row + 1) * part.v).min(part.blocks_y) - unit_row * part.v;
        let counted = unit_row * in_unit + y - unit_row * part.v;
        let all = in_unit * frame.rows();
        let above = if counted > 0 { y - 1 } else { y };
        let below = if counted + 1 < all { y + 1 } else { y };
        let rows = [
            plane.row(if counted > 1 { y - 2 } else { above }),
            plane.row(above),
            plane.row(y),
            plane.row(below),
            plane.row(if counted + 2 < all { y + 2 } else { below }),
        ];
        let last = part.blocks_x as usize - 1;
        let mut quad = Quad::ZERO;
        for x in 0..=last {
            if x.is_multiple_of(LANES as usize) {
                quad = rows[2][x / LANES as usize];
            }
            let lane = Quad::lane(x as u32);
            let averages: [i32; 25] = std::array::from_fn(|at| {
                let column = (x + at % 5).saturating_sub(2).min(last);
                rows[at / 5][column / LANES as usize].0[Quad::lane(column as u32)].into()
            });
            let estimate = |at: usize, weights: &[i32; 25]| {
                let sum: i32 = averages.iter().zip(weights).map(|(average, weight)| average * weight).sum();
                let product = i64::from(quant[0]) * i64::from(sum);
                let by = i64::from(quant[PLACES[at]]);
                let mut size = ((by << 7) + product.abs()) / (by << 8);
                if at > 0 && bits[at] > 0 {
                    size = size.min((1 << bits[at]) - 1);
                }
                (if product < 0 { -size } else { size }) as i16
            };
            let weights = if only_averages { &FROM_AVERAGES[..] } else { &BESIDE_OTHERS[..] };
            for (at, weights) in weights.iter().enumerate().skip(1) {
                let value = &mut quad.0[usize::from(ORDER[at]) + lane];
                if bits[at] != 0 && *value == 0 {
                    *value = estimate(at, weights);
                }
            }
            if only_averages {
                quad.0[lane] = estimate(0, &FROM_AVERAGES[0]);
            }
            if x == last || (x + 1).is_multiple_of(LANES as usize) {
                emit(x / LANES as usize, &quad);
            }
        }
    }
}
