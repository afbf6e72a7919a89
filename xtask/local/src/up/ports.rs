//! Checks the hosts' ports before building and seeding take minutes.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};

/// Fails if one of `count` ports from `port` or from `admin_port` is taken.
pub(super) fn check_free(port: u16, admin_port: u16, count: u16) -> Result<()> {
    ensure!(
        port.abs_diff(admin_port) >= count,
        "--port {port} and --admin-port {admin_port} are too close for {count} instances"
    );
    for (flag, first) in [("--port", port), ("--admin-port", admin_port)] {
        for port in first..first + count {
            TcpListener::bind(("127.0.0.1", port))
                .with_context(|| format!("port {port} of 127.0.0.1: choose others with {flag}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_flag() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).expect("some port is free");
        let port = taken
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let away = if port > 40_000 {
            port - 1_000
        } else {
            port + 1_000
        };
        let error = check_free(port, away, 1).expect_err("the port is taken");
        assert!(
            format!("{error:#}").contains(&format!("port {port} of 127.0.0.1")),
            "{error:#}"
        );
    }

    #[test]
    fn overlapping_ranges_are_refused() {
        assert!(check_free(5000, 5001, 2).is_err());
    }
}
