//! Decoding of TIFF files, of either order of bytes, and of BigTIFF.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmres_fuzz::decode::{check, signed};

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| {
    let known: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];
    let signature = known.into_iter().find(|signature| data.starts_with(signature)).unwrap_or(known[0]);
    if let Some(data) = signed(data, signature) {
        check(&data);
    }
});
