//! Which of some known words was probably meant.

/// The word that is nearest to `typed`, if one is near enough: a typing error or two away, or one
/// that `typed` is the beginning of.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = typed.chars().count();
    let distance = |word: &&str| match length >= 3 && word.starts_with(typed) {
        true => 1,
        false => distance(typed, word),
    };
    let near = known.into_iter().map(|word| (distance(&word), word));
    let (distance, word) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= length.div_ceil(4).min(3)).then_some(word)
}

/// How many letters to insert, remove, replace, or swap with the next one, to turn `from` into
/// `to`.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("port", "port", 0),
            ("prot", "port", 1),
            ("por", "port", 1),
            ("sport", "port", 1),
            ("part", "port", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn a_typing_error_is_near_and_another_word_is_not() {
        let known = ["get", "put", "list", "status", "timeout"];
        for (typed, meant) in [
            ("gte", Some("get")),
            ("lst", Some("list")),
            ("stauts", Some("status")),
            ("time", Some("timeout")),
            ("x", None),
            ("watch", None),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
        assert_eq!(nearest("get", []), None);
    }
}
