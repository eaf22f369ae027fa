//! Lines whose letters' heights and number are known.

use super::super::{Line, estimate};
use super::Random;
use super::letters::{ROWS, Sheet, X_HEIGHT};
use crate::source::PixelView;

const SENTENCES: [&str; 3] =
    ["the stone house had eight red doors and no one else", "so the bold hens ate corn", "glad to be out there again"];
const LETTERS: [usize; 3] = [40, 20, 21];

fn read(sheet: &Sheet) -> Vec<Line> {
    estimate(&PixelView::packed(&sheet.data, sheet.size).unwrap()).unwrap()
}

/// A page of the sentences, and where the first letter of each has its top.
fn page(scale: usize, ink: u8, paper: u8) -> (Sheet, Vec<usize>) {
    let mut sheet = Sheet::new((260 * scale) as u32, (80 * scale) as u32, paper);
    let tops: Vec<usize> = (0..3).map(|line| (10 + 20 * line) * scale).collect();
    for (sentence, &top) in SENTENCES.iter().zip(&tops) {
        sheet.write(&sentence.replace('i', "l"), 8 * scale, top, scale, ink);
    }
    (sheet, tops)
}

#[test]
fn x_heights_of_drawn_letters_are_exact() {
    for scale in [1, 2, 3, 5, 8] {
        let (sheet, tops) = page(scale, 20, 240);
        let lines = read(&sheet);
        assert_eq!(lines.len(), 3, "scale {scale}");
        let mut found: Vec<(f32, f32)> = lines.iter().map(|line| (line.y0, line.x_height)).collect();
        found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let expected: Vec<(f32, f32)> = tops.iter().map(|&top| (top as f32, (X_HEIGHT * scale) as f32)).collect();
        assert_eq!(found, expected, "scale {scale}");
    }
}

#[test]
fn letters_are_counted_within_a_fifth() {
    let mut lines = read(&page(3, 0, 255).0);
    lines.sort_unstable_by(|a, b| a.y0.total_cmp(&b.y0));
    for (line, letters) in lines.iter().zip(LETTERS) {
        assert!((line.characters / letters as f32 - 1.0).abs() < 0.2, "{} of {letters}", line.characters);
        assert!(!line.is_dense);
    }
}

#[test]
fn dark_pages_are_read_as_light_ones() {
    let sorted = |ink, paper| {
        let mut lines = read(&page(2, ink, paper).0);
        lines.sort_unstable_by(|a, b| a.y0.total_cmp(&b.y0));
        lines
    };
    let light = sorted(0, 255);
    assert_eq!(light.len(), 3);
    assert_eq!(sorted(255, 0), light);
    assert_eq!(sorted(200, 40), light);
    assert_eq!(sorted(150, 110), light);
}

#[test]
fn letters_that_are_too_large_are_found_in_a_smaller_image() {
    // Capitals of 7 * 16 = 112 pixels are above the largest letter; in half the size they are not.
    let mut sheet = Sheet::new(3400, 1000, 255);
    for line in 0..3 {
        sheet.write("the stone house had", 60, 60 + 300 * line, 16, 0);
    }
    let lines = read(&sheet);
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert_eq!(line.x_height, 80.0);
        assert_eq!(line.y1 - line.y0, 112.0);
    }
}

#[test]
fn capitals_count_as_their_small_letters() {
    let mut sheet = Sheet::new(1000, 80, 255);
    sheet.write("THE HOUSE TUESO SHOES THUS OUTHOUSE", 20, 20, 3, 0);
    let lines = read(&sheet);
    assert_eq!(lines.len(), 1);
    // 0.72 of 21 pixels is what "x" would have.
    assert_eq!(lines[0].x_height, 0.72 * 21.0);
    assert!((lines[0].characters / 30.0 - 1.0).abs() < 0.25, "{}", lines[0].characters);
}

#[test]
fn figures_are_no_square_characters() {
    // As many strokes across as Han has, two in nearly each row of a narrow digit.
    let mut sheet = Sheet::new(800, 80, 255);
    sheet.write("80806 98088 06880 98086 88000", 20, 20, 3, 0);
    let lines = read(&sheet);
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].is_dense);
    assert_eq!(lines[0].x_height, 0.72 * 21.0);
}

