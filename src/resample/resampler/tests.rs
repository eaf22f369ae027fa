use super::*;
use crate::options::Backend;
use crate::source::{AlphaRule, Orientation, OwnedImage, PixelView, Strides, Turning};
use proptest::prelude::*;

const FILTERS: [Filter; 6] =
    [Filter::Nearest, Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos];

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    // Runs of extremes saturate sums; the rest is noise.
    (0..len)
        .map(|_| next())
        .map(|byte| {
            if byte < 96 {
                0
            } else if byte > 160 {
                255
            } else {
                byte
            }
        })
        .collect()
}

/// Rows of so many bytes, one after the other.
struct Collected(usize, Vec<u8>);

impl RowSink for Collected {
    fn row(&mut self, _: u32, make: &mut dyn FnMut(&mut [u8])) {
        let at = self.1.len();
        self.1.resize(at + self.0, 77);
        make(&mut self.1[at..]);
    }
}

fn run(resampler: &Resampler, mut source: PixelView<'_>, rows: Range<u32>, band: u32) -> Vec<u8> {
    let mut scratch = Scratch::default();
    let mut out = Collected(resampler.window.columns.len() * 3, Vec::new());
    let mut y = rows.start;
    while y < rows.end {
        let end = (y + band).min(rows.end);
        resampler.rows(&mut source, y..end, &mut scratch, &mut out).unwrap();
        y = end;
    }
    out.1
}

fn whole(to: Size) -> Window {
    Window { columns: 0..to.width, rows: 0..to.height }
}

fn arithmetic(index: usize) -> Arithmetic {
    ["pillow-13", "pillow-12", "pillow-11", "torch"][index].parse().unwrap()
}

fn exists(filter: Filter, arithmetic: Arithmetic) -> bool {
    arithmetic.backend == Backend::Pillow || !matches!(filter, Filter::Box | Filter::Hamming)
}

