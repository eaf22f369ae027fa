use super::*;
use crate::options::{FloatArithmetic, Sampled};
use crate::simd::Level;
use crate::source::PixelView;

fn sampling(filter: Filter, antialias: bool) -> FloatResize {
    FloatResize { of: Sampled::Floats, filter, arithmetic: FloatArithmetic::Torch, antialias, corners: false }
}

fn image(size: Size) -> Vec<u8> {
    (0..size.area() * 3).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn whole(to: Size) -> Window {
    Window { columns: 0..to.width, rows: 0..to.height }
}

fn run(resampler: &FloatResampler, mut source: PixelView<'_>, rows: Range<u32>, band: u32) -> Vec<u32> {
    let mut scratch = FloatScratch::default();
    let mut out = Vec::new();
    for start in rows.clone().step_by(band as usize) {
        let end = rows.end.min(start + band);
        let mut emit = |_: u32, row: &[f32]| out.extend(row.iter().map(|value| value.to_bits()));
        resampler.rows(&mut source, start..end, &mut scratch, &mut emit).unwrap();
    }
    out
}

#[test]
fn levels_bands_and_windows_give_the_same_bits() {
    for (from, to) in
        [((1, 1), (5, 7)), ((33, 20), (20, 33)), ((64, 9), (17, 40)), ((200, 150), (31, 7)), ((90, 70), (100, 60))]
    {
        let (from, to) = (Size::new(from.0, from.1), Size::new(to.0, to.1));
        let data = image(from);
        let source = PixelView::packed(&data, from).unwrap();
        for (filter, antialias, corners, arithmetic) in [
            (Filter::Bilinear, false, false, FloatArithmetic::Torch),
            (Filter::Bilinear, false, true, FloatArithmetic::Torch),
            (Filter::Bilinear, true, false, FloatArithmetic::Torch),
            (Filter::Bicubic, false, false, FloatArithmetic::Torch),
            (Filter::Bicubic, true, false, FloatArithmetic::Torch),
            (Filter::Bicubic, false, false, FloatArithmetic::OpenCv),
        ] {
            let sampling = FloatResize { of: Sampled::Floats, filter, arithmetic, antialias, corners };
            let new = |level, window| FloatResampler::at_level(level, from, to, window, sampling, identity()).unwrap();
            let expected = run(&new(Level::Scalar, whole(to)), source, 0..to.height, to.height);
            for level in Level::available() {
                for band in [1, 3, to.height] {
                    assert!(
                        run(&new(level, whole(to)), source, 0..to.height, band) == expected,
                        "{level:?} {filter:?}"
                    );
                }
                let window = Window { columns: 1..to.width - 1, rows: 2..to.height };
                let rows = expected.chunks_exact(to.width as usize * 3).skip(2);
                let part: Vec<u32> = rows.flat_map(|row| row[3..row.len() - 3].to_vec()).collect();
                assert!(run(&new(level, window), source, 2..to.height, 4) == part, "{level:?} {filter:?}");
            }
        }
    }
}

#[test]
fn other_filters_are_refused() {
    let message = Axis::new(sampling(Filter::Lanczos, true), Direction::Across, 4, 2, &(0..2)).unwrap_err().to_string();
    assert!(message.contains("lanczos"), "{message}");
}

#[test]
fn weights_of_bytes_add_up_to_one() {
    let axis = Axis::new(sampling(Filter::Bicubic, false), Direction::Across, 10, 7, &(0..7)).unwrap();
    for output in 0..7 {
        let sum: f32 = axis.taps(output).0.iter().map(|tap| tap.weight).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }
}
