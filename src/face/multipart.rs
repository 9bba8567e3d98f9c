//! A form with files, `multipart/form-data`, taken apart as it comes (RFC 7578): of a file, never more
//! than what has just come is here.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::limits::PART_HEAD_BYTES_MAX;
use crate::http1::parameters::Parameters;

/// What comes next of a form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum FormPiece {
    /// A part begins.
    Part(Part),
    /// Some of its content.
    Content(Bytes),
    /// It ends.
    End,
}

/// A part of a form.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Part {
    /// The field.
    pub(super) field: String,
    /// What the file was called, if it is one.
    pub(super) file: Option<String>,
}

enum State {
    /// In front of the first delimiter, or in a content.
    Content {
        of_part: bool,
    },
    /// Behind a delimiter: an end of line, or `--` at the end of the form.
    Delimiter,
    Head,
    Over,
}

/// Takes a form apart.
pub(super) struct Form {
    delimiter: Vec<u8>,
    /// What has come and is not taken apart. A form begins as if behind the end of a line.
    come: BytesMut,
    state: State,
}

impl Form {
    /// A form with this Content-Type; `None`: it is no such form.
    pub(super) fn new(content_type: &str) -> Option<Self> {
        let (kind, parameters) = Parameters::of(content_type);
        if !kind.eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let boundary = parameters.get("boundary")?;
        // As RFC 2046 has it.
        if boundary.is_empty() || boundary.len() > 70 {
            return None;
        }
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Some(Self {
            delimiter,
            come: BytesMut::from("\r\n"),
            state: State::Content { of_part: false },
        })
    }

    /// More has come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.come.extend_from_slice(bytes);
    }

    /// Whether its last delimiter has come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// What comes next; `None`: that has not come yet. An error says what is wrong with the form.
    pub(super) fn next(&mut self) -> Result<Option<FormPiece>, &'static str> {
        loop {
            match self.state {
                State::Over => {
                    self.come.clear();
                    return Ok(None);
                }
                State::Content { of_part } => {
                    let found = memmem::find(&self.come, &self.delimiter);
                    // The delimiter may have come in part.
                    let keeps = self.delimiter.len() - 1;
                    let content = found.unwrap_or_else(|| self.come.len().saturating_sub(keeps));
                    let content = self.take(content);
                    if of_part && !content.is_empty() {
                        return Ok(Some(FormPiece::Content(content)));
                    }
                    if found.is_none() {
                        return Ok(None);
                    }
                    drop(self.take(self.delimiter.len()));
                    self.state = State::Delimiter;
                    if of_part {
                        return Ok(Some(FormPiece::End));
                    }
                }
                State::Delimiter => match self.come.get(..2) {
                    None => return Ok(None),
                    Some(b"--") => self.state = State::Over,
                    Some(b"\r\n") => self.state = State::Head,
                    Some(_) => return Err("a delimiter of the form has no end of line"),
                },
                State::Head => {
                    // The end of the delimiter's line is here, so a head without lines ends too.
                    let Some(end) = memmem::find(&self.come, b"\r\n\r\n") else {
                        return match self.come.len() > PART_HEAD_BYTES_MAX {
                            true => Err("the head of a part of the form is too long"),
                            false => Ok(None),
                        };
                    };
                    let head = self.take(end + 4);
                    let part = part(&head).ok_or("a part of the form has no name")?;
                    self.state = State::Content { of_part: true };
                    return Ok(Some(FormPiece::Part(part)));
                }
            }
        }
    }

    fn take(&mut self, bytes: usize) -> Bytes {
        self.come.split_to(bytes).freeze()
    }
}

/// What a part is, by its head.
fn part(head: &[u8]) -> Option<Part> {
    let text = String::from_utf8_lossy(head);
    let disposition = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (_, parameters) = Parameters::of(disposition);
    // Browsers write ends of lines in a name so.
    let text = |key| Some(parameters.get(key)?.replace("%0D", "\r").replace("%0A", "\n"));
    Some(Part { field: text("name")?, file: text("filename") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &[u8] = b"before\r\n--B\r\nContent-Disposition: form-data; name=\"folder\"\r\n\r\na/b\r\n\
        --B\r\ncontent-type: text/plain\r\ncontent-disposition: form-data; name=file; filename=\"x;\\\"%22.txt\"\r\n\r\n\
        1\r\n--\r\n-B\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n--B--\r\nafter";

    fn form() -> Form {
        Form::new("multipart/form-data; boundary=\"B\"").unwrap()
    }

    /// The parts of a form that comes in pieces of so many bytes.
    fn parts(cut: usize) -> Vec<(Part, Vec<u8>)> {
        let (mut form, mut parts, mut ended) = (form(), Vec::<(Part, Vec<u8>)>::new(), 0);
        for piece in FORM.chunks(cut) {
            form.push(piece);
            while let Some(piece) = form.next().unwrap() {
                match piece {
                    FormPiece::Part(part) => parts.push((part, Vec::new())),
                    FormPiece::Content(bytes) => parts.last_mut().unwrap().1.extend(bytes),
                    FormPiece::End => ended += 1,
                }
            }
        }
        assert!(form.is_over() && ended == parts.len());
        parts
    }

    #[test]
    fn a_form_is_the_same_however_it_is_cut() {
        let part = |field: &str, file: Option<&str>| Part {
            field: field.into(),
            file: file.map(Into::into),
        };
        let expected = [
            (part("folder", None), b"a/b".to_vec()),
            (part("file", Some("x;\"\".txt")), b"1\r\n--\r\n-B\r\n".to_vec()),
            (part("file", Some("")), Vec::new()),
        ];
        for cut in 1..=FORM.len() {
            assert_eq!(parts(cut), expected, "pieces of {cut} bytes");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for (text, why) in [
            ("--Bxy", "no end of line"),
            ("--B\r\n\r\n", "has no name"),
            ("--B\r\nA: b\r\n\r\n", "has no name"),
            ("--B\r\nContent-Disposition: form-data\r\n\r\n", "has no name"),
        ] {
            let mut form = form();
            form.push(text.as_bytes());
            let error = form.next().unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        let mut long = form();
        long.push(b"--B\r\n");
        long.push(&vec![b'x'; PART_HEAD_BYTES_MAX + 1]);
        assert!(long.next().unwrap_err().contains("too long"));
        for other in [
            "text/plain",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=B",
        ] {
            assert!(Form::new(other).is_none(), "{other}");
        }
    }

    #[test]
    fn of_a_content_no_more_is_kept_than_a_delimiter_may_have() {
        let mut form = form();
        form.push(b"--B\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n");
        for _ in 0..100 {
            form.push(&[b'\r'; 1000]);
            while form.next().unwrap().is_some() {}
            assert!(form.come.len() < 10);
        }
    }
}
