//! Finds the HTTP/2 requests that hyper resets. Hyper reports them to nobody, so they are read from the frames that are
//! sent (RFC 9113, section 4.1).

/// The length in bytes of a frame's header: length, type, flags and stream.
const HEAD: usize = 9;

/// The type of a RST_STREAM frame, whose payload is the error code (RFC 9113, section 6.4).
const RESET: u8 = 3;

/// Error codes that do not blame the client: NO_ERROR, INTERNAL_ERROR, CANCEL.
const HARMLESS: [u32; 3] = [0, 2, 8];

/// A reader of frames, which keeps its place within or between them.
#[derive(Default)]
pub(crate) struct Resets {
    head: [u8; HEAD],
    /// The bytes of the header that were read.
    seen: usize,
    /// The bytes of the payload that are still to come.
    left: usize,
    code: u32,
}

impl Resets {
    /// Reads the next bytes that were sent, and calls `blame` with the code of each reset that blames the client.
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
                // The payload is four bytes long, so it shifts out whatever `code` held before.
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
