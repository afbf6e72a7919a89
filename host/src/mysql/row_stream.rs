//! The stream from which a guest reads the rows of one result.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, StreamProducer, StreamResult, VecBuffer};

use crate::instance::bindings::spin::mysql::mysql::Row;
use crate::instance::{HeldBytes, State};

/// How many rows are read before the guest gets any. A result that is not larger needs no task of its own.
pub(super) const ROWS_AT_ONCE: usize = 256;

/// A row, with the room that it takes in the instance's share of memory.
pub(super) type HeldRow = (Row, HeldBytes);

/// A stream that first gives the rows that were read with the answer, and then those that a task reads.
pub(super) struct RowStream {
    pub(super) first: Vec<Row>,
    /// The room of the rows that were last given to the guest, which may not have taken them yet.
    pub(super) lent: Vec<HeldBytes>,
    pub(super) rest: Option<mpsc::Receiver<HeldRow>>,
}

impl StreamProducer<State> for RowStream {
    type Item = Row;
    type Buffer = VecBuffer<Row>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, State>,
        mut destination: Destination<'a, Row, VecBuffer<Row>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let first = std::mem::take(&mut self.first);
        let Self { rest, lent, .. } = &mut *self;
        let Some(rest) = rest else {
            destination.set_buffer(first.into());
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        if !first.is_empty() {
            destination.set_buffer(first.into());
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        // The guest has taken the rows that it was given before.
        lent.clear();
        let mut received = Vec::new();
        match rest.poll_recv_many(cx, &mut received, ROWS_AT_ONCE) {
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            poll => {
                let count = ready!(poll);
                let mut rows = Vec::with_capacity(count);
                for (row, held) in received {
                    rows.push(row);
                    lent.extend(held.is_counted().then_some(held));
                }
                destination.set_buffer(rows.into());
                let more = if count == 0 {
                    StreamResult::Dropped
                } else {
                    StreamResult::Completed
                };
                Poll::Ready(Ok(more))
            }
        }
    }
}
