//! `GET /stocks/reports/overview-stocks`: every product with stock, a page at a time.

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use store_domain::Cents;
use store_guest::mysql::{Connection, MysqlError, ids};
use store_guest::{Problem, Reply, variables};

use crate::sql;

/// Rows of a page: some 100 kB of an answer.
const PAGE_ROWS: usize = 1000;

/// Product, name, code, price, quantity.
type Row = (i64, String, String, Cents, i64);

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

/// Answers as soon as the first page is there, so that an outage before it is still an honest 503.
pub(crate) async fn stocks() -> Result<Reply, Problem> {
    let mysql_url = variables::mysql_url().await?;
    let first = page(&mysql_url, 0).await?;
    Ok(Reply::streamed_json(array(mysql_url, first)))
}

/// The JSON array, a chunk for each page. Nothing is read from MySQL before the client has taken what came before, and
/// no connection is held meanwhile: however slowly a client reads, it takes none from others. An error is the last that
/// a response's body asks for, so it breaks off and the array is never closed.
fn array(mysql_url: String, first: Vec<Row>) -> impl Stream<Item = Result<Bytes, MysqlError>> {
    let start = chunk(b'[', &first);
    let more = stream::try_unfold(
        (mysql_url, last_of_full(&first)),
        async |(mysql_url, last)| {
            let Some(last) = last else { return Ok(None) };
            let rows = page(&mysql_url, last).await?;
            let last = last_of_full(&rows);
            Ok((!rows.is_empty()).then(|| (chunk(b',', &rows), (mysql_url, last))))
        },
    );
    let end = Bytes::from_static(b"]");
    stream::iter([Ok(start)])
        .chain(more)
        .chain(stream::iter([Ok(end)]))
}

/// The rows after a product, on a connection of their own.
async fn page(mysql_url: &str, after: i64) -> Result<Vec<Row>, MysqlError> {
    let connection = Connection::open(mysql_url).await?;
    connection
        .query(&sql::overview_page(PAGE_ROWS), ids([after]))
        .await
}

/// The last product of a page, if there may be another page.
fn last_of_full(rows: &[Row]) -> Option<i64> {
    let (product_id, ..) = rows.get(PAGE_ROWS - 1)?;
    Some(*product_id)
}

/// The rows as members of a JSON array, after `start`.
fn chunk(start: u8, rows: &[Row]) -> Bytes {
    let lines: Vec<Line<'_>> = rows
        .iter()
        .map(|(_, name, sku, price, quantity)| Line {
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
        (1, name.into(), "LMP-1".into(), Cents::new(4999), quantity)
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

    #[test]
    fn only_a_full_page_may_be_followed_by_another() {
        let rows = vec![row("A", 1); PAGE_ROWS];
        assert_eq!(last_of_full(&rows), Some(1));
        assert_eq!(last_of_full(&rows[1..]), None);
        assert_eq!(last_of_full(&[]), None);
    }
}
