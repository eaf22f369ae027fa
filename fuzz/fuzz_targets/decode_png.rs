//! Decoding of PNG files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmres_fuzz::decode::{check, with_checksums};

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| {
    if let Some(data) = with_checksums(data) {
        check(&data);
    }
});
