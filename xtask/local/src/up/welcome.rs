//! What `up` prints when the store is up: the address of everything, first of all that of the console.

use super::observe;
use crate::store_urls;
use xtask::paths;

/// Where a program serves, and where its admin listener is: URLs without a path.
pub(super) struct ProgramUrls {
    pub(super) serves: String,
    pub(super) admin: String,
}

/// What differs from run to run.
pub(super) struct Welcome {
    pub(super) proxy: ProgramUrls,
    pub(super) hosts: Vec<ProgramUrls>,
    /// `MariaDB` or `MySQL`.
    pub(super) database_kind: &'static str,
    /// Without the password, because people copy and record terminals.
    pub(super) database: String,
    pub(super) redis: String,
    /// The URL of Prometheus, if it was started.
    pub(super) prometheus: Option<String>,
}

impl Welcome {
    pub(super) fn text(&self) -> String {
        let mut rows = vec![
            (
                "console".to_owned(),
                format!("{}/console", self.proxy.admin),
            ),
            ("store".to_owned(), self.proxy.row()),
        ];
        let hosts = (1..).zip(&self.hosts);
        rows.extend(hosts.map(|(number, host)| (format!("host {number}"), host.row())));
        let mut add = |name: &str, value: String| rows.push((name.to_owned(), value));
        let password = store_urls::file();
        add(
            self.database_kind,
            format!("{}   with password {}", self.database, password.display()),
        );
        add("Redis", self.redis.clone());
        if let Some(prometheus) = &self.prometheus {
            add("Prometheus", prometheus.clone());
            add("dashboard", observe::dashboard().display().to_string());
        }
        for (name, file) in [("logs", "logs"), ("admin token", "admin-token")] {
            add(name, paths::store().join(file).display().to_string());
        }
        let rows: String = rows
            .iter()
            .map(|(name, value)| format!("  {name:<13} {value}\n"))
            .collect();
        format!(
            "\nThe store is up. Ctrl-C stops it.\n\n{rows}\nTry   curl {}/orders/reports/best-sellers\n",
            self.proxy.serves
        )
    }
}

impl ProgramUrls {
    fn row(&self) -> String {
        format!("{}   metrics {}/metrics", self.serves, self.admin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(port: u16, admin_port: u16) -> ProgramUrls {
        ProgramUrls {
            serves: format!("http://127.0.0.1:{port}"),
            admin: format!("http://127.0.0.1:{admin_port}"),
        }
    }

    fn welcome(prometheus: Option<&str>) -> String {
        let welcome = Welcome {
            proxy: program(8080, 8081),
            hosts: vec![program(5000, 5100), program(5001, 5101)],
            database_kind: "MariaDB",
            database: "127.0.0.1:3306/store".into(),
            redis: "127.0.0.1:6379".into(),
            prometheus: prometheus.map(str::to_owned),
        };
        welcome.text()
    }

    #[test]
    fn the_console_comes_first_and_then_the_store_and_its_hosts() {
        let text = welcome(None);
        let addresses: Vec<&str> = text.lines().filter(|line| line.contains("://")).collect();
        assert_eq!(
            addresses,
            [
                "  console       http://127.0.0.1:8081/console",
                "  store         http://127.0.0.1:8080   metrics http://127.0.0.1:8081/metrics",
                "  host 1        http://127.0.0.1:5000   metrics http://127.0.0.1:5100/metrics",
                "  host 2        http://127.0.0.1:5001   metrics http://127.0.0.1:5101/metrics",
                "Try   curl http://127.0.0.1:8080/orders/reports/best-sellers",
            ],
            "{text}"
        );
    }

    #[test]
    fn prometheus_is_named_only_if_it_was_started() {
        assert!(!welcome(None).contains("Prometheus"));
        let text = welcome(Some("http://127.0.0.1:9090"));
        for line in [
            "  Prometheus    http://127.0.0.1:9090",
            "  Redis         127.0.0.1:6379",
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }
}
