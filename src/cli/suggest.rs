//! "Did you mean": the known name nearest to what was typed.

/// How alike two names must be, from 0 to 1, before one is suggested for the other.
const ALIKE: f64 = 0.6;

/// Finds the name among `known` that `typed` was most likely meant to be.
///
/// Upper and lower case are the same, `_` and `-` too; a typed beginning such as `rand` finds `random`.
/// `None` when nothing is near enough to be a help.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = plain(typed);
    let scored = known.into_iter().map(|name| (likeness(&typed, &plain(name)), name));
    let best = scored.fold(None, |best: Option<(f64, &str)>, next| match best {
        Some(best) if best.0 >= next.0 => Some(best),
        _ => Some(next),
    });
    best.filter(|(score, _)| *score >= ALIKE).map(|(_, name)| name)
}

/// The hint for an unknown value: the nearest name if there is one, otherwise all of them.
///
/// ```
/// use toonify::cli::suggest::hint;
///
/// assert_eq!(hint("cosnt", &["const", "random", "none"]), "did you mean `const`?");
/// assert_eq!(hint("7", &["const", "random"]), "one of `const`, `random`");
/// ```
pub fn hint(typed: &str, known: &[&str]) -> String {
    match nearest(typed, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("one of {}", names.join(", "))
        }
    }
}

fn plain(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// 1 for equal names, 0 for names that share nothing; a beginning of two or more letters counts as nearly equal.
fn likeness(typed: &str, name: &str) -> f64 {
    if typed.chars().count() >= 2 && name.starts_with(typed) && typed != name {
        return 0.99;
    }
    strsim::normalized_damerau_levenshtein(typed, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expected: Option<&str>) {
        let known = ["const", "random", "none", "style-mix", "inspect"];
        assert_eq!(nearest(typed, known), expected, "{typed}");
    }

    #[test]
    fn the_nearest_name_is_found() {
        check("const", Some("const"));
        check("cosnt", Some("const"));
        check("constant", Some("const"));
        check("rand", Some("random"));
        check("NONE", Some("none"));
        check("style_mix", Some("style-mix"));
        check("inspekt", Some("inspect"));
    }

    #[test]
    fn strangers_are_not_suggested() {
        check("", None);
        check("c", None);
        check("blend", None);
        check("42", None);
        assert_eq!(nearest("const", []), None);
    }

    #[test]
    fn without_a_near_name_the_hint_lists_all() {
        assert_eq!(hint("", &["a", "b"]), "one of `a`, `b`");
    }
}
