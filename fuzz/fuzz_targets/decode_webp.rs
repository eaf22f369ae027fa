//! Decoding of WebP files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmres_fuzz::decode::check;

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| {
    if data.len() < 12 {
        return;
    }
    let mut data = data.to_vec();
    let length = data.len() as u32 - 8;
    data[..4].copy_from_slice(b"RIFF");
    data[4..8].copy_from_slice(&length.to_le_bytes());
    data[8..12].copy_from_slice(b"WEBP");
    check(&data);
});
