//! The only mix of reads, for every load.

use testbed::seed::Size;

use super::Numbers;

/// Ten reads: routes, with `{}` for an id. The two reports have a component of their own, and are as frequent as all
/// other reads.
const READS: [(&str, Ids); 10] = [
    ("/orders/reports/highest-spenders", Ids::None),
    ("/orders/reports/best-sellers", Ids::None),
    ("/orders/reports/highest-spenders", Ids::None),
    ("/orders/reports/best-sellers", Ids::None),
    ("/orders/{}", Ids::Orders),
    ("/orders/{}", Ids::Orders),
    ("/users/{}", Ids::Users),
    ("/products/{}", Ids::Products),
    ("/stocks/{}", Ids::Products),
    ("/health-check", Ids::None),
];

#[derive(Clone, Copy)]
enum Ids {
    None,
    Orders,
    Users,
    Products,
}

/// An endless sequence of paths to read, for data of this size; the same seed gives the same sequence.
pub(crate) fn reads(size: &Size, seed: u64) -> impl Iterator<Item = String> + use<> {
    let (users, products, orders) = (size.users, size.products, size.orders);
    let mut numbers = Numbers(seed);
    READS.iter().cycle().map(move |(path, ids)| {
        let id = match ids {
            Ids::None => 0,
            Ids::Orders => numbers.up_to(orders as u64),
            Ids::Users => numbers.up_to(users as u64),
            Ids::Products => numbers.up_to(products as u64),
        };
        path.replace("{}", &id.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_what_is_there() {
        let size = Size {
            users: 1,
            products: 1,
            orders: 1,
        };
        let paths: Vec<String> = reads(&size, 42).take(READS.len()).collect();
        for path in [
            "/orders/1",
            "/users/1",
            "/products/1",
            "/stocks/1",
            "/health-check",
        ] {
            assert!(paths.iter().any(|found| found == path), "{paths:?}");
        }
    }
}
