//! The one mix of reads, for whatever sends them.

use testbed::seed::Size;

use super::Numbers;

/// Of ten reads: routes, with `{}` for the id. The two reports are the components' own, and come as often as all else.
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

/// Paths to read, without end, the same for the same seed, of data of this size.
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
