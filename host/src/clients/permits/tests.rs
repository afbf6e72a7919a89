//! How permits are shared and passed on.

use std::pin::Pin;

use futures::FutureExt;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn client(number: u8) -> Asker {
    Some(IpAddr::from([203, 0, 113, number]))
}

type Waiter = Pin<Box<dyn Future<Output = Option<Permit>>>>;

/// Waiting callers in the order of their arrival, each with its client.
struct Crowd(Vec<(u8, Waiter)>);

impl Crowd {
    fn of(permits: &Arc<Permits>, clients: &[u8]) -> Self {
        let waiting = clients.iter().map(|number| {
            let (permits, number) = (permits.clone(), *number);
            let permit = async move { permits.wait(client(number), LONG).await };
            (number, Box::pin(permit) as _)
        });
        let mut crowd = Self(waiting.collect());
        assert!(crowd.served().is_empty());
        crowd
    }

    /// The callers that have a permit by now, with it.
    fn served(&mut self) -> Vec<(u8, Permit)> {
        let mut served = Vec::new();
        self.0.retain_mut(|(number, permit)| {
            let permit = permit.as_mut().now_or_never();
            let is_served = permit.is_some();
            served.extend(permit.flatten().map(|permit| (*number, permit)));
            !is_served
        });
        served
    }
}

fn numbers(served: &[(u8, Permit)]) -> Vec<u8> {
    served.iter().map(|(number, _)| *number).collect()
}

#[tokio::test]
async fn clients_take_turns_for_what_is_given_back() {
    let permits = Permits::whole(1);
    let mut held = permits.take(client(1));
    let mut crowd = Crowd::of(&permits, &[1, 1, 1, 2, 2, 3]);
    let mut order = Vec::new();
    while let Some(permit) = held {
        drop(permit);
        let served = crowd.served();
        order.extend(numbers(&served));
        held = served.into_iter().next().map(|(_, permit)| permit);
    }
    assert_eq!(order, [1, 2, 3, 1, 2, 1]);
    assert!(permits.are_all_free());
}

#[tokio::test]
async fn one_client_never_has_all() {
    let permits = Permits::shared(8);
    let of_1: Vec<Permit> = std::iter::from_fn(|| permits.take(client(1))).collect();
    assert_eq!(of_1.len(), 6);
    let mut crowd = Crowd::of(&permits, &[1, 1]);
    let of_2: Vec<Permit> = std::iter::from_fn(|| permits.take(client(2))).collect();
    assert_eq!(of_2.len(), 2);
    drop(of_2);
    assert!(crowd.served().is_empty(), "it has its share");
    assert!(permits.take(client(3)).is_some());
    drop(of_1);
    assert_eq!(numbers(&crowd.served()), [1, 1]);
    let of_host: Vec<Permit> = std::iter::from_fn(|| permits.take(None)).collect();
    assert_eq!(of_host.len(), 8);
}

#[test]
fn few_are_not_divided() {
    for (count, share) in [(1, 1), (3, 3), (4, 3), (16, 12), (0, 0)] {
        assert_eq!(Permits::shared(count).share, share);
    }
}

#[test]
fn copies_never_have_more_than_half() {
    for (count, most) in [(1, 1), (2, 1), (4, 2), (16, 8)] {
        let permits = Permits::shared(count);
        let copies: Vec<Permit> = (0..count)
            .filter_map(|_| permits.take(Some(COPIES)))
            .collect();
        assert_eq!(copies.len(), most);
        assert!(count == 1 || permits.take(client(1)).is_some());
    }
}

#[tokio::test]
async fn what_is_kept_is_given_to_nobody_until_it_no_longer_is() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static KEPT: AtomicU32 = AtomicU32::new(1);
    let permits = Permits::with_reserve(3, || KEPT.load(Ordering::Relaxed));
    let mut held: Vec<Permit> = std::iter::from_fn(|| permits.take(client(1))).collect();
    assert_eq!(held.len(), 2);
    let mut crowd = Crowd::of(&permits, &[1, 2, 2]);
    held.pop();
    assert_eq!(numbers(&crowd.served()), [1]);
    KEPT.store(0, Ordering::Relaxed);
    held.pop();
    assert_eq!(crowd.served().len(), 2);
    // One permit is given however many must stay free.
    KEPT.store(9, Ordering::Relaxed);
    assert!(permits.take(client(1)).is_some());
    assert!(permits.are_all_free());
}

#[tokio::test]
async fn who_left_costs_nobody_a_permit() {
    let permits = Permits::whole(1);
    let held = permits.take(None);
    let mut left = Crowd::of(&permits, &[1, 2]);
    let mut crowd = Crowd::of(&permits, &[3, 3]);
    left.0.clear();
    drop(held);
    let served = crowd.served();
    assert_eq!(numbers(&served), [3]);
    // This caller already has its permit when it leaves.
    drop(served);
    crowd.0.clear();
    assert!(permits.are_all_free());
}

#[tokio::test]
async fn who_waits_in_vain_is_forgotten() {
    let permits = Permits::whole(1);
    let _held = permits.take(client(1));
    assert!(permits.wait(client(2), Duration::ZERO).await.is_none());
    assert!(permits.state.lock().waiting.is_empty());
}
