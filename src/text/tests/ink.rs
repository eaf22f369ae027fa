//! Thresholds and smaller pictures.

use super::super::ink::{BLOCK, Gray, Thresholds};
use super::Random;

fn masks(gray: &Gray, y: usize) -> Vec<u32> {
    let mut found = vec![0; gray.width.div_ceil(BLOCK)];
    Thresholds::new(gray).unwrap().masks(gray, y, &mut found);
    found
}

/// A picture of `paper` with a bar of `ink` in the columns from 30 to 34.
fn bar(ink: u8, paper: u8) -> Gray {
    let row: Vec<u8> = (0..70).map(|x| if (30..34).contains(&x) { ink } else { paper }).collect();
    Gray { width: 70, height: 40, data: row.repeat(40) }
}

#[test]
fn ink_is_the_rarer_side_dark_or_light() {
    // Columns 30 and 31 are the last bits of the first block, 32 and 33 the first of the second.
    let expected = [0b11 << 30, 0b11, 0];
    for (ink, paper) in [(0, 255), (255, 0), (120, 200), (200, 120), (90, 111), (254, 230)] {
        assert_eq!(masks(&bar(ink, paper), 39), expected, "{ink} on {paper}");
    }
}

#[test]
fn what_hardly_differs_from_the_paper_is_none() {
    for (ink, paper) in [(200, 200), (196, 208), (255, 243)] {
        assert_eq!(masks(&bar(ink, paper), 5), [0, 0, 0], "{ink} on {paper}");
    }
}

#[test]
fn noise_has_no_ink() {
    let mut random = Random(1);
    let data = (0..200 * 100).map(|_| (128.0 + 25.0 * random.normal()).clamp(0.0, 255.0) as u8).collect();
    let gray = Gray { width: 200, height: 100, data };
    assert!((0..100).all(|y| masks(&gray, y).iter().all(|&mask| mask == 0)));
}

#[test]
fn paper_may_be_darker_in_one_corner_than_ink_in_another() {
    // From 250 at the left to 150 at the right; ink is 50 levels darker, in every 16th column.
    let row: Vec<u8> = (0..1920u32).map(|x| (250 - 100 * x / 1920 - if x % 16 == 5 { 50 } else { 0 }) as u8).collect();
    let gray = Gray { width: 1920, height: 64, data: row.repeat(64) };
    assert!(gray.data[5] > gray.data[1919], "the first ink is lighter than the last paper");
    assert_eq!(masks(&gray, 20), [1 << 5 | 1 << 21; 60]);
}

#[test]
fn means_of_neighbours_and_of_squares() {
    let mut gray = Gray { width: 5, height: 4, data: vec![0; 20] };
    gray.data[2 * 5 + 2] = 90;
    let smoothed = gray.smoothed().unwrap();
    // The outermost pixels stay as they were.
    assert_eq!(smoothed.data, [0, 0, 0, 0, 0, 0, 10, 10, 10, 0, 0, 10, 10, 10, 0, 0, 0, 0, 0, 0]);
    let reduced = gray.reduced(2).unwrap();
    // 90 / 4; the fifth column is dropped.
    assert_eq!((reduced.width, reduced.height, reduced.data), (2, 2, vec![0, 0, 0, 22]));
    assert!(gray.reduced(8).unwrap().data.is_empty());
}
