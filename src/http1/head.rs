//! The lines of a head: what they may contain, and how a header is parsed.

/// `Name: value` without its line's end, taken apart; blanks around the value are not part of it.
/// `None`: it is not a valid header: it has a blank before the colon or at its beginning (which
/// once continued the line above), or control characters.
pub fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (token(&line[..colon])?, line[colon + 1..].trim_ascii());
    let is_bad = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    // Without an early end, many bytes are looked at in one step.
    let has_bad = value.iter().fold(false, |has_bad, &byte| has_bad | is_bad(byte));
    (!has_bad).then_some((name, value))
}

/// Why a line is no valid header.
pub fn why_no_field(line: &[u8]) -> &'static str {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else {
        return "a header line has no colon";
    };
    match &line[..colon] {
        [] => "a header line has no name before its colon",
        [b' ' | b'\t', ..] => "a line goes on with the header above it, which HTTP has given up",
        [.., b' ' | b'\t'] => "there is a blank before the colon of a header",
        name if token(name).is_none() => "a header's name has a character that no name has",
        _ => "there is a control character in the head",
    }
}

/// A method or a name: one character or more of those that RFC 9110 allows in a token.
pub fn token(bytes: &[u8]) -> Option<&str> {
    let is_token = |&byte: &u8| TOKEN[usize::from(byte)];
    let text = std::str::from_utf8(bytes).ok()?;
    (!bytes.is_empty() && bytes.iter().all(is_token)).then_some(text)
}

/// Which bytes a token may have.
static TOKEN: [bool; 256] = {
    let (others, mut table) = (b"!#$%&'*+-.^_`|~", [false; 256]);
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// Whether a value that is a list, as `keep-alive, Upgrade`, has this word.
pub fn has_word(value: &[u8], word: &str) -> bool {
    let mut words = value.split(|&byte| byte == b',');
    words.any(|it| it.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a `Content-Encoding` says that the body is not what it would be without.
pub fn is_coded(value: &[u8]) -> bool {
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    codings.any(|it| !it.is_empty() && !it.eq_ignore_ascii_case(b"identity"))
}

/// Whether the last transfer coding is chunks.
pub fn ends_chunked(value: &[u8]) -> bool {
    let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// A length: digits and nothing else, and no more than fit.
pub fn length(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// The line before its end, which is LF or CR LF.
pub fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
