//! Connected ink beside a flood fill.

use super::super::components::{self, Component, Ink};
use super::super::ink::{Gray, Thresholds};
use super::{Random, picture};

fn find(gray: &Gray) -> Ink {
    components::find(gray, &Thresholds::new(gray).unwrap(), usize::MAX).unwrap().unwrap()
}

fn corners(component: &Component) -> [u32; 4] {
    [component.x0, component.y0, component.x1, component.y1]
}

#[test]
fn corners_join_and_gaps_part() {
    let gray = picture(
        &[
            "..........................................",
            ".#.....#....####............###...........",
            "..#....#....#..#...........#...#..........",
            "...#...#....#..#..........#.....#.........",
            ".......##########.........................",
            "..........................#.....#.........",
            "..........................#######.........",
            "..........................................",
        ],
        0,
        255,
    );
    let ink = find(&gray);
    let found: Vec<_> = ink.components.iter().map(|one| (corners(one), one.area, one.runs)).collect();
    assert_eq!(
        found,
        [
            // A diagonal.
            ([1, 1, 4, 4], 3, 3),
            // A stroke and an arch that meet in the last row alone: 1 + 1 + 1 and 4 + 2 + 2 pixels above 10.
            ([7, 1, 17, 5], 21, 9),
            // An arch over the edge between two blocks of 32 pixels.
            ([26, 1, 33, 4], 7, 5),
            ([26, 5, 33, 7], 9, 3),
        ]
    );
    assert_eq!(ink.components[0].stroke(), 1.0);
    assert_eq!(ink.components[1].fill(), 21.0 / 40.0);
}

/// Box and area of each component by a flood fill from its first pixel in reading order.
fn flooded(gray: &Gray) -> Vec<([u32; 4], u32)> {
    let mut left: Vec<bool> = gray.data.iter().map(|&pixel| pixel == 0).collect();
    let mut found = Vec::new();
    for start in 0..left.len() {
        if !left[start] {
            continue;
        }
        let (mut corners, mut area, mut open) = ([u32::MAX, u32::MAX, 0, 0], 0, vec![start]);
        left[start] = false;
        while let Some(at) = open.pop() {
            let (x, y) = (at % gray.width, at / gray.width);
            area += 1;
            let (column, row) = (x as u32, y as u32);
            corners =
                [corners[0].min(column), corners[1].min(row), corners[2].max(column + 1), corners[3].max(row + 1)];
            for near_y in y.saturating_sub(1)..(y + 2).min(gray.height) {
                for near_x in x.saturating_sub(1)..(x + 2).min(gray.width) {
                    let near = near_y * gray.width + near_x;
                    if std::mem::take(&mut left[near]) {
                        open.push(near);
                    }
                }
            }
        }
        found.push((corners, area));
    }
    found
}

#[test]
fn as_a_flood_fill_finds_them() {
    let mut random = Random(7);
    let mut many = 0;
    for (width, height) in [(1, 1), (1, 70), (70, 1), (31, 40), (32, 40), (33, 40), (64, 64), (97, 130)] {
        // Ink is the rarer side in every block: from single dots to networks that hang together over many blocks.
        for percent in [3, 20, 34, 42] {
            let data = (0..width * height).map(|_| if random.below(100) < percent { 0 } else { 255 }).collect();
            let gray = Gray { width, height, data };
            let mut found: Vec<_> = find(&gray).components.iter().map(|one| (corners(one), one.area)).collect();
            let mut expected = flooded(&gray);
            if expected.iter().map(|one| one.1).sum::<u32>() * 2 > (width * height) as u32 {
                continue;
            }
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{width}x{height}, {percent} %");
            many += expected.len();
        }
    }
    assert!(many > 2000, "{many} components are few");
}

#[test]
fn an_image_of_more_runs_than_asked_for_is_given_up() {
    let gray = picture(&["#.#.#...", "........", "#......."], 0, 255);
    let thresholds = Thresholds::new(&gray).unwrap();
    assert_eq!(components::find(&gray, &thresholds, 4).unwrap().unwrap().runs.len(), 4);
    assert!(components::find(&gray, &thresholds, 3).unwrap().is_none());
}

#[test]
fn many_specks_are_noise_and_dots_of_letters_are_not() {
    let page = |specks: usize, letters: usize| {
        let mut gray = Gray { width: 900, height: 300, data: vec![255; 900 * 300] };
        for speck in 0..specks {
            gray.data[(2 + 3 * (speck / 150)) * 900 + 3 * (speck % 150) + 2] = 0;
        }
        for letter in 0..letters {
            for row in 200..206 {
                gray.data[row * 900 + 3 * letter + 2] = 0;
            }
        }
        find(&gray).is_noisy()
    };
    assert!(page(600, 100));
    assert!(!page(400, 100), "500 specks may be dots");
    assert!(!page(600, 250), "a page of so many letters may have 600 dots");
}
