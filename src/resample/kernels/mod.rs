//! Inner loops, one file per instruction set, the same names in each.

pub(super) mod scalar;
