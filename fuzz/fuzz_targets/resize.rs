//! Resizes between sizes that no photo has: weights, the passes that are kept of them, and time are in proportion to the sides.

#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use vlmres::engine;
use vlmres::geometry::Size;
use vlmres::recipe::Filter;
use vlmres::source::{AlphaRule, PixelView, Strides};
use vlmres::threads::Threads;
use vlmres_fuzz::arbitrary::{side, size};
use vlmres_fuzz::{cost, memory};

/// Pixels of the sources of an input, which are all the same few bytes.
const MOST_SOURCE: u64 = 1 << SOURCE_BITS;
const SOURCE_BITS: u32 = 24;
/// Images of an input, each a column narrower than the one before.
const MOST_IMAGES: u32 = 32;
/// Bytes of passes that are kept (`src/resample/passes.rs`), and what they are found by.
const MOST_KEPT: usize = 33 << 20;
/// Pixels of a result.
const MOST_RESULT: u64 = 1 << 20;

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| {
    let _ = check(&mut Unstructured::new(data));
});

fn check(bytes: &mut Unstructured<'_>) -> Result<()> {
    let filters = [Filter::Bicubic, Filter::Lanczos, Filter::Bilinear, Filter::Hamming, Filter::Box, Filter::Nearest];
    let filter = *bytes.choose(&filters)?;
    let arithmetic = bytes.choose(&["pillow", "pillow-12", "pillow-11", "torch"])?.parse().expect("an arithmetic");
    let (width, height) = (side(bytes, SOURCE_BITS)?, side(bytes, SOURCE_BITS)?);
    let channels = *bytes.choose(&[3, 1, 4])?;
    let pixel: [u8; 4] = bytes.arbitrary()?;
    // Each image of a new size leaves passes behind.
    let (count, area) = if bytes.ratio(1, 4)? { (MOST_IMAGES, MOST_SOURCE / 8) } else { (1, MOST_SOURCE) };
    let each = area / u64::from(count);
    let to = size(bytes, 1 << 20, MOST_RESULT / u64::from(count))?;
    let width = u64::from(width).min(each) as u32;
    let height = u64::from(height).min(each / u64::from(width)) as u32;
    for less in 0..count.min(width) {
        let from = Size::new(width - less, height);
        let strides = Strides { y: 0, x: 0, channel: 1 };
        let view = PixelView::new(&pixel, 0, from, channels, strides, AlphaRule::Ignore).expect("the bytes of a pixel");
        let made = cost::bounded(cost::CPU_SECONDS, || engine::resize(view, to, filter, arithmetic, Threads::ONE));
        let Ok(made) = made else { break };
        assert_eq!(made.size(), to);
        if from == to && channels == 3 {
            assert!(made.into_bytes().chunks(3).all(|got| got == &pixel[..3]), "an image of the same size differs");
        }
    }
    if count > 1 {
        let used = memory::used();
        vlmres::resample::trim();
        let kept = used.saturating_sub(memory::used());
        assert!(kept <= MOST_KEPT, "{kept} bytes of passes are kept");
    }
    Ok(())
}
