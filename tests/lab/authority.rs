//! An authority that signs certificates.

use crate::Folder;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Somebody who signs certificates.
pub struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
    issued: AtomicU32,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key, as PKCS#8.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, with its files in a folder of that name.
    pub fn new(folder: &Folder, name: &str) -> Authority {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("an authority can sign itself");
        let folder = folder.sub(name);
        std::fs::write(folder.join("ca.crt"), issuer.pem()).expect("the folder is ours");
        Authority { folder, issuer, issued: AtomicU32::new(0) }
    }

    /// Its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// A certificate that is good for years, for whoever it may be.
    pub fn issue(&self, name: &str) -> Certificate {
        self.sign(name, named(name))
    }

    /// A certificate for these host names and addresses, and no others.
    pub fn issue_for(&self, name: &str, hosts: &[&str]) -> Certificate {
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("they can be names");
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(name, params)
    }

    /// A certificate that was good once.
    pub fn issue_expired(&self, name: &str) -> Certificate {
        let mut params = named(name);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
        self.sign(name, params)
    }

    fn sign(&self, name: &str, params: CertificateParams) -> Certificate {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let key = key();
        let cert = params.signed_by(&key, &self.issuer).expect("an authority can sign");
        save(&self.folder, &format!("{name}-{number}"), &cert.pem(), &key)
    }
}

impl Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "authority in {}", self.folder.display())
    }
}

impl Certificate {
    /// One that is its own authority, as `openssl req -x509` makes it.
    pub fn self_signed(folder: &Folder, name: &str) -> Certificate {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let cert = params.self_signed(&key).expect("a key can sign itself");
        save(folder.path(), name, &cert.pem(), &key)
    }

    /// Puts this one into the files of another.
    pub fn replace(&self, other: &Certificate) {
        for (from, to) in [(&self.cert, &other.cert), (&self.key, &other.key)] {
            std::fs::copy(from, to).expect("the folder is ours");
        }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names are good names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("there is randomness")
}

fn save(folder: &Path, name: &str, cert: &str, key: &KeyPair) -> Certificate {
    let files =
        Certificate { cert: folder.join(format!("{name}.crt")), key: folder.join(format!("{name}.key")) };
    std::fs::write(&files.cert, cert).expect("the folder is ours");
    std::fs::write(&files.key, key.serialize_pem()).expect("the folder is ours");
    files
}
