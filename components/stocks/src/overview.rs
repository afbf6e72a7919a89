//! `GET /stocks/reports/overview-stocks`: every product with stock, written as the rows arrive.

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use store_domain::Cents;
use store_guest::mysql::{Connection, MysqlError, Rows};
use store_guest::{Problem, Reply, variables};

use crate::sql;

/// Name, code, price, quantity.
type Row = (String, String, Cents, i64);

/// One product in the words of the older API, whose readers are French-speaking shopkeepers.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "Article")]
    name: &'a str,
    #[serde(rename = "Numéro SKU")]
    sku: &'a str,
    #[serde(rename = "Prix unitaire")]
    price: Cents,
    #[serde(rename = "Unités en stock")]
    quantity: i64,
}

/// Answers as soon as the first rows are there, so that an outage before them is still an honest 503.
pub(crate) async fn stocks() -> Result<Reply, Problem> {
    let connection = Connection::open(&variables::mysql_url().await?).await?;
    let mut rows = connection.rows::<Row>(sql::OVERVIEW, vec![]).await?;
    let first = rows.next().await?.unwrap_or_default();
    let first = chunk(b'[', &first);
    Ok(Reply::streamed_json(array(first, connection, rows)))
}

/// The JSON array, a chunk for each batch of rows. Nothing is read from MySQL before the client has taken what came
/// before. An error is the last that a response's body asks for, so it breaks off and the array is never closed.
fn array(
    first: Bytes,
    connection: Connection,
    rows: Rows<Row>,
) -> impl Stream<Item = Result<Bytes, MysqlError>> {
    // The connection comes along because dropping it would end the rows.
    let more = stream::try_unfold((connection, rows), async |(connection, mut rows)| {
        let batch = rows.next().await?;
        Ok(batch.map(|batch| (chunk(b',', &batch), (connection, rows))))
    });
    let end = Bytes::from_static(b"]");
    stream::iter([Ok(first)])
        .chain(more)
        .chain(stream::iter([Ok(end)]))
}

/// The rows as members of a JSON array, after `start`.
fn chunk(start: u8, rows: &[Row]) -> Bytes {
    let lines: Vec<Line<'_>> = rows
        .iter()
        .map(|(name, sku, price, quantity)| Line {
            name,
            sku,
            price: *price,
            quantity: *quantity,
        })
        .collect();
    let mut json = serde_json::to_vec(&lines).expect("texts and numbers are always JSON");
    json[0] = start;
    json.pop();
    json.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, quantity: i64) -> Row {
        (name.into(), "LMP-1".into(), Cents::new(4999), quantity)
    }

    #[test]
    fn chunks_make_up_one_array() {
        let chunks = [
            chunk(b'[', &[row("Lampe \"été\"", 5), row("B", 0)]),
            chunk(b',', &[row("C", -1)]),
            Bytes::from_static(b"]"),
        ];
        let array: serde_json::Value =
            serde_json::from_slice(&chunks.concat()).expect("it is JSON");
        assert_eq!(array.as_array().map(Vec::len), Some(3));
        assert_eq!(
            array[0],
            serde_json::json!({
                "Article": "Lampe \"été\"",
                "Numéro SKU": "LMP-1",
                "Prix unitaire": 49.99,
                "Unités en stock": 5,
            })
        );
    }

    #[test]
    fn no_stock_is_an_empty_array() {
        let chunks = [chunk(b'[', &[]), Bytes::from_static(b"]")];
        assert_eq!(chunks.concat(), b"[]");
    }
}
