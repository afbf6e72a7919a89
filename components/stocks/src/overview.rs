//! `GET /stocks/reports/overview-stocks`: every product with stock, a page at a time.

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use serde::Serialize;
use store_domain::Cents;
use store_guest::mysql::{Connection, MysqlError, ids, may_be_stale};
use store_guest::{Problem, Reply, variables};

use crate::sql;

/// The most rows that are read at once.
const PAGE_ROWS: usize = 500;

/// The size at which a page ends. A page that its client does not read stays in the instance's memory, and an instance
/// has many clients: there is room for a thousand clients that read nothing.
const PAGE_BYTES: usize = 64 * 1024;

/// Columns: product, name, code, price, quantity.
type Row = (i64, String, String, Cents, i64);

/// One product, with the field names of the older API, whose readers are French-speaking shopkeepers.
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

/// Answers once the first page is read, so that an outage before that is still an honest 503.
pub(crate) async fn stocks() -> Result<Reply, Problem> {
    let mysql_url = variables::mysql_url().await?;
    let first = page(&mysql_url, b'[', FIRST).await?;
    Ok(Reply::streamed_json(array(mysql_url, first)))
}

/// The JSON array, one chunk per page. The next page is read from MySQL only after the client has taken the previous
/// one, and no connection is held meanwhile; so a slow client takes no connection from others. An error ends the
/// stream: the response then breaks off, and the array is never closed.
fn array(mysql_url: String, first: Page) -> impl Stream<Item = Result<Bytes, MysqlError>> {
    let more = stream::try_unfold((mysql_url, first.next), async |(mysql_url, next)| {
        let Some(next) = next else { return Ok(None) };
        let page = page(&mysql_url, b',', next).await?;
        let has_rows = page.json.len() > 1;
        Ok(has_rows.then_some((page.json, (mysql_url, page.next))))
    });
    let end = Bytes::from_static(b"]");
    stream::iter([Ok(first.json)])
        .chain(more)
        .chain(stream::iter([Ok(end)]))
}

/// Where the next page begins, and how many rows to read for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PageCursor {
    after: i64,
    rows: usize,
}

const FIRST: PageCursor = PageCursor {
    after: 0,
    rows: PAGE_ROWS,
};

/// A page of the array.
struct Page {
    json: Bytes,
    /// The cursor of the next page, if there may be one.
    next: Option<PageCursor>,
}

/// Reads a page over a new connection.
async fn page(mysql_url: &str, start: u8, from: PageCursor) -> Result<Page, MysqlError> {
    let connection = Connection::open(mysql_url).await?;
    let rows = i64::try_from(from.rows).unwrap_or(i64::MAX);
    let rows = connection
        .query(&may_be_stale(sql::OVERVIEW_PAGE), ids([from.after, rows]))
        .await?;
    Ok(Page::of(start, &rows, from.rows))
}

impl Page {
    /// Writes the rows as members of a JSON array, after `start`, up to the size of a page. `asked` is how many rows
    /// the query asked for.
    fn of(start: u8, rows: &[Row], asked: usize) -> Self {
        let mut json = Vec::with_capacity(PAGE_BYTES);
        let mut last = None;
        for (at, (product_id, name, sku, price, quantity)) in rows.iter().enumerate() {
            if json.len() >= PAGE_BYTES {
                break;
            }
            json.push(if at == 0 { start } else { b',' });
            let line = Line {
                name,
                sku,
                price: *price,
                quantity: *quantity,
            };
            serde_json::to_writer(&mut json, &line).expect("texts and numbers are always JSON");
            last = Some((at + 1, *product_id));
        }
        if last.is_none() {
            json.push(start);
        }
        json.shrink_to_fit();
        let next = match last {
            // The next rows are probably as long, so ask for no more of them than fit.
            Some((taken, after)) if taken < rows.len() => Some(PageCursor { after, rows: taken }),
            Some((_, after)) if rows.len() == asked => Some(PageCursor {
                after,
                rows: (2 * asked).min(PAGE_ROWS),
            }),
            _ => None,
        };
        Self {
            json: json.into(),
            next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, quantity: i64) -> Row {
        (1, name.into(), "LMP-1".into(), Cents::new(4999), quantity)
    }

    #[test]
    fn pages_make_up_one_array() {
        let first = Page::of(b'[', &[row("Lampe \"été\"", 5), row("B", 0)], 2);
        let second = Page::of(b',', &[row("C", -1)], 4);
        let pages = [&first.json[..], &second.json, b"]"].concat();
        let array: serde_json::Value = serde_json::from_slice(&pages).expect("it is JSON");
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
        let page = Page::of(b'[', &[], PAGE_ROWS);
        assert_eq!(page.json, b"["[..]);
        assert_eq!(page.next, None);
    }

    #[test]
    fn only_a_full_page_may_be_followed_by_another() {
        let rows = vec![row("A", 1); PAGE_ROWS];
        assert_eq!(
            Page::of(b'[', &rows, PAGE_ROWS).next,
            Some(PageCursor { after: 1, ..FIRST })
        );
        assert_eq!(Page::of(b'[', &rows[1..], PAGE_ROWS).next, None);
    }

    /// Names of 255 characters of four bytes each.
    #[test]
    fn a_page_of_long_names_ends_early_and_the_next_asks_for_as_many() {
        let rows: Vec<Row> = (1..=500)
            .map(|id| (id, "😀".repeat(255), "S".into(), Cents::ZERO, 0))
            .collect();
        let page = Page::of(b'[', &rows, PAGE_ROWS);
        let next = page.next.expect("there is more");
        assert!(page.json.len() < PAGE_BYTES + 2048, "{}", page.json.len());
        assert_eq!(next.after, next.rows as i64);
        let rest = &rows[next.rows..2 * next.rows];
        let page = Page::of(b',', rest, next.rows);
        let following = page.next.expect("there is more");
        assert_eq!(following.after, 2 * next.after);
    }
}
