//! Follows the frames that a client sends, for the settings that an inserted answer keeps to (RFC 9113, section
//! 6.5.2).

use super::frames::{Part, Position};

/// What a client sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The type of a frame with settings.
const SETTINGS: u8 = 4;

const HEADER_TABLE_SIZE: u16 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The settings of a client, as it sends them.
pub(super) struct ClientSettings {
    /// The part of the preface that has not come yet.
    preface: &'static [u8],
    /// Whether the connection began with something else.
    is_other: bool,
    position: Position,
    /// The received part of one setting: its number and its value.
    entry: [u8; 6],
    table: u32,
    /// Whether the client has ever made its table for compression smaller. The library then begins its next head with a
    /// notice of that, so no other head may come before.
    pub(super) has_shrunk_table: bool,
    /// The smallest window of a new stream that the client has ever named.
    pub(super) least_window: u32,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            preface: PREFACE,
            is_other: false,
            position: Position::default(),
            entry: [0; 6],
            table: 4096,
            has_shrunk_table: false,
            least_window: 65_535,
        }
    }
}

impl ClientSettings {
    /// Follows bytes that were received.
    pub(super) fn follow(&mut self, bytes: &[u8]) {
        if self.is_other {
            return;
        }
        let (begin, mut rest) = bytes.split_at(bytes.len().min(self.preface.len()));
        let (expected, preface) = self.preface.split_at(begin.len());
        self.is_other = begin != expected;
        self.preface = preface;
        while !self.is_other && !rest.is_empty() {
            if let Part::Payload(before, payload) = self.position.take(&mut rest)
                && self.position.kind() == SETTINGS
            {
                self.read(before, payload);
            }
        }
    }

    fn read(&mut self, before: usize, payload: &[u8]) {
        for (at, &byte) in payload.iter().enumerate() {
            let place = (before + at) % self.entry.len();
            self.entry[place] = byte;
            if place + 1 == self.entry.len() {
                self.set();
            }
        }
    }

    fn set(&mut self) {
        let [first, second, value @ ..] = self.entry;
        let value = u32::from_be_bytes(value);
        match u16::from_be_bytes([first, second]) {
            HEADER_TABLE_SIZE => {
                self.has_shrunk_table |= value < self.table;
                self.table = value;
            }
            INITIAL_WINDOW_SIZE => self.least_window = self.least_window.min(value),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::frame;
    use super::*;

    fn setting(number: u8, value: u32) -> Vec<u8> {
        [&[0, number][..], &value.to_be_bytes()].concat()
    }

    #[test]
    fn what_a_client_lowers_is_seen_however_the_bytes_come() {
        let window = setting(4, 10);
        let table = [setting(3, 1), setting(1, 8192), setting(1, 4096)].concat();
        let bytes = [
            PREFACE,
            &frame(SETTINGS, 0, 0, &window),
            &frame(0, 0, 1, &[0; 30]),
            &frame(SETTINGS, 0, 0, &table),
        ]
        .concat();
        for size in [1, 5, 24, bytes.len()] {
            let mut settings = ClientSettings::default();
            for part in bytes[..bytes.len() - 6].chunks(size) {
                settings.follow(part);
            }
            assert_eq!(
                (settings.least_window, settings.has_shrunk_table),
                (10, false)
            );
            settings.follow(&bytes[bytes.len() - 6..]);
            assert!(settings.has_shrunk_table, "in pieces of {size}");
        }
    }

    #[test]
    fn http_1_has_no_settings() {
        let mut settings = ClientSettings::default();
        settings.follow(b"P");
        settings.follow(b"OST / HTTP/1.1\r\n");
        settings.follow(&frame(SETTINGS, 0, 0, &setting(4, 0)));
        assert_eq!(settings.least_window, 65_535);
    }
}
