//! Certificates for the servers of tests, made by `openssl`.

use std::{fs, path::Path, process::Command};

use anyhow::ensure;

/// Writes a CA (`ca.pem`, `ca.key`) into a folder, and a certificate from it (`server.pem`, `server.key`): of X.509 version 3
/// for `localhost`, or of version 1, which is for no name.
pub fn certificates(folder: &Path, version: u8) -> anyhow::Result<()> {
    certificate_authority(folder, "ca")?;
    openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr")?;
    let sign = "x509 -req -in server.csr -days 2 -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem";
    if version == 1 {
        return openssl(folder, sign);
    }
    fs::write(folder.join("names"), "subjectAltName = DNS:localhost")?;
    openssl(folder, &format!("{sign} -extfile names"))
}

/// Writes a CA of this name into a folder.
pub fn certificate_authority(folder: &Path, name: &str) -> anyhow::Result<()> {
    let to = format!("-keyout {name}.key -out {name}.pem");
    openssl(folder, &format!("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} {to}"))
}

fn openssl(folder: &Path, arguments: &str) -> anyhow::Result<()> {
    let made = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output()?;
    ensure!(made.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}
