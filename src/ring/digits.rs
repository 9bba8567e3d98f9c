//! Stamps, hashes and addresses as text. Every message has some, and in formatting piece by piece they
//! took longer than all else in the answer to a GET. So each is written whole, in one piece.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The longest is a hash.
const BYTES_MAX: usize = 64;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A short text on the stack.
struct Text {
    bytes: [u8; BYTES_MAX],
    len: usize,
}

impl Text {
    fn new() -> Self {
        Self { bytes: [0; BYTES_MAX], len: 0 }
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn hex(&mut self, bytes: &[u8]) {
        let to = &mut self.bytes[self.len..self.len + 2 * bytes.len()];
        for (pair, byte) in to.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        self.len += 2 * bytes.len();
    }

    fn decimal(&mut self, number: u16) {
        let mut scale = match number {
            0..10 => 1,
            10..100 => 10,
            100..1000 => 100,
            1000..10_000 => 1000,
            10_000.. => 10_000,
        };
        while scale > 0 {
            self.push(b'0' + (number / scale % 10) as u8);
            scale /= 10;
        }
    }

    /// Only of IPv4. `false`: nothing was written.
    fn address(&mut self, address: SocketAddr) -> bool {
        let IpAddr::V4(ip) = address.ip() else { return false };
        for (i, octet) in ip.octets().into_iter().enumerate() {
            if i > 0 {
                self.push(b'.');
            }
            self.decimal(octet.into());
        }
        self.push(b':');
        self.decimal(address.port());
        true
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.bytes[..self.len]).map_err(|_| fmt::Error)?)
    }
}

/// A number as sixteen hexadecimal digits.
pub(super) fn write_number(number: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = Text::new();
    text.hex(&number.to_be_bytes());
    text.write(f)
}

/// The same, an `@` and an address.
pub(super) fn write_number_at(
    number: u64,
    at: SocketAddr,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let mut text = Text::new();
    text.hex(&number.to_be_bytes());
    text.push(b'@');
    let is_whole = text.address(at);
    text.write(f)?;
    if is_whole { Ok(()) } else { write!(f, "{at}") }
}

/// An address at the end of these bytes.
pub(super) fn push_address(address: SocketAddr, into: &mut Vec<u8>) {
    let mut text = Text::new();
    match text.address(address) {
        true => into.extend_from_slice(&text.bytes[..text.len]),
        false => into.extend_from_slice(address.to_string().as_bytes()),
    }
}

/// A hash as hexadecimal digits.
pub(super) struct Hex(pub(super) blake3::Hash);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Text::new();
        text.hex(self.0.as_bytes());
        text.write(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::version::{Stamp, Version};

    #[test]
    fn texts_are_those_of_the_standard_library() {
        let hash = blake3::hash(b"a");
        assert_eq!(Hex(hash).to_string(), hash.to_string());
        let ports = [0, 9, 10, 99, 100, 999, 1000, 9999, 10_000, u16::MAX];
        for (port, ip) in
            ports.iter().zip(["0.0.0.0", "255.100.99.10", "127.0.1.1", "::1"].iter().cycle())
        {
            let node = SocketAddr::new(ip.parse().unwrap(), *port);
            let stamp = Stamp(u64::MAX / (u64::from(*port) + 1));
            let version = Version { stamp, node };
            assert_eq!(version.to_string(), format!("{:016x}@{node}", stamp.0));
            let mut bytes = b"at ".to_vec();
            push_address(node, &mut bytes);
            assert_eq!(bytes, format!("at {node}").into_bytes());
            assert_eq!(stamp.to_string(), format!("{:016x}", stamp.0));
        }
    }
}
