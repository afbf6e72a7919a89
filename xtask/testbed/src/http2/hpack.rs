//! Header blocks (RFC 7541), valid and invalid.

use super::frames::{END_HEADERS, END_STREAM, frame, kind};
use super::{Case, Expect, INTENDED, case};

/// A field's name and value, as bytes, because a block may contain anything.
pub type Field = (Vec<u8>, Vec<u8>);

/// The fields of a request that a server may serve: the usual ones, then `more`.
pub(super) fn request(method: &str, more: &[(&str, &str)]) -> Vec<Field> {
    request_for(method, INTENDED, more)
}

/// The fields of a request for `path`: the usual ones, then `more`.
pub fn request_for(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<Field> {
    let usual = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", path),
    ];
    fields(&[&usual, more].concat())
}

/// Converts texts to the fields of a head.
pub fn fields(fields: &[(&str, &str)]) -> Vec<Field> {
    let bytes = |text: &str| text.as_bytes().to_vec();
    fields
        .iter()
        .map(|(name, value)| (bytes(name), bytes(value)))
        .collect()
}

/// Literal fields without indexing, in plain text (RFC 7541, section 6.2.2).
pub fn block(fields: &[Field]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text);
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).expect("less than 127"));
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).expect("less than 128") | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).expect("less than 128"));
}

/// Cases with blocks that can't be decoded. They end the connection, because its compression state is lost (RFC 9113,
/// section 4.3).
pub(super) fn cases() -> Vec<Case> {
    let good = block(&request("GET", &[]));
    let with = |before: &[u8], after: &[u8]| [before, &good, after].concat();
    let bad: [(&str, Vec<u8>); 9] = [
        ("index 0 (RFC 7541, 6.1)", with(&[], &[0x80])),
        (
            "an index beyond the table (RFC 7541, 2.3.3)",
            with(&[], &[0xff, 0x00]),
        ),
        (
            "a name by an index beyond the table",
            with(&[], &[0x7f, 0x20, 0x01, b'x']),
        ),
        (
            "an integer without end (RFC 7541, 5.1)",
            with(&[], &[0xff; 12]),
        ),
        (
            "a string that ends after the block",
            with(&[], &[0x00, 0x05, b'x']),
        ),
        (
            "Huffman padding of zeros (RFC 7541, 5.2)",
            with(&[], &[0x00, 0x01, b'x', 0x81, 0x00]),
        ),
        (
            "Huffman padding of a whole byte (RFC 7541, 5.2)",
            with(&[], &[0x00, 0x01, b'x', 0x82, 0x1f, 0xff]),
        ),
        (
            "a table larger than agreed (RFC 7541, 6.3)",
            with(&[0x3f, 0xff, 0xff, 0x03], &[]),
        ),
        (
            "a change of the table's size after a field (RFC 7541, 4.2)",
            with(&[], &[0x20]),
        ),
    ];
    let cases = bad.into_iter().map(|(name, block)| {
        let head = frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block);
        case(name, Expect::Ended, [head])
    });
    let smaller = frame(
        kind::HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &with(&[0x20], &[]),
    );
    let allowed = case(
        "a smaller table before the first field (RFC 7541, 4.2)",
        Expect::Served,
        [smaller],
    );
    cases.chain([allowed]).collect()
}
