//! The differences that an audit found.

use std::collections::BTreeMap;
use std::fmt;

/// How many differences of each kind are printed; the others are only counted.
const SHOWN: usize = 20;

/// The kinds of comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Compares `orders.total_amount` with the sum of the order's items.
    OrderTotals,
    /// Compares `user_totals` with the sum of the user's orders.
    UserTotals,
    /// Compares `product_totals` with the sum of the product's order items.
    ProductTotals,
    /// Compares orders in Redis with orders in MySQL.
    CachedOrders,
    /// Compares stock levels in Redis with stock levels in MySQL.
    CachedStocks,
    /// Compares reports in Redis with reports computed from MySQL.
    CachedReports,
}

impl Check {
    const ALL: [Self; 6] = [
        Self::OrderTotals,
        Self::UserTotals,
        Self::ProductTotals,
        Self::CachedOrders,
        Self::CachedStocks,
        Self::CachedReports,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::OrderTotals => "order totals against items",
            Self::UserTotals => "user_totals against orders",
            Self::ProductTotals => "product_totals against items",
            Self::CachedOrders => "orders in Redis",
            Self::CachedStocks => "stock levels in Redis",
            Self::CachedReports => "reports in Redis",
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Findings {
    compared: usize,
    count: usize,
    shown: Vec<String>,
}

/// The result of an audit; its `Display` is the report for people.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    findings: BTreeMap<Check, Findings>,
}

impl Audit {
    /// Whether there are no differences.
    pub fn is_clean(&self) -> bool {
        self.findings.values().all(|findings| findings.count == 0)
    }

    /// How many differences `check` found.
    pub fn count(&self, check: Check) -> usize {
        self.findings
            .get(&check)
            .map_or(0, |findings| findings.count)
    }

    /// How many items `check` compared.
    pub fn compared(&self, check: Check) -> usize {
        self.findings
            .get(&check)
            .map_or(0, |findings| findings.compared)
    }

    pub(super) fn add_compared(&mut self, check: Check, count: usize) {
        self.findings.entry(check).or_default().compared += count;
    }

    pub(super) fn add(&mut self, check: Check, difference: String) {
        let findings = self.findings.entry(check).or_default();
        findings.count += 1;
        if findings.shown.len() < SHOWN {
            findings.shown.push(difference);
        }
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in Check::ALL {
            let (title, compared) = (check.title(), self.compared(check));
            match self.count(check) {
                0 => writeln!(f, "✓ {title}: {compared} compared")?,
                count => writeln!(f, "✗ {title}: {compared} compared, {count} wrong")?,
            }
            self.fmt_shown(check, f)?;
        }
        f.write_str(if self.is_clean() {
            "Nothing differs."
        } else {
            "The store is not right."
        })
    }
}

impl Audit {
    fn fmt_shown(&self, check: Check, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(findings) = self.findings.get(&check) else {
            return Ok(());
        };
        for line in &findings.shown {
            writeln!(f, "    {line}")?;
        }
        match findings.count - findings.shown.len() {
            0 => Ok(()),
            more => writeln!(f, "    … and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_twenty_are_listed_and_the_rest_counted() {
        let mut audit = Audit::default();
        for id in 1..=23 {
            audit.add(Check::UserTotals, format!("user {id}"));
        }
        let text = audit.to_string();
        assert!(!audit.is_clean());
        assert_eq!(audit.count(Check::UserTotals), 23);
        assert!(text.contains("user 20\n    … and 3 more"), "{text}");
    }
}
