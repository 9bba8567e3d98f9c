//! A JSON list of texts, joined into one text while it is parsed. A million short messages would
//! take up many times their own size if each became a `String`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// The texts of the list, with `between` between each two.
pub(super) fn joined(json: &[u8], between: &str) -> serde_json::Result<String> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let text = reader.deserialize_seq(Joined { between })?;
    reader.end()?;
    Ok(text)
}

struct Joined<'a> {
    between: &'a str,
}

impl<'de> Visitor<'de> for Joined<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<String, A::Error> {
        let mut text = String::new();
        let mut before = "";
        while list.next_element_seed(Append { text: &mut text, before })?.is_some() {
            before = self.between;
        }
        Ok(text)
    }
}

/// Appends one text to another.
struct Append<'a> {
    text: &'a mut String,
    before: &'a str,
}

impl<'de> DeserializeSeed<'de> for Append<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Append<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, next: &str) -> Result<(), E> {
        self.text.push_str(self.before);
        self.text.push_str(next);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        for (json, text) in [
            ("[]", ""),
            (r#"["m1"]"#, "m1"),
            (r#" ["m1", "m2"] "#, "m1, m2"),
            (r#"["", "", "a, b"]"#, ", , a, b"),
            (r#"["\n\ud83c\udf89ü🎉"]"#, "\n🎉ü🎉"),
        ] {
            assert_eq!(joined(json.as_bytes(), ", ").unwrap(), text);
        }
        for bad in [
            "",
            "{}",
            "null",
            "\"a\"",
            "[1]",
            "[null]",
            "[[\"a\"]]",
            "[\"a\"",
            "[] []",
            "[\"\\ud800\"]",
            "[\"a\",]",
        ] {
            assert!(joined(bad.as_bytes(), ", ").is_err(), "{bad}");
        }
        assert!(joined(b"[\"\xff\"]", ", ").is_err());
    }
}
