//! Other proxies that are measured in the same run, if their program is given or found.

use std::path::PathBuf;

use xtask::programs::find_program;

/// A proxy that is measured beside nginx and store-proxy.
#[derive(Clone, Debug)]
pub(super) struct Competitor {
    pub(super) kind: Kind,
    pub(super) program: PathBuf,
}

/// The proxies that we can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Haproxy,
}

impl Kind {
    const ALL: [Self; 1] = [Self::Haproxy];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
        }
    }

    /// The ports without and with TLS, as in the proxy's configuration file.
    pub(super) fn ports(self) -> [u16; 2] {
        match self {
            Self::Haproxy => [18_030, 18_031],
        }
    }

    /// The configuration file in `loadtest/proxy`, and the text in it before the number of workers.
    pub(super) fn config(self) -> (&'static str, &'static str) {
        match self {
            Self::Haproxy => ("haproxy.cfg", "nbthread "),
        }
    }

    /// The flags before the file's name. They also keep the proxy in the foreground.
    pub(super) fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Haproxy => &["-db", "-f"],
        }
    }
}

impl Competitor {
    /// Reads `NAME` or `NAME=PROGRAM`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, program) = text
            .split_once('=')
            .map_or((text, None), |(name, program)| (name, Some(program)));
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| {
            let names = Kind::ALL.map(Kind::name).join(", ");
            format!("must be NAME or NAME=PROGRAM, with one of these names: {names}")
        })?;
        let program = match program {
            Some(program) => PathBuf::from(program),
            None => find_program(name).ok_or_else(|| {
                format!("`{name}` is not installed; say where it is: {name}=PROGRAM")
            })?,
        };
        if !program.is_file() {
            return Err(format!("{}: there is no such file", program.display()));
        }
        Ok(Self { kind, program })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_one_we_know_and_its_program_is_there() {
        let program = std::env::current_exe().expect("this test");
        let peer = Competitor::parse(&format!("haproxy={}", program.display())).expect("a peer");
        assert_eq!((peer.kind, peer.program), (Kind::Haproxy, program));
        for (wrong, told) in [
            ("squid", "these names: haproxy"),
            (
                "haproxy=/no/such/file",
                "/no/such/file: there is no such file",
            ),
        ] {
            let error = Competitor::parse(wrong).expect_err("wrong");
            assert!(error.ends_with(told), "{error}");
        }
    }
}
