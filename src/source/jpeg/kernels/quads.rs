//! The inverse transform of four blocks at once, written once for vectors of 256 and of 512 bits: a row of a block to 128 bits.

use super::scalar::{
    F_0_298, F_0_390, F_0_541, F_0_765, F_0_899, F_1_175, F_1_501, F_1_847, F_1_961, F_2_053, F_2_562, F_3_072,
};

/// Two factors for pairs of 16 bits.
pub(super) const fn pair(a: i32, b: i32) -> i32 {
    b << 16 | (a & 0xffff)
}

/// The factors of one dimension. Those of outputs that are differences come negated where sums are accumulated.
pub(super) const EVEN: [i32; 2] = [pair(F_0_541 + F_0_765, F_0_541), pair(F_0_541, F_0_541 - F_1_847)];
pub(super) const Z: [i32; 2] = [pair(F_1_175 - F_1_961, F_1_175), pair(F_1_175, F_1_175 - F_0_390)];
pub(super) const IN_71: [i32; 2] = [pair(-F_0_899, F_1_501 - F_0_899), pair(F_0_298 - F_0_899, -F_0_899)];
pub(super) const IN_53: [i32; 2] = [pair(-F_2_562, F_3_072 - F_2_562), pair(F_2_053 - F_2_562, -F_2_562)];
/// The same where inputs 4 to 7 are zero: of inputs 0 and 2, and of 1 and 3.
pub(super) const EVEN_OF_FOUR: [i32; 4] =
    [pair(8192, F_0_541 + F_0_765), pair(8192, F_0_541), pair(8192, -F_0_541), pair(8192, -F_0_541 - F_0_765)];
pub(super) const ODD_OF_FOUR: [i32; 4] = [
    pair(F_1_501 - F_0_899 + F_1_175 - F_0_390, F_1_175),
    pair(F_1_175, F_3_072 - F_2_562 + F_1_175 - F_1_961),
    pair(F_1_175 - F_0_390, F_1_175 - F_2_562),
    pair(F_1_175 - F_0_899, F_1_175 - F_1_961),
];

