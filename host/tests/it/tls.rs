//! MySQL with TLS: who is trusted, and what is said of those who are not; and the files of certificates and passwords.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mysql_async::prelude::Queryable;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use testbed::{DataStore, HostOptions, MariaDb, NameServer, TlsFiles};

use crate::limits::changed_app;
use crate::members::{mariadb, writes_to};
use crate::operator::with_token;
use crate::support::{Shop, host_binary, options, refuses, wait_for_log};

/// An authority, and certificates that it signed.
pub(crate) struct Papers {
    folder: PathBuf,
}

impl Papers {
    pub(crate) fn issue(store: &DataStore) -> Self {
        let folder = store.folder().join("papers");
        fs::create_dir(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Strangers have rcgen's usual name.
        params
            .distinguished_name
            .push(DnType::CommonName, "the store's authority");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
        for (name, host) in [
            ("server", "127.0.0.1"),
            ("other", "db.example"),
            ("client", "host"),
        ] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([host.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &ca).unwrap();
            fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(folder.join("stranger.pem"), stranger.cert.pem()).unwrap();
        Self { folder }
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// The files of a server that shows the certificate `name`.
    pub(crate) fn of(&self, name: &str) -> TlsFiles {
        let file = |suffix: &str| self.folder.join(format!("{name}.{suffix}"));
        TlsFiles {
            ca: self.folder.join("ca.pem"),
            certificate: file("pem"),
            key: file("key"),
        }
    }

    /// Flags of a host that trusts this authority, and shows its own certificate.
    pub(crate) fn flags(&self, kind: &str) -> [String; 6] {
        [
            format!("--{kind}-ca"),
            self.file("ca.pem"),
            format!("--{kind}-client-cert"),
            self.file("client.pem"),
            format!("--{kind}-client-key"),
            self.file("client.key"),
        ]
    }
}

pub(crate) fn with_flags(options: HostOptions, flags: &[String]) -> HostOptions {
    flags.iter().fold(options, HostOptions::arg)
}

/// A store whose MariaDB shows the certificate `name`, and takes nobody without TLS or without a certificate of ours.
async fn mysql_store(name: &str) -> (DataStore, Papers) {
    let base = env!("CARGO_TARGET_TMPDIR");
    let mut store = DataStore::start_on_mariadb_only(base).await.unwrap();
    store.migrate(host_binary()).unwrap();
    let papers = Papers::issue(&store);
    certify(store.mariadb.as_mut().unwrap(), &papers, name).await;
    let mut mysql = store.mysql().await.unwrap();
    for statement in [
        "ALTER USER CURRENT_USER() REQUIRE X509",
        "SET GLOBAL require_secure_transport = ON",
    ] {
        mysql.query_drop(statement).await.unwrap();
    }
    (store, papers)
}

/// Has a server show the certificate `name`.
async fn certify(server: &mut MariaDb, papers: &Papers, name: &str) {
    let flag = |flag: &str, file: &str| format!("--{flag}={}", papers.file(file));
    let flags = [
        flag("ssl-ca", "ca.pem"),
        flag("ssl-cert", &format!("{name}.pem")),
        flag("ssl-key", &format!("{name}.key")),
    ];
    let flags = flags.each_ref().map(String::as_str);
    server.restart_with(&flags).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_is_spoken_to_with_tls_and_a_certificate_of_our_own() {
    let (store, papers) = mysql_store("server").await;
    // MariaDB says only that access is denied.
    let said = ["MySQL at 127.0.0.1", "whether it wants TLS"];
    refuses(&store, options(), 2, &said).await;
    let strangers = options().arg("--mysql-ca").arg(papers.file("stranger.pem"));
    let said = ["MySQL at 127.0.0.1", "UnknownIssuer", "--mysql-ca"];
    refuses(&store, strangers, 2, &said).await;

    migrates(&store, &papers.flags("mysql"));
    let shop = Shop::on(store, with_flags(options(), &papers.flags("mysql"))).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    shop.get("/readyz").await.expect(200);
}

/// `store-host migrate` takes the same flags.
fn migrates(store: &DataStore, flags: &[String]) {
    let output = Command::new(host_binary())
        .arg("migrate")
        .args(flags)
        .env("STORE_HOST_MYSQL_URL", store.addresses().mysql_url())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_as_far_as_the_mode_says() {
    let (store, papers) = mysql_store("other").await;
    let flags = papers.flags("mysql");
    let said = [
        "not valid for name \"127.0.0.1\"",
        "db.example",
        "verify-ca",
    ];
    refuses(&store, with_flags(options(), &flags), 2, &said).await;
    let verify_ca = with_flags(options(), &flags)
        .arg("--mysql-tls")
        .arg("verify-ca");
    let shop = Shop::on(store, verify_ca).await;
    shop.user(1).await;
    shop.get("/readyz").await.expect(200);
    let strangers = [
        "--mysql-tls",
        "verify-ca",
        "--mysql-ca",
        &papers.file("stranger.pem"),
    ]
    .into_iter()
    .fold(options(), HostOptions::arg);
    refuses(&shop.store, strangers, 2, &["UnknownIssuer"]).await;

    let mut flags = papers.flags("mysql");
    flags[1] = papers.file("stranger.pem");
    let require = with_flags(options(), &flags)
        .arg("--mysql-tls")
        .arg("require");
    let host = shop.store.host(require).await.unwrap();
    let ready = reqwest::get(host.url("/readyz")).await.unwrap();
    assert_eq!(ready.status(), 200);
}

/// It is connected to by an address, which its certificate is not for.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_a_name_leads_to_is_certified_by_that_name() {
    let (store, papers) = mysql_store("other").await;
    let port = store.mariadb.as_ref().unwrap().port();
    let dns = NameServer::start().await.unwrap();
    for name in ["db.example", "db.elsewhere"] {
        dns.set(name, 60, &[([127, 0, 0, 1], port).into()]);
    }
    let by_name = |name: &str| {
        let at = format!("{name}:{port}");
        with_flags(options(), &papers.flags("mysql"))
            .variable("mysql_address", &at)
            .arg("--mysql-members")
            .arg(format!("dns:{at}"))
            .arg("--mysql-name-servers")
            .arg(dns.address().to_string())
    };
    let said = ["not valid for name \"db.elsewhere\"", "db.example"];
    // Another member may be believed, so members are waited for.
    refuses(&store, by_name("db.elsewhere"), 1, &said).await;
    let shop = Shop::on(store, by_name("db.example")).await;
    shop.user(1).await;
    shop.get("/readyz").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_a_certificate_for_another_is_told_once_and_the_other_serves() {
    let (store, papers) = mysql_store("server").await;
    let mut other = mariadb().await;
    certify(&mut other, &papers, "other").await;
    let own = store.mariadb.as_ref().unwrap().address();
    let members = format!("{},{own}", other.address());
    let options = with_flags(options(), &papers.flags("mysql"))
        .arg("--mysql-members")
        .arg(members);
    let shop = Shop::on(store, options).await;
    let (user, product) = (shop.user(1).await, shop.product(10.0, 5).await);
    shop.order(user, product, 1).await.expect(201);
    shop.get("/readyz").await.expect(200);
    assert!(writes_to(&shop.host, &own).await);
    wait_for_log(&shop.host, "not valid for name").await;
    let log = shop.host.log();
    let said: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(&other.address()))
        .filter(|line| line.contains("not valid for name"))
        .collect();
    let [said] = said[..] else {
        panic!("{} lines instead of one: {log}", said.len());
    };
    assert!(said.contains("db.example"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_files_are_refused_before_a_port_is_bound() {
    let store = crate::support::empty_store().await;
    let papers = Papers::issue(&store);
    let file = |name: &str| papers.file(name);
    let cases: [(&[&str], &[&str]); 4] = [
        (
            &["--mysql-ca", "/nowhere.pem"],
            &["--mysql-ca /nowhere.pem", "can't be read"],
        ),
        (
            &[
                "--redis-ca",
                &file("ca.pem"),
                "--redis-client-cert",
                &file("client.pem"),
                "--redis-client-key",
                &file("server.key"),
            ],
            &["--redis-client-cert", "client.pem", "server.key"],
        ),
        (&["--mysql-client-key", &file("client.key")], &[]),
        (
            &["--variable-file", "mysql_pasword=/nowhere"],
            &["--variable-file", "declares no `mysql_pasword`"],
        ),
    ];
    for (args, said) in cases {
        let options = args
            .iter()
            .fold(options(), |options, arg| options.arg(*arg));
        refuses(&store, options, 2, said).await;
    }
    let app = changed_app(
        &store,
        "{{ mysql_database }}\"",
        "{{ mysql_database }}?require_ssl=true&built_in_roots=false\"",
    );
    let nobody_trusted = HostOptions { app, ..options() };
    let parts = ["built_in_roots=false", "--mysql-ca"];
    refuses(&store, nobody_trusted, 2, &parts).await;
}

/// Passwords that a URL would have to spell otherwise, in files; after a reload, others.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_comes_from_a_file_and_changes_with_a_reload() {
    // `KILL USER` is MariaDB's.
    let store = DataStore::start_on_mariadb_only(env!("CARGO_TARGET_TMPDIR"))
        .await
        .unwrap();
    store.migrate(host_binary()).unwrap();
    let mut mysql = store.mysql().await.unwrap();
    let file = store.folder().join("mysql.password");
    set_password(&mut mysql, &file, "s3cr/t@1%#").await;
    let options = with_token(options())
        .variable("mysql_user", "filed")
        .variable("mysql_password", "wrong")
        .arg("--variable-file")
        .arg(format!("mysql_password={}", file.display()));
    let shop = Shop::on(store, options).await;
    shop.user(1).await;

    set_password(&mut mysql, &file, "an0ther?").await;
    mysql.query_drop("KILL USER 'filed'").await.unwrap();
    shop.operate("/reload").await.expect(200);
    shop.user(2).await;
    for password in ["s3cr", "an0ther"] {
        assert!(!shop.host.log().contains(password), "{}", shop.host.log());
    }
}

async fn set_password(mysql: &mut mysql_async::Conn, file: &Path, password: &str) {
    for statement in [
        format!("CREATE OR REPLACE USER 'filed'@'%' IDENTIFIED BY '{password}'"),
        "GRANT ALL PRIVILEGES ON *.* TO 'filed'@'%'".to_owned(),
    ] {
        mysql.query_drop(statement).await.unwrap();
    }
    fs::write(file, format!("{password}\n")).unwrap();
}
