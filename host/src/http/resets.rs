//! Requests of HTTP/2 that the library resets by itself: it tells nobody, so they are looked for in the frames that go
//! out (RFC 9113, section 4.1).

/// Bytes of a frame's head: length, type, flags and stream.
const HEAD: usize = 9;

/// RST_STREAM, whose payload is its code (RFC 9113, section 6.4).
const RESET: u8 = 3;

/// Codes that blame nobody: no error, a mistake of ours, a stream that is no longer needed.
const HARMLESS: [u32; 3] = [0, 2, 8];

/// A place between or within frames.
#[derive(Default)]
pub(crate) struct Resets {
    head: [u8; HEAD],
    /// Bytes of the head that were seen.
    seen: usize,
    /// Bytes of the payload to come.
    left: usize,
    code: u32,
}

impl Resets {
    /// Tells the code of each reset that blames the client in the bytes that were sent next.
    pub(crate) fn follow(&mut self, mut bytes: &[u8], mut blame: impl FnMut(u32)) {
        while let Some(&first) = bytes.first() {
            let taken = if self.seen < HEAD {
                self.head[self.seen] = first;
                self.seen += 1;
                let [high, middle, low, ..] = self.head;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                1
            } else {
                let taken = bytes.len().min(self.left);
                self.left -= taken;
                taken
            };
            let is_reset = self.head[3] == RESET;
            if self.seen == HEAD && is_reset {
                // What is before the code in the head is shifted out by its four bytes.
                let payload = bytes[..taken].iter().rev().take(4).rev();
                self.code = payload.fold(self.code, |code, &byte| code << 8 | u32::from(byte));
            }
            bytes = &bytes[taken..];
            if self.seen == HEAD && self.left == 0 {
                self.seen = 0;
                if is_reset && !HARMLESS.contains(&self.code) {
                    blame(self.code);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
        [&length, &[kind, 0, 0, 0, 0, 1][..], payload].concat()
    }

    #[test]
    fn resets_that_blame_are_seen_however_the_bytes_come() {
        let frames = [
            frame(4, &[]),
            frame(RESET, &[0, 0, 0, 1]),
            frame(0, &[RESET; 40]),
            frame(RESET, &[0, 0, 0, 8]),
            frame(7, &[0, 0, 0, 0, 0, 0, 0, 1]),
            frame(RESET, &[0, 0, 0, 7]),
        ]
        .concat();
        for size in [1, 2, 7, 10, frames.len()] {
            let (mut resets, mut seen) = (Resets::default(), Vec::new());
            for part in frames.chunks(size) {
                resets.follow(part, |code| seen.push(code));
            }
            assert_eq!(seen, [1, 7], "in pieces of {size}");
        }
    }
}
