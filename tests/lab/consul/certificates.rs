//! A certificate authority, a server's certificate, and a client's.

use super::consul_program;
use crate::Folder;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Certificates as `consul tls` makes them. The server's is good for 127.0.0.1, `localhost` and `server.dc1.consul`.
#[derive(Clone, Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them.
    pub fn new(folder: &Folder) -> Certificates {
        let folder = folder.sub("certificates");
        tls(&folder, &["ca", "create"]);
        tls(&folder, &["cert", "create", "-server", "-dc", "dc1", "-additional-ipaddress", "127.0.0.1"]);
        let certificates = Certificates { folder };
        certificates.renew_client();
        certificates
    }

    /// Makes another certificate for the client, in the place of the one before.
    pub fn renew_client(&self) {
        for file in [self.client_cert(), self.client_key()] {
            let _ = std::fs::remove_file(file); // the first time there is none
        }
        tls(&self.folder, &["cert", "create", "-client", "-dc", "dc1"]);
    }

    /// Whose signature makes a certificate good.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("consul-agent-ca.pem")
    }

    /// The client's certificate.
    pub fn client_cert(&self) -> PathBuf {
        self.folder.join("dc1-client-consul-0.pem")
    }

    /// Its key.
    pub fn client_key(&self) -> PathBuf {
        self.folder.join("dc1-client-consul-0-key.pem")
    }

    pub(super) fn server_config(&self) -> Value {
        json!({
            "ca_file": self.ca(),
            "cert_file": self.folder.join("dc1-server-consul-0.pem"),
            "key_file": self.folder.join("dc1-server-consul-0-key.pem"),
            "verify_incoming_https": true,
        })
    }
}

fn tls(folder: &Path, args: &[&str]) {
    let status = Command::new(consul_program())
        .arg("tls")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "consul tls {args:?} works");
}
