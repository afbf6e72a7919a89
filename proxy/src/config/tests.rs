//! Tests of the whole file: its example, its defaults, and how mistakes are reported.

use std::path::Path;

use super::*;

const EXAMPLE: &str = include_str!("../../store-proxy.example.toml");

/// The smallest file that is valid.
const LEAST: &str = "[upstreams.store]\nservers = [{ address = \"127.0.0.1:5000\" }]\n";

fn parse(text: &str) -> Result<Config, String> {
    read::parse(text, Path::new("/etc/proxy")).map_err(|(line, reason)| format!("{line}: {reason}"))
}

/// The example with the `#` before each key removed. The `#` before prose has a space after it.
fn uncommented() -> String {
    let key = |line: &str| line.starts_with(|c: char| c.is_ascii_lowercase() || c == '[');
    EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if key(rest) => rest,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A server at this address, with default limits.
fn server(address: &str) -> ServerEntry {
    ServerEntry {
        address: Some(address.to_owned()),
        srv: None,
        location: ServerLocation::Address(address.parse().expect("an address")),
        weight: 1,
        max_connections: 1024,
        max_queue: 256,
    }
}

fn expected() -> Config {
    let group = Group {
        health: Some(Health::default()),
        cache: Some(Cache::default()),
        servers: ["127.0.0.1:5000", "127.0.0.1:5001"].map(server).into(),
        ..Group::default()
    };
    Config {
        server: Server {
            admin_token_file: "/etc/proxy/store-proxy.token".into(),
            pid_file: "/etc/proxy/store-proxy.pid".into(),
            upgrade_socket: "/etc/proxy/store-proxy.upgrade".into(),
            ..Server::default()
        },
        listen: vec![Listen::default()],
        retry: Retry {
            keyed_posts: ["/orders", "/users", "/products", "/stocks"]
                .map(str::to_owned)
                .to_vec(),
            ..Retry::default()
        },
        routes: vec![Route {
            path_prefix: "/".into(),
            host: None,
            upstreams: "store".into(),
        }],
        upstreams: BTreeMap::from([("store".into(), group)]),
        ..Config::default()
    }
}

#[test]
fn the_example_is_valid_and_means_the_defaults() {
    assert_eq!(parse(EXAMPLE), Ok(expected()));
}

#[test]
fn what_the_example_shows_commented_are_the_defaults() {
    let mut shown = parse(&uncommented()).expect("valid");
    // These have no default; the example shows values for them.
    assert!(shown.listen[0].tls.take().is_some());
    assert!(shown.limits.rate.take().is_some());
    assert!(shown.access_log.path.take().is_some());
    assert!(shown.routes[0].host.take().is_some());
    let group = shown.upstreams.get_mut("store").expect("a group");
    assert!(group.tls.take().is_some());
    assert!(shown.console.upstream_admin_port.take().is_some());
    shown.server.threads = Server::default().threads;
    assert_eq!(shown, expected());
}

#[test]
fn the_example_names_every_key() {
    let shown = parse(&uncommented()).expect("valid");
    // All keys are set in the example, so serializing its settings names each key.
    let all: toml::Table = toml::from_str(&shown.to_toml().expect("prints")).expect("parses");
    let named: toml::Table = toml::from_str(&uncommented()).expect("parses");
    let mut missing = Vec::new();
    compare(&all.into(), &named.into(), "", &mut missing);
    assert!(missing.is_empty(), "not in the example: {missing:?}");
}

fn compare(all: &toml::Value, named: &toml::Value, path: &str, missing: &mut Vec<String>) {
    if let (Some(all), Some(named)) = (all.as_array(), named.as_array()) {
        // Later entries need not repeat the keys of the first.
        if let (Some(all), Some(named)) = (all.first(), named.first()) {
            compare(all, named, path, missing);
        }
    }
    for (key, value) in all.as_table().into_iter().flatten() {
        let path = format!("{path}.{key}");
        match named.get(key) {
            Some(named) => compare(value, named, &path, missing),
            None => missing.push(path),
        }
    }
}

#[test]
fn what_is_printed_means_the_same() {
    for text in [EXAMPLE, &uncommented(), LEAST] {
        let config = parse(text).expect("valid");
        let printed = config.to_toml().expect("prints");
        assert_eq!(parse(&printed), Ok(config), "{printed}");
    }
}

/// Text that is added to [`LEAST`], and the complaint, which begins with the line's number.
const MISTAKES: [(&str, &str); 45] = [
    (
        "[limits]\nheader_cuont = 1",
        "4: `limits.header_cuont`: no such key; did you mean `header_count`?",
    ),
    (
        "[limit]\nheader_count = 1",
        "3: `limit`: no such key; did you mean `limits`?",
    ),
    (
        "[limits]\nzzz = 1",
        "4: `limits.zzz`: no such key; there is header_count, header_bytes, body_bytes, header_timeout, body_timeout, idle_timeout, send_timeout, request_timeout, connections, connections_per_client, requests_per_client, rate",
    ),
    (
        "[limits]\nheader_count = \"many\"",
        "4: `limits.header_count`: invalid type: string \"many\", expected a whole number in range",
    ),
    (
        "[limits]\nheader_count = -1",
        "4: `limits.header_count`: invalid value: integer `-1`, expected a whole number in range",
    ),
    (
        "[limits]\nheader_count = 0",
        "4: `limits.header_count`: must be from 1 to 256, not 0",
    ),
    (
        "[limits]\nidle_timeout = \"0s\"",
        "4: `limits.idle_timeout`: must be longer than zero",
    ),
    (
        "[limits]\nidle_timeout = 5",
        "4: `limits.idle_timeout`: invalid type: integer `5`, expected a string",
    ),
    (
        "[limits]\n\nheader_count = 1\nheader_count = 2",
        "6: duplicate key",
    ),
    ("[limits\n", "3: unclosed table, expected `]`"),
    (
        "[limits.rate]\nper_second = 0.0\nburst = 1",
        "4: `limits.rate.per_second`: must be from 0.001 to 1000000, not 0",
    ),
    (
        "[limits.rate]\nper_second = nan\nburst = 1",
        "4: `limits.rate.per_second`: must be from 0.001 to 1000000, not NaN",
    ),
    (
        "[limits.rate]\nper_second = 1.0",
        "3: `limits.rate`: missing field `burst`",
    ),
    (
        "[retry]\nbudget = 1.5",
        "4: `retry.budget`: must be from 0 to 1, not 1.5",
    ),
    (
        "[server]\nadmin = \"127.0.0.1:0\"",
        "4: `server.admin`: port 0 can't be taken over by a new process; name a port",
    ),
    (
        "[server]\nadmin = \"localhost:80\"",
        "4: `server.admin`: invalid socket address syntax",
    ),
    (
        "[[listen]]\naddress = \"127.0.0.1:1\"\n[[listen]]\naddress = \"127.0.0.1:1\"",
        "6: `listen[1].address`: another listener has this address already",
    ),
    (
        "[[listen]]\naddress = \"127.0.0.1:8081\"",
        "4: `listen[0].address`: another listener has this address already",
    ),
    (
        "[[listen]]\nh2c = true\n[listen.tls]\ncertificate = \"a\"\nkey = \"b\"",
        "4: `listen[0].h2c`: is HTTP/2 without TLS; with TLS it is `h2`",
    ),
    (
        "[forwarded]\ntrusted = [\"10.0.0.0/33\"]",
        "4: `forwarded.trusted[0]`: invalid IP address syntax",
    ),
    (
        "[[route]]\nupstreams = \"stor\"",
        "4: `route[0].upstreams`: there is no group `stor`; did you mean `store`?",
    ),
    (
        "[[route]]\nupstreams = \"store\"\npath_prefix = \"orders\"",
        "5: `route[0].path_prefix`: must begin with /",
    ),
    (
        "[[route]]\nupstreams = \"store\"\nhost = \"store:80\"",
        "5: `route[0].host`: must be a host name or address, without a port",
    ),
    (
        "[[route]]\nupstreams = \"store\"\n[[route]]\nupstreams = \"store\"",
        "5: `route[1].path_prefix`: another route matches the same requests",
    ),
    (
        "[upstreams.other]\n",
        "3: `upstreams.other`: a group needs at least one of `servers`",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"127.0.0.1:1\" }]",
        "1: `upstreams`: with several groups, say which requests go where: [[route]]",
    ),
    (
        "[upstreams.other]\npolicy = \"round_robbin\"",
        "4: `upstreams.other.policy`: no such value: `round_robbin`; did you mean `round_robin`?",
    ),
    (
        "[upstreams.other]\nhash_on = \"header:\"",
        "4: `upstreams.other.hash_on`: write \"client_address\" or \"header:NAME\"",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"127.0.0.1\" }]\n[[route]]\nupstreams = \"store\"",
        "4: `upstreams.other.servers[0].address`: `127.0.0.1` is no address; write for example \"127.0.0.1:5000\"",
    ),
    (
        "[[upstreams.other.servers]]\naddress = \"127.0.0.1:1\"\n[[upstreams.other.servers]]\naddress = \"127.0.0.1:1\"",
        "6: `upstreams.other.servers[1].address`: `127.0.0.1:1` is named twice",
    ),
    (
        "[[upstreams.other.servers]]\naddress = \"127.0.0.1:1\"\nweight = 2",
        "5: `upstreams.other.servers[0].weight`: round_robin takes no weights; set policy = \"weighted_round_robin\"",
    ),
    (
        "[[upstreams.other.servers]]\naddress = \"127.0.0.1:1\"\nwheight = 2",
        "5: `upstreams.other.servers[0].wheight`: no such key; did you mean `weight`?",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"127.0.0.1:1\" }]\ncache = { heuristic_percent = 101 }",
        "5: `upstreams.other.cache.heuristic_percent`: must be from 0 to 100, not 101",
    ),
    (
        "[upstreams.other]\nservers = [{ weight = 1 }]",
        "4: `upstreams.other.servers[0]`: a server needs an `address` or `srv`",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"a:1\", srv = \"b\" }]",
        "4: `upstreams.other.servers[0].srv`: a server has an `address` or `srv`, not both",
    ),
    (
        "[upstreams.other]\nservers = [{ srv = \"_http._tcp.store:80\" }]",
        "4: `upstreams.other.servers[0].srv`: `_http._tcp.store:80` is no name; write for example \"_http._tcp.store\"",
    ),
    (
        "[upstreams.other]\nservers = [{ srv = \"store\", weight = 2 }]",
        "4: `upstreams.other.servers[0].weight`: SRV records have weights of their own",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"store:0\" }]",
        "4: `upstreams.other.servers[0].address`: a server can't have port 0",
    ),
    (
        "[[upstreams.other.servers]]\nsrv = \"store\"\n[[upstreams.other.servers]]\nsrv = \"store\"",
        "6: `upstreams.other.servers[1].srv`: `store` is named twice",
    ),
    (
        "[resolver]\nservers = [\"10.96.0.10\", \"dns.example\"]",
        "4: `resolver.servers`: write an IP address, and a port if it is not 53",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"a:1\" }]\ntls = { server_name = \"a:1\" }",
        "5: `upstreams.other.tls.server_name`: `a:1` is no host name or IP address; write it without a port",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"a:1\" }]\ntls = { certificate = \"a.pem\" }",
        "5: `upstreams.other.tls.certificate`: needs its `key` beside it",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"a:1\" }]\ntls = { key = \"a.pem\" }",
        "5: `upstreams.other.tls.key`: needs its `certificate` beside it",
    ),
    (
        "[upstreams.other]\nservers = [{ address = \"a:1\" }]\ntls = true",
        "5: `upstreams.other.tls`: invalid type: boolean `true`, expected struct UpstreamTls",
    ),
    (
        "[upstreams.other.cache]\nrange = true",
        "4: `upstreams.other.cache.range`: no such key; did you mean `ranges`?",
    ),
];

#[test]
fn mistakes_are_told_with_line_key_and_suggestion() {
    let mut wrong = Vec::new();
    for (mistake, complaint) in MISTAKES {
        let said = parse(&format!("{LEAST}{mistake}\n")).expect_err(mistake);
        if said != complaint {
            wrong.push(format!("{mistake}\n  says   {said}\n  should {complaint}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn certificates_for_upstreams_are_read_with_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxy.toml");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writes");
    let tls =
        "[upstreams.store.tls]\nca = \"ca.pem\"\ncertificate = \"own.pem\"\nkey = \"own.key\"\n";
    write("proxy.toml", &format!("{LEAST}{tls}"));
    let told = || load(&file).expect_err("wrong").to_string();
    let missing = told();
    assert!(
        missing.contains("proxy.toml:4: `upstreams.store.tls.ca`: "),
        "{missing}"
    );
    assert!(
        missing.ends_with("/ca.pem: No such file or directory (os error 2)"),
        "{missing}"
    );

    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).expect("made");
    let (ca, own, other) = (made("ca"), made("own"), made("other"));
    write("ca.pem", &ca.cert.pem());
    write("own.pem", &own.cert.pem());
    write("own.key", &other.signing_key.serialize_pem());
    let apart = told();
    assert!(
        apart.contains("proxy.toml:5: `upstreams.store.tls.certificate`: "),
        "{apart}"
    );
    assert!(
        apart.contains("/own.pem and ") && apart.contains("/own.key: "),
        "{apart}"
    );

    write("own.key", &own.signing_key.serialize_pem());
    let config = load(&file).expect("goes together");
    let tls = config.upstreams["store"].tls.as_ref().expect("TLS");
    assert_eq!(tls.read.authorities, [ca.cert.der().to_vec()]);
    let key = own.signing_key.serialize_der();
    assert_eq!(
        tls.read.identity,
        Some((vec![own.cert.der().to_vec()], key.clone()))
    );
    let printed = format!("{config:?}");
    assert!(!printed.contains(&format!("{key:?}")), "{printed}");

    write("ca.pem", "none");
    let other = told();
    assert!(
        other.contains("ca.pem: no certificate in PEM form"),
        "{other}"
    );
}

#[test]
fn no_file_and_an_empty_file_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxy.toml");
    let missing = load(&file).expect_err("missing").to_string();
    assert!(
        missing.ends_with("No such file or directory (os error 2)"),
        "{missing}"
    );
    std::fs::write(&file, "").expect("writes");
    let empty = load(&file).expect_err("empty").to_string();
    let expected = "proxy.toml:1: no group of upstreams; write [upstreams.store] with `servers`";
    assert!(empty.ends_with(expected), "{empty}");
}
