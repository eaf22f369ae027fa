//! Headers of any format: what a size costs has nothing to do with what the image is like.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vlmres::source::{Encoded, Header, image_size};

/// As `src/source/decode.rs` allows for a header.
const MOST: usize = 96 << 20;

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| {
    let size = |exif| image_size(Encoded::Bytes(data), exif);
    let ((stored, seen), peak) = vlmres_fuzz::memory::peak(|| (size(false), size(true)));
    assert!(peak <= MOST, "a size took {peak} bytes");
    match (stored, seen) {
        (Ok(stored), Ok(seen)) => {
            assert!(seen == stored || seen == stored.transposed(), "{seen:?} of {stored:?}");
            let header = Header::of(data).expect("what has a size has a header");
            assert_eq!(header.stored_size().ok(), Some(stored));
        }
        (Err(_), Err(_)) => {}
        (stored, seen) => panic!("{stored:?} as stored, {seen:?} as seen"),
    }
});