#[test]
fn characters_that_fill_squares_are_dense() {
    let mut sheet = Sheet::new(900, 80, 255);
    sheet.write("田用冊曲田冊用田曲冊用田用冊田曲田用冊曲", 20, 20, 4, 0);
    let lines = read(&sheet);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].is_dense);
    assert_eq!(lines[0].x_height, 0.5 * 28.0);
    assert!((lines[0].characters / 20.0 - 1.0).abs() < 0.2, "{}", lines[0].characters);
}

#[test]
fn noise_takes_a_pixel_or_two() {
    let (mut sheet, _) = page(3, 40, 220);
    let mut random = Random(3);
    for pixel in sheet.data.chunks_exact_mut(3) {
        let level = f32::from(pixel[0]) + 20.0 * random.normal();
        pixel.fill(level.clamp(0.0, 255.0) as u8);
    }
    let lines = read(&sheet);
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert!((line.x_height - 15.0).abs() <= 2.0, "{}", line.x_height);
    }
}

#[test]
fn a_line_that_leans_by_a_degree_keeps_its_height() {
    // Each column one row lower after 57 others.
    let (level, _) = page(3, 0, 255);
    let mut sheet = Sheet::new(level.size.width, level.size.height + 16, 255);
    let width = level.size.width as usize;
    for (at, pixel) in level.data.chunks_exact(3).enumerate() {
        sheet.set(at % width, at / width + at % width / 57, pixel[0]);
    }
    let lines = read(&sheet);
    assert_eq!(lines.len(), 3);
    for line in lines {
        assert!((line.x_height - 15.0).abs() <= 1.0, "{}", line.x_height);
    }
}

#[test]
fn twelve_letters_are_text_and_a_few_are_not() {
    let read = |text: &str| {
        let mut sheet = Sheet::new(400, 60, 255);
        sheet.write(text, 20, 20, 2, 0);
        read(&sheet).len()
    };
    assert_eq!(read("the stone house"), 1);
    assert_eq!(read("the"), 0);
}

#[test]
fn patterns_are_not_text() {
    let drawn = |is_ink: &dyn Fn(usize, usize) -> bool| {
        let mut sheet = Sheet::new(640, 480, 255);
        for at in 0..640 * 480 {
            if is_ink(at % 640, at / 640) {
                sheet.set(at % 640, at / 640, 0);
            }
        }
        read(&sheet).len()
    };
    let distance = |x: usize, y: usize| ((x as f32 - 320.0).powi(2) + (y as f32 - 240.0).powi(2)).sqrt();
    assert_eq!(drawn(&|_, _| false), 0, "paper");
    assert_eq!(drawn(&|x, y| (x / 8 + y / 8) % 2 == 0), 0, "a checkerboard");
    assert_eq!(drawn(&|_, y| y % 12 < 4), 0, "stripes");
    assert_eq!(drawn(&|x, _| x % 12 < 4), 0, "blinds");
    assert_eq!(drawn(&|x, y| x % 40 < 2 || y % 24 < 2), 0, "rules of a table");
    assert_eq!(drawn(&|x, y| distance(x, y) % 14.0 < 4.0), 0, "rings");
    let mut random = Random(11);
    let mut leaves = Sheet::new(640, 480, 255);
    for _ in 0..900 {
        let (left, top, side) = (random.below(634) as usize, random.below(474) as usize, 1 + random.below(6) as usize);
        for pixel in 0..side * side {
            leaves.set(left + pixel % side, top + pixel / side, 0);
        }
    }
    assert_eq!(read(&leaves).len(), 0, "leaves");
}

#[test]
fn lines_lie_where_they_were_written() {
    let mut sheet = Sheet::new(900, 200, 255);
    let end = sheet.write("the stone house had no doors", 40, 30, 3, 0);
    let other = sheet.write("so the old hens ate corn", 100, 120, 2, 0);
    let mut lines = read(&sheet);
    lines.sort_unstable_by(|a, b| a.y0.total_cmp(&b.y0));
    let boxes: Vec<[f32; 4]> = lines.iter().map(|line| [line.x0, line.y0, line.x1, line.y1]).collect();
    // No letter of either goes below the line: 7 rows of 9.
    let rows = ROWS - 2;
    assert_eq!(
        boxes,
        [
            [40.0, 30.0, (end - 3) as f32, (30 + rows * 3) as f32],
            [100.0, 120.0, (other - 2) as f32, (120 + rows * 2) as f32],
        ]
    );
    assert_eq!(lines.iter().map(|line| line.x_height).collect::<Vec<_>>(), [15.0, 10.0]);
}
