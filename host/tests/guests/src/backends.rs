//! What a component can ask of MySQL and Redis, as a test writes it: one step a line, one line of answer each.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use spin_sdk::mysql::{self, DbValue, ParameterValue, QueryResult};
use spin_sdk::redis::{self, RedisParameter, RedisResult};
use spin_sdk::wasip3::wit_bindgen::StreamResult;

use crate::sleep;

const ROWS_AT_ONCE: usize = 4;

/// What is open.
#[derive(Default)]
struct OpenResources {
    mysql: Vec<mysql::Connection>,
    /// Results of which nothing is read.
    unread: Vec<QueryResult>,
    redis: Vec<redis::Connection>,
}

/// Does all steps, whatever becomes of each.
pub(crate) async fn run(script: &str) -> String {
    let mut open = OpenResources::default();
    let mut answers = String::new();
    for step in script.lines() {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        let answer = match open.step(verb, rest).await {
            Ok(answer) => answer,
            Err(error) => format!("error: {error}"),
        };
        answers.push_str(&answer.replace('\n', " "));
        answers.push('\n');
    }
    answers
}

impl OpenResources {
    async fn step(&mut self, verb: &str, rest: &str) -> Result<String, String> {
        match verb {
            "mysql" => {
                let opened = mysql::Connection::open(rest.to_owned()).await;
                self.mysql.push(opened.map_err(text)?);
            }
            "redis" => {
                let opened = redis::Connection::open(rest.to_owned()).await;
                self.redis.push(opened.map_err(text)?);
            }
            "close" => *self = Self::default(),
            "execute" => {
                let connection = self.mysql.last().ok_or("no connection")?;
                let done = connection.execute(rest.to_owned(), Vec::new()).await;
                done.map_err(text)?;
            }
            // A parameter of so many MiB.
            "send" => {
                let connection = self.mysql.last().ok_or("no connection")?;
                let mib = rest.parse::<usize>().map_err(text)?;
                let parameter = ParameterValue::Binary(vec![b'x'; mib << 20]);
                let statement = "SELECT LENGTH(?)".to_owned();
                let done = connection.execute(statement, vec![parameter]).await;
                done.map_err(text)?;
            }
            "flood" => return self.flood(rest.parse::<usize>().map_err(text)?).await,
            "unread" => {
                let connection = self.mysql.last().ok_or("no connection")?;
                let result = connection.query(rest.to_owned(), Vec::new()).await;
                self.unread.push(result.map_err(text)?);
            }
            "query" => return self.query(rest).await,
            "command" => return self.command(rest).await,
            _ => return Err(format!("no step `{verb}`")),
        }
        Ok("ok".into())
    }

    /// Makes so many calls at once, each with a parameter of 3 MiB, and says how many have failed after a while.
    async fn flood(&self, count: usize) -> Result<String, String> {
        let connection = self.mysql.last().ok_or("no connection")?;
        let call = || {
            let parameter = ParameterValue::Binary(vec![b'x'; 3 << 20]);
            Box::pin(connection.execute("SELECT LENGTH(?)".to_owned(), vec![parameter]))
        };
        let mut calls: Vec<_> = (0..count).map(|_| call()).collect();
        let mut failed = 0;
        let mut while_over = pin!(sleep(500));
        poll_fn(|cx| {
            calls.retain_mut(|call| match call.as_mut().poll(cx) {
                Poll::Ready(done) => {
                    failed += usize::from(done.is_err());
                    false
                }
                Poll::Pending => true,
            });
            while_over.as_mut().poll(cx)
        })
        .await;
        Ok(format!("{failed} of {count} failed"))
    }

    /// The rows of a small result, or how many bytes a large one has.
    async fn query(&self, statement: &str) -> Result<String, String> {
        let connection = self.mysql.last().ok_or("no connection")?;
        let mut result = connection
            .query(statement.to_owned(), Vec::new())
            .await
            .map_err(text)?;
        let (mut all, mut bytes, mut count) = (String::new(), 0, 0);
        loop {
            let (status, rows) = result.rows().read(Vec::with_capacity(ROWS_AT_ONCE)).await;
            for value in rows.into_iter().flatten() {
                let value = shown(value);
                bytes += value.len();
                count += 1;
                if all.len() + value.len() < 1000 {
                    all.push_str(&value);
                    all.push(',');
                }
            }
            if status == StreamResult::Dropped {
                break;
            }
        }
        result.result().await.map_err(text)?;
        Ok(if bytes < 1000 {
            all.trim_end_matches(',').to_owned()
        } else {
            format!("{count} values of {bytes} bytes")
        })
    }

    async fn command(&self, words: &str) -> Result<String, String> {
        let connection = self.redis.last().ok_or("no connection")?;
        let mut words = words.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let arguments: Vec<_> = words
            .map(|word| RedisParameter::Binary(word.into()))
            .collect();
        let results = connection.execute(name, arguments).await;
        let results = results.map_err(text)?;
        let shown: Vec<String> = results.into_iter().map(reply).collect();
        let all = shown.join(",");
        Ok(if all.len() < 1000 {
            all
        } else {
            format!("{} bytes", all.len())
        })
    }
}

fn shown(value: DbValue) -> String {
    match value {
        DbValue::Str(text) => text,
        DbValue::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        DbValue::DbNull => "NULL".into(),
        DbValue::Int32(number) => number.to_string(),
        DbValue::Int64(number) => number.to_string(),
        DbValue::Uint64(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn reply(result: RedisResult) -> String {
    match result {
        RedisResult::Nil => "nil".into(),
        RedisResult::Status(status) => status,
        RedisResult::Int64(number) => number.to_string(),
        RedisResult::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}
