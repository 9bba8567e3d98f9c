//! The fields of a multipart form.
//!
//! ```text
//! --B\r\n                                            the boundary B is in the Content-Type
//! Content-Disposition: form-data; name="a"\r\n
//! \r\n
//! 1\r\n                                              the line's end belongs to the delimiter
//! --B--                                              the last one
//! ```
//!
//! It is read as Werkzeug reads it, which is under Flask: a line may end in CR LF, LF or CR, a header
//! may go on in the next line, and what stands before the first delimiter and after the last one is
//! nothing. `tests/it/forms.rs` runs both side by side. Where Flask reads nothing at all, an error
//! says why.

use std::borrow::Cow;

use memchr::memmem::Finder;

use crate::http1::parameters::{Charset, Parameters};

/// A name and a value.
pub(super) type Field<'a> = (Cow<'a, str>, Cow<'a, str>);

/// The fields, without the files, in the order in which they come. Takes time in proportion to the
/// form. An error says what is wrong with it.
pub(super) fn fields<'a>(bytes: &'a [u8], boundary: &str) -> Result<Vec<Field<'a>>, &'static str> {
    let dashed = format!("--{boundary}");
    let delimiters = Delimiters(Finder::new(&dashed));
    let first = delimiters.first(bytes).ok_or("the form has no line with its boundary")?;
    let (mut rest, mut is_last) = (&bytes[first.end..], first.is_last);
    let mut fields = Vec::new();
    while !is_last {
        let head_bytes = blank_line(rest).ok_or("a part of the form has no empty line")?;
        let (head, content) = rest.split_at(head_bytes);
        let delimiter = delimiters.next(content).ok_or("the form ends before its last boundary")?;
        // The empty line may be the beginning of the delimiter.
        let value = content.get(line_break(content)..delimiter.start).unwrap_or_default();
        fields.extend(field(head, value)?);
        (rest, is_last) = (&content[delimiter.end..], delimiter.is_last);
    }
    Ok(fields)
}

/// What a part is: a field, or `None` for a file.
fn field<'a>(head: &[u8], value: &'a [u8]) -> Result<Option<Field<'a>>, &'static str> {
    let head = Head::of(head);
    let disposition = head.get("content-disposition");
    let disposition = disposition.ok_or("a part of the form has no Content-Disposition")?;
    let (_, parameters) = Parameters::of(disposition);
    if parameters.get("filename").is_some() {
        return Ok(None);
    }
    let name = parameters.get("name").ok_or("a part of the form has no name")?;
    let charset = head.get("content-type").and_then(|it| {
        let (_, parameters) = Parameters::of(it);
        Charset::of(parameters.get("charset")?)
    });
    let value = match charset.unwrap_or_default() {
        Charset::Utf8 => String::from_utf8_lossy(value),
        other => Cow::Owned(other.decode(value)),
    };
    Ok(Some((name.to_owned().into(), value)))
}

/// The headers of a part, one a line.
struct Head(String);

impl Head {
    fn of(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
        Self(text.replace("\n ", " ").replace("\n\t", " "))
    }

    /// The first header of this name.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| {
            let (other, value) = line.split_once(':')?;
            let blanks = [' ', '\t'];
            other
                .trim_matches(blanks)
                .eq_ignore_ascii_case(name)
                .then(|| value.trim_matches(blanks))
        })
    }
}

/// The length of the line's end at the beginning.
fn line_break(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        [b'\r' | b'\n', ..] => 1,
        _ => 0,
    }
}

/// Where the empty line begins that ends a head: behind the end of the line before it.
fn blank_line(bytes: &[u8]) -> Option<usize> {
    memchr::memchr2_iter(b'\r', b'\n', bytes).find_map(|at| match &bytes[at..] {
        [b'\r', b'\n', b'\r', b'\n', ..] => Some(at + 2),
        [b'\r', b'\r', ..] | [b'\n', b'\n', ..] => Some(at + 1),
        _ => None,
    })
}

/// Finds the lines with the boundary.
struct Delimiters<'a>(Finder<'a>);

struct Delimiter {
    /// With the line's end before it.
    start: usize,
    /// With the line's end behind it.
    end: usize,
    is_last: bool,
}

impl Delimiters<'_> {
    /// The first one, which may be anywhere in its line.
    fn first(&self, bytes: &[u8]) -> Option<Delimiter> {
        self.0.find_iter(bytes).find_map(|at| self.at(bytes, at, at))
    }

    /// The next one, which has a line of its own.
    fn next(&self, bytes: &[u8]) -> Option<Delimiter> {
        self.0.find_iter(bytes).find_map(|at| {
            let start = match &bytes[..at] {
                [.., b'\r', b'\n'] => at - 2,
                [.., b'\r' | b'\n'] => at - 1,
                _ => return None,
            };
            self.at(bytes, start, at)
        })
    }

    /// `None`: it goes on as another word, or there is no end of the line.
    fn at(&self, bytes: &[u8], start: usize, at: usize) -> Option<Delimiter> {
        let behind = at + self.0.needle().len();
        let is_last = bytes[behind..].starts_with(b"--");
        let mut end = behind + if is_last { 2 } else { 0 };
        let blanks = |byte: &&u8| matches!(byte, b' ' | b'\t' | 0x0b | 0x0c);
        end += bytes[end..].iter().take_while(blanks).count();
        let line_break = line_break(&bytes[end..]);
        (is_last || line_break > 0).then_some(Delimiter { start, end: end + line_break, is_last })
    }
}
