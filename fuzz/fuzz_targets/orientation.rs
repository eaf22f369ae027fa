//! EXIF data of any kind, in a JPEG and in a PNG: the same orientation, and pixels that are turned so.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use vlmres::source::Header;
use vlmres_fuzz::decode::crc32;

const JPEG: &[u8] = include_bytes!("../seeds/jpeg/gray");
const PNG: &[u8] = include_bytes!("../seeds/png/rgb");
/// Signature and header chunk of a PNG.
const HEAD: usize = 8 + 25;

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| -> Corpus {
    if data.len() > 60_000 {
        return Corpus::Reject;
    }
    let mut jpeg = JPEG[..2].to_vec();
    jpeg.extend([0xff, 0xe1]);
    jpeg.extend((data.len() as u16 + 8).to_be_bytes());
    jpeg.extend(b"Exif\0\0");
    jpeg.extend(data);
    jpeg.extend(&JPEG[2..]);
    let mut png = PNG[..HEAD].to_vec();
    let chunk = [b"eXIf", data].concat();
    png.extend((data.len() as u32).to_be_bytes());
    png.extend(&chunk);
    png.extend(crc32(&chunk).to_be_bytes());
    png.extend(&PNG[HEAD..]);
    let turned = [jpeg, png].map(|file| {
        let header = Header::of(&file).expect("EXIF data cannot spoil a file");
        let (stored, seen) = (header.stored_size().unwrap(), header.size().unwrap());
        let decoded = header.decode(&file, 1).expect("EXIF data cannot spoil a file's pixels");
        assert_eq!(decoded.size(), seen);
        assert!(stored.width != stored.height, "a square does not tell");
        seen != stored
    });
    assert_eq!(turned[0], turned[1], "a JPEG and a PNG are turned differently");
    Corpus::Keep
});
