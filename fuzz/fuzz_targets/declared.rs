//! Files of a few bytes that declare much: what decoding them takes is foretold, within limits, and not out of proportion.

#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use vlmres::limits::Limits;
use vlmres::source::Header;
use vlmres_fuzz::{cost, declared, decode};

/// As published, but for memory.
const MOST_BYTES: u64 = 256 << 20;

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| {
    let Ok(file) = declared::file(&mut Unstructured::new(data)) else { return };
    let limits = Limits { decoded_bytes: MOST_BYTES, ..Limits::default() };
    let Ok(header) = Header::of(&file) else { return };
    if header.check(&limits, 0).is_err() {
        return;
    }
    // Memory of decoded images is kept for the next.
    vlmres::source::trim();
    let decoded = cost::bounded(cost::CPU_SECONDS, || decode::foretold(&header, &file));
    if let Ok(decoded) = decoded {
        assert_eq!(Some(decoded.size()), header.size().ok());
    }
});