/// Every level of this machine against scalar, whole and in bands, from all ways in which pixels lie.
fn check_levels(from: Size, to: Size, filter: Filter, rule: Arithmetic, seed: u64, band: u32) {
    let data = noise(from.area() as usize * 3, seed);
    let source = PixelView::packed(&data, from).unwrap();
    let scalar =
        Resampler::at_level(Level::Scalar, source.size(), source.interleaving(), to, whole(to), filter, rule).unwrap();
    let expected = run(&scalar, source, 0..to.height, to.height);

    let (w, h) = (from.width as usize, from.height as usize);
    let planar: Vec<u8> = (0..3).flat_map(|c| data.iter().skip(c).step_by(3).copied()).collect();
    let planar_strides = Strides { y: w as isize, x: 1, channel: (w * h) as isize };
    let rgbx: Vec<u8> = data.chunks(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 99]).collect();
    let rgbx_strides = Strides { y: w as isize * 4, x: 4, channel: 1 };
    let bgr: Vec<u8> = data.chunks(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
    let bgr_strides = Strides { y: w as isize * 3, x: 3, channel: -1 };
    let view = |data, origin, strides| PixelView::new(data, origin, from, 3, strides, AlphaRule::Ignore).unwrap();
    let sources = [
        source,
        view(&planar, 0, planar_strides),
        view(&rgbx[..rgbx.len() - 1], 0, rgbx_strides),
        view(&bgr, 2, bgr_strides),
    ];
    for level in Level::available() {
        for source in sources {
            let resampler =
                Resampler::at_level(level, source.size(), source.interleaving(), to, whole(to), filter, rule).unwrap();
            for band in [to.height, band] {
                let got = run(&resampler, source, 0..to.height, band);
                let lie = source.interleaving();
                assert!(got == expected, "{level:?} {filter:?} {rule:?} {from:?} -> {to:?} {lie:?} in bands of {band}");
            }
        }
        let window = Window { columns: to.width / 3..to.width, rows: to.height / 4..to.height };
        let part =
            Resampler::at_level(level, source.size(), source.interleaving(), to, window.clone(), filter, rule).unwrap();
        let got = run(&part, source, window.rows.clone(), to.height);
        for (y, row) in window.rows.zip(got.chunks(window.columns.len() * 3)) {
            let start = ((y * to.width + window.columns.start) * 3) as usize;
            assert_eq!(row, &expected[start..start + row.len()], "{level:?} window of {from:?} -> {to:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn levels_bands_and_windows_agree(
        (w, h) in (1u32..90, 1u32..90), (tw, th) in (1u32..90, 1u32..90),
        seed in any::<u64>(), band in 1u32..40, which in 0usize..4, filter in 0usize..6,
    ) {
        let (filter, rule) = (FILTERS[filter], arithmetic(which));
        prop_assume!(exists(filter, rule));
        check_levels(Size::new(w, h), Size::new(tw, th), filter, rule, seed, band);
    }
}

const TURNS: [Orientation; 8] = [
    Orientation::Upright,
    Orientation::FlipX,
    Orientation::HalfTurn,
    Orientation::FlipY,
    Orientation::Transpose,
    Orientation::Clockwise,
    Orientation::Transverse,
    Orientation::Counterclockwise,
];

fn turned(image: &OwnedImage, lies: Orientation) -> OwnedImage {
    let (view, mut turning) = (image.view().unwrap(), Turning::new(image.size(), lies).unwrap());
    (0..image.size().height).for_each(|y| turning.row(y, &mut |row| view.copy_row(y, row)));
    turning.finish().unwrap()
}

/// An image that is resized as it is stored, and then turned, against the one that is turned first.
fn check_turns(stored: Size, to: Size, filter: Filter, rule: Arithmetic, seed: u64) {
    let image = OwnedImage::new(stored, noise(stored.area() as usize * 3, seed)).unwrap();
    for lies in TURNS {
        let upright = turned(&image, lies);
        let of = |level, image: &OwnedImage, to, rule| {
            let source = image.view().unwrap();
            let lie = source.interleaving();
            let resampler = Resampler::at_level(level, source.size(), lie, to, whole(to), filter, rule).unwrap();
            OwnedImage::new(to, run(&resampler, source, 0..to.height, to.height)).unwrap()
        };
        let expected = of(Level::Scalar, &upright, to, rule);
        for level in Level::available() {
            let made = of(level, &image, lies.turned(to), rule.lying(lies));
            let same = turned(&made, lies) == expected;
            assert!(same, "{level:?} {filter:?} {rule:?} {stored:?}, {lies:?} -> {to:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn an_image_may_be_turned_before_or_afterwards(
        (w, h) in (1u32..70, 1u32..70), (tw, th) in (1u32..70, 1u32..70),
        seed in any::<u64>(), which in 0usize..4, filter in 0usize..6,
    ) {
        let (filter, rule) = (FILTERS[filter], arithmetic(which));
        prop_assume!(exists(filter, rule));
        check_turns(Size::new(w, h), Size::new(tw, th), filter, rule, seed);
    }
}

/// Pillow's orders of passes differ for these, and depend on which side is the longer.
#[test]
fn long_images_may_be_turned_before_or_afterwards() {
    for (from, to) in [((3, 700), (9, 5)), ((700, 3), (5, 9)), ((40, 300), (38, 20)), ((300, 40), (20, 38))] {
        for which in 0..4 {
            let (from, to) = (Size::new(from.0, from.1), Size::new(to.0, to.1));
            check_turns(from, to, Filter::Bicubic, arithmetic(which), 11);
        }
    }
}

#[test]
fn extreme_ratios_agree_at_every_level() {
    for (from, to) in [
        ((3000, 7), (11, 5)),
        ((7, 3000), (5, 11)),
        ((1, 1), (700, 3)),
        ((1, 900), (1, 2)),
        ((1025, 33), (4, 33)),
        ((33, 1025), (33, 4)),
        ((2000, 16), (1, 1)),
        ((17, 5), (1000, 4)),
    ] {
        for which in 0..4 {
            for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
                let (from, to) = (Size::new(from.0, from.1), Size::new(to.0, to.1));
                check_levels(from, to, filter, arithmetic(which), 7, 3);
            }
        }
    }
}

#[test]
fn a_flat_image_stays_flat() {
    let data = vec![200u8; 50 * 40 * 3];
    let (from, to) = (Size::new(50, 40), Size::new(17, 90));
    for which in 0..4 {
        for filter in [Filter::Bilinear, Filter::Bicubic, Filter::Lanczos] {
            let source = PixelView::packed(&data, from).unwrap();
            let resampler =
                Resampler::new(source.size(), source.interleaving(), to, whole(to), filter, arithmetic(which)).unwrap();
            assert!(run(&resampler, source, 0..90, 90).iter().all(|&value| value == 200));
        }
    }
}

/// A side that has more weights than are kept against the same picture, of which a part is kept.
#[test]
fn streamed_weights_are_the_same() {
    let wide = Size::new(300_000, 2);
    let data = noise(wide.area() as usize * 3, 5);
    for (which, gray) in [(0, false), (3, true)] {
        let strides = if gray { Strides { y: 3, x: 1, channel: 0 } } else { Strides { y: 900_000, x: 3, channel: 1 } };
        let channels = if gray { 1 } else { 3 };
        let source = PixelView::new(&data, 0, wide, channels, strides, AlphaRule::Ignore).unwrap();
        let tall_strides = Strides { y: strides.x, x: strides.y, channel: strides.channel };
        let tall = PixelView::new(&data, 0, wide.transposed(), channels, tall_strides, AlphaRule::Ignore).unwrap();
        for (source, to) in [(source, Size::new(5, 3)), (tall, Size::new(3, 5))] {
            let all =
                Resampler::new(source.size(), source.interleaving(), to, whole(to), Filter::Bicubic, arithmetic(which))
                    .unwrap();
            let expected = run(&all, source, 0..to.height, to.height);
            assert!(matches!(
                &all.passes,
                Passes::HorizontalVertical(across, down) | Passes::VerticalHorizontal(across, down)
                    if matches!(**across, Horizontal::Streamed(_)) || matches!(**down, Vertical::Streamed(_))
            ));
            // Windows of one output have weights few enough.
            for (x, y) in [(0, 0), (to.width - 1, to.height - 1)] {
                let window = Window { columns: x..x + 1, rows: y..y + 1 };
                let one = Resampler::new(
                    source.size(),
                    source.interleaving(),
                    to,
                    window.clone(),
                    Filter::Bicubic,
                    arithmetic(which),
                )
                .unwrap();
                let at = ((y * to.width + x) * 3) as usize;
                assert_eq!(run(&one, source, window.rows, 1), expected[at..at + 3], "{to:?} {x} {y}");
            }
        }
    }
}

#[test]
fn too_many_weights_and_rows_between_are_refused() {
    let data = [0; 3];
    let none = Strides { y: 0, x: 0, channel: 1 };
    let resize = |from: Size, to: Size, rule| {
        let source = PixelView::new(&data, 0, from, 3, none, AlphaRule::Ignore).unwrap();
        Resampler::new(source.size(), source.interleaving(), to, whole(to), Filter::Bicubic, rule).map(|_| ())
    };
    let [pillow, torch] = [arithmetic(0), arithmetic(3)];
    let long = Size::new(178_956_970, 1);
    assert!(matches!(resize(long, Size::new(384, 384), pillow), Err(Error::Weights { input: 178_956_970, .. })));
    let tall = Size::new(1, 20_000_000);
    assert!(matches!(resize(tall, Size::new(384, 384), torch), Err(Error::Canvas { height: 20_000_000, .. })));
}
