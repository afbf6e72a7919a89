//! Asks several servers at the same time where another server is. A server that is cut off may not know of the latest
//! failover, so the majority decides.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use redis::{RedisError, RedisResult};

/// For how long an answer is used again: after a failover, many callers ask at the same time.
pub(super) const STANDS: Duration = Duration::from_millis(500);

/// The answers, if no more than half of the asked servers say the same.
pub(super) struct Disagreement<T> {
    pub(super) opinions: Vec<T>,
    pub(super) errors: Vec<RedisError>,
}

/// Waits for answers until more than half of the asked servers agree.
///
/// # Errors
/// All servers have answered or failed without a majority; the error holds their answers.
pub(super) async fn ask_all<T: PartialEq>(
    asked: Vec<impl Future<Output = RedisResult<T>>>,
) -> Result<T, Disagreement<T>> {
    let half = asked.len() / 2;
    let mut answers: FuturesUnordered<_> = asked.into_iter().collect();
    let (mut opinions, mut errors) = (Vec::new(), Vec::new());
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(opinion) => {
                if opinions.iter().filter(|other| **other == opinion).count() >= half {
                    return Ok(opinion);
                }
                opinions.push(opinion);
            }
            Err(error) => errors.push(error),
        }
    }
    Err(Disagreement { opinions, errors })
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn answers(said: &[Result<u8, ()>]) -> Result<u8, (Vec<u8>, usize)> {
        let silent = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let asked = said
            .iter()
            .map(|said| ready(said.map_err(|()| silent().into())));
        let answer = futures::executor::block_on(ask_all(asked.collect::<Vec<_>>()));
        answer.map_err(|all| (all.opinions, all.errors.len()))
    }

    #[test]
    fn more_than_half_of_all_must_agree() {
        assert_eq!(answers(&[Ok(1)]), Ok(1));
        assert_eq!(answers(&[Ok(1), Err(()), Ok(1)]), Ok(1));
        assert_eq!(answers(&[Ok(2), Ok(1), Ok(2)]), Ok(2));
        assert_eq!(answers(&[Ok(1), Err(())]), Err((vec![1], 1)));
        assert_eq!(answers(&[Ok(1), Ok(2)]), Err((vec![1, 2], 0)));
        assert_eq!(answers(&[]), Err((vec![], 0)));
    }
}
