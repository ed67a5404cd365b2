//! Which certificates of a database's server are taken, with real servers that have good and bad ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use common::{
    db::{
        pool, schema,
        tls::{Mode, Pem, TlsSettings},
    },
    settings::DatabaseSettings,
};
use devstack::{DatabaseServer, PrivateFolder, certificate_authority, certificates};
use sqlx::{Connection, MySqlConnection};

/// A server with a certificate of this version, and its settings by name.
async fn server(
    folder: &PrivateFolder,
    version: u8,
    more: &[&str],
) -> (DatabaseServer, devstack::Database, DatabaseSettings) {
    certificates(folder.path(), version).unwrap();
    let options = ["cert=server.pem", "key=server.key", "ca=ca.pem"].map(|option| {
        let (name, file) = option.split_once('=').unwrap();
        format!("--ssl-{name}={}", folder.path().join(file).display())
    });
    let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let server = DatabaseServer::mariadb_with(folder.path(), &options).await.unwrap();
    let database = server.database().await.unwrap();
    let settings = DatabaseSettings {
        host: "localhost".to_owned(),
        port: server.port(),
        credentials: server.user_password().as_str().into(),
        name: database.name.clone(),
        tls: TlsSettings::default(),
    };
    (server, database, settings)
}

/// The cipher of a connection that these settings make; none of one that is not encrypted.
async fn cipher(settings: &DatabaseSettings) -> Result<String, String> {
    let connection = MySqlConnection::connect_with(&settings.connect_options()).await;
    let mut connection = connection.map_err(|error| error.to_string())?;
    let (_, cipher): (String, String) =
        sqlx::query_as("SHOW STATUS LIKE 'Ssl_cipher'").fetch_one(&mut connection).await.unwrap();
    Ok(cipher)
}

fn with(settings: &DatabaseSettings, mode: Mode, folder: &Path, ca: Option<&str>) -> DatabaseSettings {
    let tls =
        TlsSettings { mode, ca: ca.map_or(Pem::Off, |ca| Pem::File(folder.join(ca))), certificate: Pem::Off };
    DatabaseSettings { tls, ..settings.clone() }
}

#[tokio::test]
async fn a_certificate_of_version_1_is_taken_where_none_is_verified() {
    let folder = PrivateFolder::new().unwrap();
    let (_server, _database, settings) = server(&folder, 1, &[]).await;
    let of = |mode, ca| with(&settings, mode, folder.path(), ca);
    assert_eq!(cipher(&of(Mode::Disabled, None)).await.unwrap(), "");
    for mode in [Mode::Preferred, Mode::Required] {
        assert_ne!(cipher(&of(mode, None)).await.unwrap(), "", "{mode:?}");
    }
    assert_ne!(cipher(&of(Mode::VerifyCa, Some("ca.pem"))).await.unwrap(), "");
}

#[tokio::test]
async fn another_ca_or_another_name_is_refused_with_words_that_say_which() {
    let folder = PrivateFolder::new().unwrap();
    let (_server, _database, settings) = server(&folder, 3, &[]).await;
    certificate_authority(folder.path(), "other").unwrap();
    let of = |mode, ca| with(&settings, mode, folder.path(), Some(ca));
    for mode in [Mode::VerifyCa, Mode::VerifyIdentity] {
        assert_ne!(cipher(&of(mode, "ca.pem")).await.unwrap(), "", "{mode:?}");
    }
    let by_number = |mode| DatabaseSettings { host: "127.0.0.1".to_owned(), ..of(mode, "ca.pem") };
    assert_ne!(cipher(&by_number(Mode::VerifyCa)).await.unwrap(), "");

    for (settings, words) in [
        (of(Mode::VerifyCa, "other.pem"), "its certificate is not from the CA in MYSQL_TLS_CA"),
        (by_number(Mode::VerifyIdentity), "its certificate is not for the name 127.0.0.1"),
    ] {
        let refused = schema::ensure_now(&settings, &pool::pool(&settings, 1)).await.unwrap_err().to_string();
        assert!(refused.starts_with(words), "{refused}");
    }
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_one() {
    let folder = PrivateFolder::new().unwrap();
    let (_server, _database, settings) = server(&folder, 3, &[]).await;
    let key = fs::read_to_string(folder.path().join("server.key")).unwrap();
    let certificate = fs::read_to_string(folder.path().join("server.pem")).unwrap();
    fs::write(folder.path().join("both.pem"), key + &certificate).unwrap();
    let mut root = MySqlConnection::connect_with(&settings.connect_options()).await.unwrap();
    let only = "ALTER USER 'kube'@'%' REQUIRE X509";
    sqlx::raw_sql(only).execute(&mut root).await.unwrap();
    let mut settings = with(&settings, Mode::VerifyIdentity, folder.path(), Some("ca.pem"));
    assert!(cipher(&settings).await.unwrap_err().contains("Access denied"));
    let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    for (certificate, ca) in [
        (Pem::File(folder.path().join("both.pem")), settings.tls.ca.clone()),
        (Pem::Text(read("both.pem")), Pem::Text(read("ca.pem"))),
    ] {
        settings.tls = TlsSettings { certificate, ca, ..settings.tls };
        assert_ne!(cipher(&settings).await.unwrap(), "");
    }
    sqlx::raw_sql("ALTER USER 'kube'@'%' REQUIRE NONE").execute(&mut root).await.unwrap();
}