/// Defines `one_dimension`, `of_four`, `half_of_four`, `transpose`, `transpose_half` and `to_bytes` of an instruction set, from
/// its type and its operations.
macro_rules! quads {
    (
        $features:literal, $vector:ty, $set16:ident, $set32:ident, $zero:ident, $add8:ident, $add16:ident, $sub16:ident, $add32:ident,
        $sub32:ident, $madd_add:ident, $madd:ident, $shift_right:ident, $pack32:ident, $pack16:ident, $low8:ident,
        $high8:ident, $low16:ident, $high16:ident, $low32:ident, $high32:ident, $low64:ident, $high64:ident
    ) => {
        /// As `scalar::one_dimension`, of a row or column of each block.
        #[inline]
        #[target_feature(enable = $features)]
        fn one_dimension<const SHIFT: i32>(rows: [$vector; 8]) -> [$vector; 8] {
            let zero = $zero();
            let round = $set32(1 << (SHIFT - 1));
            let sum = $add16(rows[0], rows[4]);
            let difference = $sub16(rows[0], rows[4]);
            let (z3, z4) = ($add16(rows[7], rows[3]), $add16(rows[5], rows[1]));
            let half = |sum, difference, in26, z34, in71, in53| {
                let tmp0 = $add32($shift_right::<3>(sum), round);
                let tmp1 = $add32($shift_right::<3>(difference), round);
                let tmp3 = $madd(in26, $set32(EVEN[0]));
                let tmp2 = $madd(in26, $set32(EVEN[1]));
                let even = [$add32(tmp0, tmp3), $add32(tmp1, tmp2), $sub32(tmp1, tmp2), $sub32(tmp0, tmp3)];
                let z3 = $madd(z34, $set32(Z[0]));
                let z4 = $madd(z34, $set32(Z[1]));
                let odd = [
                    $madd_add(z4, in71, $set32(IN_71[0])),
                    $madd_add(z3, in53, $set32(IN_53[0])),
                    $madd_add(z4, in53, $set32(IN_53[1])),
                    $madd_add(z3, in71, $set32(IN_71[1])),
                ];
                outputs::<SHIFT>(even, odd)
            };
            let low = half(
                $low16(zero, sum),
                $low16(zero, difference),
                $low16(rows[2], rows[6]),
                $low16(z3, z4),
                $low16(rows[7], rows[1]),
                $low16(rows[5], rows[3]),
            );
            let high = half(
                $high16(zero, sum),
                $high16(zero, difference),
                $high16(rows[2], rows[6]),
                $high16(z3, z4),
                $high16(rows[7], rows[1]),
                $high16(rows[5], rows[3]),
            );
            join(low, high)
        }

        /// Sums and differences, of which the rounding is in the even part.
        #[inline]
        #[target_feature(enable = $features)]
        fn outputs<const SHIFT: i32>(even: [$vector; 4], odd: [$vector; 4]) -> [$vector; 8] {
            [
                $shift_right::<SHIFT>($add32(even[0], odd[0])),
                $shift_right::<SHIFT>($add32(even[1], odd[1])),
                $shift_right::<SHIFT>($add32(even[2], odd[2])),
                $shift_right::<SHIFT>($add32(even[3], odd[3])),
                $shift_right::<SHIFT>($sub32(even[3], odd[3])),
                $shift_right::<SHIFT>($sub32(even[2], odd[2])),
                $shift_right::<SHIFT>($sub32(even[1], odd[1])),
                $shift_right::<SHIFT>($sub32(even[0], odd[0])),
            ]
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn join(low: [$vector; 8], high: [$vector; 8]) -> [$vector; 8] {
            [
                $pack32(low[0], high[0]),
                $pack32(low[1], high[1]),
                $pack32(low[2], high[2]),
                $pack32(low[3], high[3]),
                $pack32(low[4], high[4]),
                $pack32(low[5], high[5]),
                $pack32(low[6], high[6]),
                $pack32(low[7], high[7]),
            ]
        }

        /// One dimension where inputs 4 to 7 are zero, of inputs 0 and 2, and 1 and 3, side by side.
        #[inline]
        #[target_feature(enable = $features)]
        fn half_of_four<const SHIFT: i32>(in02: $vector, in13: $vector) -> [$vector; 8] {
            let round = $set32(1 << (SHIFT - 1));
            let even = [
                $madd_add(round, in02, $set32(EVEN_OF_FOUR[0])),
                $madd_add(round, in02, $set32(EVEN_OF_FOUR[1])),
                $madd_add(round, in02, $set32(EVEN_OF_FOUR[2])),
                $madd_add(round, in02, $set32(EVEN_OF_FOUR[3])),
            ];
            let odd = [
                $madd(in13, $set32(ODD_OF_FOUR[0])),
                $madd(in13, $set32(ODD_OF_FOUR[1])),
                $madd(in13, $set32(ODD_OF_FOUR[2])),
                $madd(in13, $set32(ODD_OF_FOUR[3])),
            ];
            outputs::<SHIFT>(even, odd)
        }

        /// The same of whole rows.
        #[inline]
        #[target_feature(enable = $features)]
        fn of_four<const SHIFT: i32>(rows: [$vector; 4]) -> [$vector; 8] {
            let low = half_of_four::<SHIFT>($low16(rows[0], rows[2]), $low16(rows[1], rows[3]));
            let high = half_of_four::<SHIFT>($high16(rows[0], rows[2]), $high16(rows[1], rows[3]));
            join(low, high)
        }

        /// Rows to columns.
        #[inline]
        #[target_feature(enable = $features)]
        fn transpose(r: [$vector; 8]) -> [$vector; 8] {
            let (a, b, c, d) = ($low16(r[0], r[1]), $low16(r[2], r[3]), $low16(r[4], r[5]), $low16(r[6], r[7]));
            let (e, f, g, h) = ($high16(r[0], r[1]), $high16(r[2], r[3]), $high16(r[4], r[5]), $high16(r[6], r[7]));
            let (i, j, k, l) = ($low32(a, b), $high32(a, b), $low32(c, d), $high32(c, d));
            let (m, n, o, p) = ($low32(e, f), $high32(e, f), $low32(g, h), $high32(g, h));
            [
                $low64(i, k),
                $high64(i, k),
                $low64(j, l),
                $high64(j, l),
                $low64(m, o),
                $high64(m, o),
                $low64(n, p),
                $high64(n, p),
            ]
        }

        /// Eight rows of four numbers of 32 bits to four columns of eight of 16 bits.
        #[inline]
        #[target_feature(enable = $features)]
        fn transpose_half(r: [$vector; 8]) -> [$vector; 4] {
            let (a, b, c, d) = ($pack32(r[0], r[4]), $pack32(r[1], r[5]), $pack32(r[2], r[6]), $pack32(r[3], r[7]));
            let (e, f, g, h) = ($low16(a, b), $low16(c, d), $high16(a, b), $high16(c, d));
            let (i, j, k, l) = ($low32(e, f), $high32(e, f), $low32(g, h), $high32(g, h));
            [$low64(i, k), $high64(i, k), $low64(j, l), $high64(j, l)]
        }

        /// Columns of 16 bits to rows of bytes: of each block, rows 0 and 1, 2 and 3, 4 and 5, 6 and 7.
        #[inline]
        #[target_feature(enable = $features)]
        fn to_bytes(c: [$vector; 8]) -> [$vector; 4] {
            let (a, b, d, e) = ($pack16(c[0], c[4]), $pack16(c[1], c[5]), $pack16(c[2], c[6]), $pack16(c[3], c[7]));
            let (f, g, h, i) = ($low8(a, b), $high8(a, b), $low8(d, e), $high8(d, e));
            let (j, k, l, m) = ($low16(f, h), $high16(f, h), $low16(g, i), $high16(g, i));
            let rows = [$low32(j, l), $high32(j, l), $low32(k, m), $high32(k, m)];
            let middle = $set16(i16::from_ne_bytes([128, 128]));
            [$add8(rows[0], middle), $add8(rows[1], middle), $add8(rows[2], middle), $add8(rows[3], middle)]
        }
    };
}
pub(super) use quads;
