use proptest::prelude::*;

use super::*;

const LIMITS: Load = Load { tokens: 100, items: 4, cost: 50.0 };

fn packs_of(packs: &Packs) -> Vec<Vec<i64>> {
    let starts = std::iter::once(0).chain(packs.ends.iter().copied());
    starts.zip(&packs.ends).map(|(start, &end)| packs.order[start as usize..end as usize].to_vec()).collect()
}

#[test]
fn a_sample_goes_to_the_pack_that_it_leaves_the_fullest() {
    let limits = Load { tokens: 10, items: i64::MAX, cost: f64::INFINITY };
    let samples = Samples { lengths: &[6, 5, 4, 5], items: None, costs: None };
    assert_eq!(packs_of(&online(samples, limits, &[0, 1, 2, 3], 8)), [vec![0, 2], vec![1, 3]]);
    // With one open pack it is next fit.
    assert_eq!(packs_of(&online(samples, limits, &[0, 1, 2, 3], 1)), [vec![0], vec![1, 2], vec![3]]);
}

#[test]
fn a_pack_that_is_full_of_images_makes_way() {
    let limits = Load { tokens: 10, items: 1, cost: f64::INFINITY };
    let samples = Samples { lengths: &[1, 9, 1], items: Some(&[1, 0, 1]), costs: None };
    // The second joins the first; the third fits none, and no other may open.
    assert_eq!(packs_of(&online(samples, limits, &[0, 1, 2], 1)), [vec![0, 1], vec![2]]);
}

#[test]
fn the_longest_come_first() {
    let packs = best_fit(&[3, 7, 5, 5], 10, &[3, 2, 1, 0]);
    assert_eq!(packs_of(&packs), [vec![1, 0], vec![3, 2]]);
}

proptest! {
    #[test]
    fn every_sample_is_packed_once_and_no_pack_is_over_a_limit(
        samples in proptest::collection::vec((0_i64..=100, 0_i64..=4, 0_u32..=50), 0..200),
        open in 1_usize..70,
    ) {
        let lengths: Vec<_> = samples.iter().map(|sample| sample.0).collect();
        let items: Vec<_> = samples.iter().map(|sample| sample.1).collect();
        let costs: Vec<_> = samples.iter().map(|sample| f64::from(sample.2)).collect();
        let order: Vec<_> = (0..lengths.len() as i64).rev().collect();
        let all = Samples { lengths: &lengths, items: Some(&items), costs: Some(&costs) };
        let unlimited = Load { tokens: 100, items: i64::MAX, cost: f64::INFINITY };
        for (packs, limits) in [(online(all, LIMITS, &order, open), LIMITS), (best_fit(&lengths, 100, &order), unlimited)] {
            let mut seen: Vec<_> = packs.order.clone();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len() as i64).collect::<Vec<_>>());
            for pack in packs_of(&packs) {
                prop_assert!(!pack.is_empty());
                let load = pack.iter().fold(Load::default(), |load, &index| load.plus(all.of(index as usize)));
                prop_assert!(load.is_within(limits));
            }
        }
    }
}
