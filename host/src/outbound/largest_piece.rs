//! How much of a component's memory limit a backend may fill in one piece.

/// The divisor of the memory limit that gives the largest row, reply or command. These bytes are counted only once they
/// have arrived.
const PIECE: usize = 16;

/// The size in bytes of the largest row, reply or command of a component with this memory limit.
pub(crate) fn largest_piece(memory_limit_bytes: usize) -> usize {
    memory_limit_bytes / PIECE
}
