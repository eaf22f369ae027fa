//! Decoding of JPEG files.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmres_fuzz::decode::{check, signed};

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| {
    if let Some(data) = signed(data, &[0xff, 0xd8, 0xff]) {
        check(&data);
    }
});
