//! The network of the members: loopback, or a bridge with a network namespace for each member.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{self, Command};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use testbed::{Seat, find_program};

/// An address range for tests of network equipment (RFC 2544), which nobody uses.
const NET: [u8; 2] = [198, 18];

/// The last part of our own address on the bridge.
const OURS: u8 = 254;

/// The kinds of network that a user can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Choice {
    /// Namespaces if root allows it, else loopback
    Auto,
    /// A network namespace for each member, which can be cut off
    Namespaces,
    /// Ports of 127.0.0.1; no member can be cut off
    Loopback,
}

/// Gives seats to members, and cuts members off.
#[derive(Debug)]
pub(super) enum Network {
    Loopback,
    Namespaces(Bridge),
}

/// A bridge and the namespaces behind it. Dropping it removes all of them.
#[derive(Debug)]
pub(super) struct Bridge {
    name: String,
    /// The third part of all addresses.
    net: u8,
    /// The names of the namespaces, in the order of their addresses.
    namespaces: Vec<String>,
}

impl Network {
    pub(super) fn new(choice: Choice) -> Result<Self> {
        if choice == Choice::Loopback {
            return Ok(Self::Loopback);
        }
        let bridge = Bridge::new();
        match (bridge, choice) {
            (Ok(bridge), _) => Ok(Self::Namespaces(bridge)),
            (Err(error), Choice::Auto) => {
                eprintln!(
                    "  no network namespaces, so no member is cut off from the others: {error:#}"
                );
                Ok(Self::Loopback)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// A seat for a member.
    pub(super) fn seat(&mut self, member: &str) -> Result<Seat> {
        match self {
            Self::Loopback => Ok(Seat::LOOPBACK),
            Self::Namespaces(bridge) => bridge.seat(member),
        }
    }

    /// A port for a member: its usual port if no other member can have it.
    pub(super) fn port(&self, usual: u16) -> Result<u16> {
        match self {
            Self::Loopback => testbed::free_port(),
            Self::Namespaces(_) => Ok(usual),
        }
    }

    pub(super) fn can_cut_off(&self) -> bool {
        matches!(self, Self::Namespaces(_))
    }

    /// Cuts a member off: nothing reaches it, and it reaches nothing.
    pub(super) fn cut_off(&self, member: &str) -> Result<()> {
        self.set(member, "down")
    }

    /// Connects a member again.
    pub(super) fn mend(&self, member: &str) -> Result<()> {
        self.set(member, "up")
    }

    fn set(&self, member: &str, state: &str) -> Result<()> {
        match self {
            Self::Loopback => Ok(()),
            Self::Namespaces(bridge) => ip(&["link", "set", &bridge.port_of(member)?, state]),
        }
    }
}

impl Bridge {
    fn new() -> Result<Self> {
        for program in ["ip", "nsenter"] {
            ensure!(
                find_program(program).is_some(),
                "`{program}` is not installed"
            );
        }
        remove_leftovers()?;
        let id = process::id();
        let name = format!("store{id}");
        ip(&["link", "add", &name, "type", "bridge"])?;
        let bridge = Self {
            name,
            net: (id % 256) as u8,
            namespaces: Vec::new(),
        };
        let address = format!("{}/24", bridge.address(OURS));
        ip(&["address", "add", &address, "dev", &bridge.name])?;
        ip(&["link", "set", &bridge.name, "up"])?;
        Ok(bridge)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(NET[0], NET[1], self.net, last)
    }

    /// Makes a namespace whose only connection is a port of the bridge.
    fn seat(&mut self, member: &str) -> Result<Seat> {
        let name = self.namespace(member);
        ip(&["netns", "add", &name])?;
        self.namespaces.push(name.clone());
        let port = self.port_of(member)?;
        ip(&[
            "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &name,
        ])?;
        ip(&["link", "set", &port, "master", &self.name, "up"])?;
        let address = self.address(self.namespaces.len() as u8);
        ip(&[
            "-n",
            &name,
            "address",
            "add",
            &format!("{address}/24"),
            "dev",
            "eth0",
        ])?;
        for device in ["lo", "eth0"] {
            ip(&["-n", &name, "link", "set", device, "up"])?;
        }
        Ok(Seat::in_namespace(&name, address))
    }

    fn namespace(&self, member: &str) -> String {
        format!("{}-{member}", self.name)
    }

    /// The name of a member's port. Names of network devices have at most 15 characters.
    fn port_of(&self, member: &str) -> Result<String> {
        let name = self.namespace(member);
        let number = self.namespaces.iter().position(|found| *found == name);
        let number = number.with_context(|| format!("{member} has no seat"))?;
        Ok(format!("{}p{number}", self.name))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            // This also removes both ends of the member's port.
            say_error(ip(&["netns", "delete", namespace]));
        }
        say_error(ip(&["link", "delete", &self.name]));
    }
}

fn say_error(result: Result<()>) {
    if let Err(error) = result {
        eprintln!("  {error:#}");
    }
}

/// Removes the network that a killed run has left.
fn remove_leftovers() -> Result<()> {
    let is_over = |name: &&str| {
        let id = name.strip_prefix("store")?.split('-').next()?;
        let id: u32 = id.parse().ok()?;
        Some(!Path::new("/proc").join(id.to_string()).exists())
    };
    let namespaces = said(&["netns", "list"])?;
    let names = namespaces.lines().filter_map(|line| line.split(' ').next());
    for name in names.filter(|name| is_over(name) == Some(true)) {
        ip(&["netns", "delete", name])?;
    }
    let bridges = said(&["-brief", "link", "show", "type", "bridge"])?;
    let names = bridges.lines().filter_map(|line| line.split(' ').next());
    for name in names.filter(|name| is_over(name) == Some(true)) {
        ip(&["link", "delete", name])?;
    }
    Ok(())
}

fn ip(args: &[&str]) -> Result<()> {
    said(args).map(drop)
}

fn said(args: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(args).output();
    let output = output.context("running ip, of Debian's iproute2")?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`ip {}`: {}",
        args.join(" "),
        error.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
