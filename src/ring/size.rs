//! Sizes in words for people.

/// Below this, the number of bytes is easy to read.
const PLAIN_BYTES_MAX: u64 = 10_000;

/// A size as people and options write it: `1 byte`, `2237 bytes`, `16MiB`, `1.5GiB`. Rounded to a tenth
/// of its unit.
pub fn in_words(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    if bytes > 0
        && let Some((unit, scale)) = units.into_iter().find(|(_, it)| bytes.is_multiple_of(*it))
    {
        return format!("{}{unit}", bytes / scale);
    }
    match units.into_iter().find(|(_, scale)| bytes >= *scale) {
        Some((unit, scale)) if bytes >= PLAIN_BYTES_MAX => {
            format!("{:.1}{unit}", bytes as f64 / scale as f64)
        }
        _ => format!("{bytes} byte{}", if bytes == 1 { "" } else { "s" }),
    }
}

/// Says that a file is larger than a node takes, and which option changes that.
pub(crate) fn beyond(file_bytes: u64, bytes_max: usize) -> String {
    let (file, most) = (in_words(file_bytes), in_words(bytes_max as u64));
    let see = "see its --max-file-bytes";
    // Rounded, both would be the same.
    if file_bytes.saturating_sub(bytes_max as u64) < bytes_max as u64 / 8 {
        return format!(
            "this file has {file_bytes} bytes, and this node takes at most {bytes_max} ({most}); {see}"
        );
    }
    format!("this file has {file}, and this node takes at most {most}; {see}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_the_largest_unit_that_is_not_too_large() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (2237, "2237 bytes"),
            (1024, "1KiB"),
            (9_999, "9999 bytes"),
            (10_000, "9.8KiB"),
            (16 << 20, "16MiB"),
            ((16 << 20) + 1, "16.0MiB"),
            (1 << 30, "1GiB"),
            (3 << 29, "1536MiB"),
            (u64::MAX, "17179869184.0GiB"),
        ] {
            assert_eq!(in_words(bytes), text);
        }
    }

    #[test]
    fn a_file_that_is_a_little_too_large_is_told_from_the_limit() {
        for (bytes, text) in [
            (65_537, "65537 bytes, and this node takes at most 65536 (64KiB);"),
            (1 << 20, "1MiB, and this node takes at most 64KiB;"),
        ] {
            assert!(beyond(bytes, 64 << 10).contains(text), "{}", beyond(bytes, 64 << 10));
        }
    }
}
