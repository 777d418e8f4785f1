//! The directives `tls-...`: read here, obeyed by the driver's TLS.

use super::error::Wrong;
use super::settings::{number, one, one_of, unknown, yes_no};
use consentinel_core::Secret;
use std::path::PathBuf;

/// TLS as the configuration says it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TlsSettings {
    /// The port on which clients and peers are served over TLS; none when zero.
    pub port: u16,
    /// Our certificate, and those between it and its authority; PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key; PEM.
    pub key_file: Option<PathBuf>,
    /// The password of the key's file.
    pub key_file_pass: Option<Secret>,
    /// What to show as a client, where that differs.
    pub client_cert_file: Option<PathBuf>,
    /// Its key.
    pub client_key_file: Option<PathBuf>,
    /// The password of that key's file.
    pub client_key_file_pass: Option<Secret>,
    /// The authorities that are believed.
    pub ca_cert_file: Option<PathBuf>,
    /// A folder of such.
    pub ca_cert_dir: Option<PathBuf>,
    /// Whether clients must show a certificate.
    pub auth_clients: AuthClients,
    /// Whether servers and peers are reached over TLS.
    pub replication: bool,
    /// The versions that are spoken; all that are safe when empty.
    pub protocols: Vec<TlsProtocol>,
    /// Cipher suites of TLS 1.2, as OpenSSL names them; the usual ones when empty.
    pub ciphers: Vec<String>,
    /// Cipher suites of TLS 1.3.
    pub ciphersuites: Vec<String>,
}

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AuthClients {
    /// They must.
    #[default]
    Required,
    /// They may; a bad one is refused.
    Optional,
    /// Nobody asks.
    No,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsProtocol {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

impl TlsSettings {
    /// Takes in one directive that begins with `tls-`.
    pub(crate) fn apply(&mut self, name: &str, args: &[String]) -> Result<(), Wrong> {
        let path = |args| Ok::<_, Wrong>(text(one(name, args)?).map(PathBuf::from));
        let secret = |args| Ok::<_, Wrong>(text(one(name, args)?).map(|text| Secret::new(&text)));
        match name {
            "tls-port" => self.port = number(one(name, args)?, 0..=65535)?,
            "tls-cert-file" => self.cert_file = path(args)?,
            "tls-key-file" => self.key_file = path(args)?,
            "tls-key-file-pass" => self.key_file_pass = secret(args)?,
            "tls-client-cert-file" => self.client_cert_file = path(args)?,
            "tls-client-key-file" => self.client_key_file = path(args)?,
            "tls-client-key-file-pass" => self.client_key_file_pass = secret(args)?,
            "tls-ca-cert-file" => self.ca_cert_file = path(args)?,
            "tls-ca-cert-dir" => self.ca_cert_dir = path(args)?,
            "tls-auth-clients" => {
                self.auth_clients = match one_of(one(name, args)?, "no, yes, optional")? {
                    "yes" => AuthClients::Required,
                    "optional" => AuthClients::Optional,
                    _ => AuthClients::No,
                }
            }
            "tls-replication" => self.replication = yes_no(one(name, args)?)?,
            "tls-protocols" => self.protocols = protocols(args)?,
            "tls-ciphers" => self.ciphers = split(one(name, args)?),
            "tls-ciphersuites" => self.ciphersuites = split(one(name, args)?),
            // What they tune is chosen by the library, or belongs to a Redis server.
            "tls-cluster" | "tls-prefer-server-ciphers" | "tls-session-caching" => {
                yes_no(one(name, args)?)?;
            }
            "tls-auth-clients-user" => {
                one_of(one(name, args)?, "CN, URI, off")?;
            }
            "tls-auto-reload-interval"
            | "tls-dh-params-file"
            | "tls-session-cache-size"
            | "tls-session-cache-timeout" => {
                one(name, args)?;
            }
            _ => {
                return Err(unknown(name));
            }
        }
        Ok(())
    }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn split(text: &str) -> Vec<String> {
    text.split(':').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn protocols(args: &[String]) -> Result<Vec<TlsProtocol>, Wrong> {
    let mut protocols = Vec::new();
    for word in args.iter().flat_map(|arg| arg.split_whitespace()) {
        match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => protocols.push(TlsProtocol::V12),
            "tlsv1.3" => protocols.push(TlsProtocol::V13),
            // The original allows them; they are broken, and nothing here speaks them.
            "tlsv1" | "tlsv1.1" => {}
            _ => {
                return Err(Wrong::new(format!("'{word}' is no version of TLS"))
                    .hint("Write: tls-protocols \"TLSv1.2 TLSv1.3\""));
            }
        }
    }
    match protocols.is_empty() && !args.iter().all(|arg| arg.trim().is_empty()) {
        true => Err(Wrong::new("none of these versions of TLS is spoken here: they are not safe")
            .hint("Write: tls-protocols \"TLSv1.2 TLSv1.3\"")),
        false => Ok(protocols),
    }
}
