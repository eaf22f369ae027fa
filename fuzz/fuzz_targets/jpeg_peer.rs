//! JPEG beside Pillow's libjpeg-turbo, driven as Pillow drives it: the same pixels, and none where it refuses.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use vlmres::source::Encoded;
use vlmres_fuzz::decode::{LIMITS, signed};
use vlmres_fuzz::jpeg_peer::{self, Peer};

fuzz_target!(init: { vlmres_fuzz::init(); jpeg_peer::init() }, |data: &[u8]| -> Corpus {
    let Some(data) = signed(data, &[0xff, 0xd8, 0xff]) else { return Corpus::Reject };
    // Orientation is another target's.
    if data.windows(4).any(|bytes| bytes == b"Exif") {
        return Corpus::Reject;
    }
    let Ok(ours) = Encoded::Bytes(&data).decode(&LIMITS) else { return Corpus::Keep };
    let size = ours.size();
    match jpeg_peer::read(&data, LIMITS.image_pixels as usize) {
        Peer::Pixels(width, height, channels, pixels) => {
            assert_eq!((width, height), (size.width as usize, size.height as usize), "another size");
            let ours = ours.into_bytes();
            match channels {
                1 => assert!(ours.chunks_exact(3).zip(&pixels).all(|(rgb, gray)| rgb == [*gray; 3]), "other grays"),
                3 => assert!(ours == pixels, "other pixels"),
                // Inks become RGB by Pillow's arithmetic, not libjpeg's.
                _ => {}
            }
        }
        Peer::Refused => panic!("decoded what libjpeg-turbo refuses"),
        Peer::TooLarge => panic!("decoded what is larger than it may be"),
    }
    Corpus::Keep
});
