//! Spelling of names: variants, and suggestions for unknown names.

/// A name reduced to its letters and digits in lower case, for comparison.
fn plain(name: &str) -> String {
    name.chars().filter(|at| at.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The known name that differs from `name` only in case and punctuation.
pub(super) fn spelled<'a>(name: &str, mut known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let asked = plain(name);
    known.find(|known| plain(known) == asked)
}

/// Up to three known names that `name` may have meant, the likeliest first: of `Qwen/Qwen3-VL-8B-Instruct` the longest names
/// that are part of it, then those that are spelled alike.
pub(super) fn close<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    closest(name, &mut { known })
}

fn closest<'a>(name: &str, known: &mut dyn Iterator<Item = &'a str>) -> Vec<&'a str> {
    const ALIKE: f64 = 0.8;
    let asked = plain(name.rsplit('/').next().unwrap_or(name));
    let mut scored: Vec<(f64, &str)> = known
        .map(|known| {
            let plain = plain(known);
            let part = if plain.len() > 3 && asked.contains(&plain) { 1.0 + plain.len() as f64 } else { 0.0 };
            (part.max(strsim::jaro_winkler(&asked, &plain)), known)
        })
        .filter(|(score, _)| *score >= ALIKE)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    // Beside a name that is part of what was asked, likeness says nothing.
    let parts = scored.iter().filter(|(score, _)| *score > 1.0).count();
    let most = if parts > 0 { 1 } else { 3 };
    scored.into_iter().take(most).map(|(_, known)| known).collect()
}

/// `; did you mean "a" or "b"?`, or nothing.
pub(super) fn question<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let names = close(name, known);
    let Some((last, others)) = names.split_last() else { return String::new() };
    let others = others.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let or = if others.is_empty() { "" } else { " or " };
    format!("; did you mean {others}{or}{last:?}?")
}

/// ` (it has a, b, c)`, with the names that a message has room for.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 120;
    let mut text = String::new();
    for name in names {
        if text.len() + name.len() > MOST {
            text.push_str(", ...");
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
    }
    format!(" (it has {text})")
}

/// The name for a message, truncated if it is long.
pub(super) fn shortened(name: &str) -> String {
    const MOST: usize = 60;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    name.chars().take(MOST).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 7] = ["clip", "dots.ocr", "qwen2-vl", "qwen2.5-vl", "qwen3-vl", "siglip", "siglip2-naflex"];

    #[test]
    fn spellings_of_one_name() {
        for (asked, found) in [
            ("qwen3vl", Some("qwen3-vl")),
            ("Qwen3-VL", Some("qwen3-vl")),
            ("Qwen2_5 VL", Some("qwen2.5-vl")),
            ("qwen2-vl", Some("qwen2-vl")),
            ("DotsOCR", Some("dots.ocr")),
            ("qwen3", None),
            ("Qwen/Qwen3-VL", None),
        ] {
            assert_eq!(spelled(asked, KNOWN.into_iter()), found, "{asked}");
        }
    }

    #[test]
    fn likely_names() {
        let close = |asked| close(asked, KNOWN.into_iter());
        assert_eq!(close("Qwen/Qwen3-VL-8B-Instruct"), ["qwen3-vl"]);
        assert_eq!(close("Qwen/Qwen2.5-VL-7B-Instruct"), ["qwen2.5-vl"]);
        assert_eq!(close("google/siglip2-base-patch16-naflex")[0], "siglip");
        assert!(close("qwen9-vl").contains(&"qwen3-vl"));
        assert!(close("whisper").is_empty());
        assert!(close("").is_empty());
    }

    #[test]
    fn built_in_names_differ_in_more_than_spelling() {
        let names = crate::recipe::names().unwrap();
        for name in &names {
            let alike = names.iter().filter(|other| plain(other) == plain(name)).count();
            assert_eq!(alike, 1, "{name}");
        }
    }
}
