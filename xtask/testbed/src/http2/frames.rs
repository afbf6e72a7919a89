//! Encodes and decodes frames (RFC 9113, section 4.1).

/// The bytes at the start of a client's connection (RFC 9113, section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113, section 6).
pub mod kind {
    /// A piece of a body.
    pub const DATA: u8 = 0;
    /// A head, or trailers.
    pub const HEADERS: u8 = 1;
    /// Deprecated; receivers ignore it.
    pub const PRIORITY: u8 = 2;
    /// The end of one stream.
    pub const RST_STREAM: u8 = 3;
    /// Settings of a connection.
    pub const SETTINGS: u8 = 4;
    /// A pushed request; only servers may send it.
    pub const PUSH_PROMISE: u8 = 5;
    /// Asks the other side for an answer, to test the connection.
    pub const PING: u8 = 6;
    /// The end of a connection.
    pub const GOAWAY: u8 = 7;
    /// Permission to send more of a body.
    pub const WINDOW_UPDATE: u8 = 8;
    /// Continues a head.
    pub const CONTINUATION: u8 = 9;
}

pub(super) const ACK: u8 = 1;
/// The flag of the last frame of a stream's request or answer.
pub const END_STREAM: u8 = 1;
/// The flag of the last frame of a head.
pub const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITY: u8 = 0x20;

/// The default of SETTINGS_MAX_FRAME_SIZE, in bytes; neither server raises it.
pub(super) const MOST_BYTES: usize = 16_384;

/// Encodes a frame.
///
/// # Panics
/// If `payload` is longer than a frame's length field can say (2²⁴ − 1 bytes).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame's length");
    let [high, bytes @ ..] = length.to_be_bytes();
    assert_eq!(high, 0, "a frame's length has 24 bits");
    let mut frame = bytes.to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A SETTINGS frame with these values by identifier.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let pairs = values.iter();
    let payload: Vec<u8> = pairs
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// A WINDOW_UPDATE frame.
pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// An RST_STREAM frame with the code CANCEL.
pub fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// A frame that was received.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedFrame<'a> {
    /// The frame's type, one of [`kind`].
    pub kind: u8,
    /// The frame's flags.
    pub flags: u8,
    /// The number of the frame's stream, 0 for the connection.
    pub stream: u32,
    /// The frame's payload.
    pub payload: &'a [u8],
}

impl<'a> ReceivedFrame<'a> {
    /// The first complete frame of `bytes`, and the bytes after it.
    pub fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (head, rest) = bytes.split_first_chunk::<9>()?;
        let [l0, l1, l2, kind, flags, stream @ ..] = *head;
        let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
        let (payload, rest) = rest.split_at_checked(length)?;
        let received = Self {
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
            payload,
        };
        Some((received, rest))
    }

    /// The complete frames at the beginning of `bytes`.
    pub fn all(mut bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (frame, rest) = Self::first(bytes)?;
            bytes = rest;
            Some(frame)
        })
    }
}
