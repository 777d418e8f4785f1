//! Certificates and keys, as they stand in files.

use super::TlsError;
use crate::config::TlsSettings;
use consentinel_core::Secret;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::{Decode, SecretDocument};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate with those between it and its authority, and its key.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    what: String,
}

/// The directives that name a certificate, its key, and the password of that.
type Names = [&'static str; 2];

impl Identity {
    /// What is shown to clients.
    pub(super) fn server(settings: &TlsSettings) -> Result<Identity, TlsError> {
        let names = ["tls-cert-file", "tls-key-file"];
        Identity::read(names, &settings.cert_file, &settings.key_file, &settings.key_file_pass)
    }

    /// What is shown to servers and peers: the same, unless there is one for that.
    pub(super) fn client(settings: &TlsSettings) -> Result<Identity, TlsError> {
        if settings.client_cert_file.is_none() {
            return Identity::server(settings);
        }
        let names = ["tls-client-cert-file", "tls-client-key-file"];
        let pass = &settings.client_key_file_pass;
        Identity::read(names, &settings.client_cert_file, &settings.client_key_file, pass)
    }

    fn read(
        [cert, key]: Names,
        cert_file: &Option<PathBuf>,
        key_file: &Option<PathBuf>,
        pass: &Option<Secret>,
    ) -> Result<Identity, TlsError> {
        let cert_file = cert_file.as_ref().ok_or(TlsError::Missing(cert))?;
        let key_file = key_file.as_ref().ok_or(TlsError::Missing(key))?;
        Ok(Identity {
            chain: certificates(cert, cert_file)?,
            key: private_key(key, key_file, pass.as_ref())?,
            what: format!("{cert} {} with {key} {}", cert_file.display(), key_file.display()),
        })
    }

    /// The chain, the key, and where they come from.
    pub(super) fn into_parts(self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, String) {
        (self.chain, self.key, self.what)
    }
}

/// Who is believed.
pub(super) fn authorities(settings: &TlsSettings) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for (name, path, certificate) in all_trusted(settings)? {
        let wrong = |error: rustls::Error| TlsError::Content(name, error.to_string(), path);
        store.add(certificate).map_err(wrong)?;
    }
    Ok(Arc::new(store))
}

/// The certificates that are believed as they are.
pub(super) fn trusted(settings: &TlsSettings) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    Ok(all_trusted(settings)?.into_iter().map(|(_, _, certificate)| certificate).collect())
}

type Trusted = (&'static str, PathBuf, CertificateDer<'static>);

fn all_trusted(settings: &TlsSettings) -> Result<Vec<Trusted>, TlsError> {
    let mut all = Vec::new();
    if let Some(file) = &settings.ca_cert_file {
        let name = "tls-ca-cert-file";
        all.extend(certificates(name, file)?.into_iter().map(|found| (name, file.clone(), found)));
    }
    if let Some(dir) = &settings.ca_cert_dir {
        let name = "tls-ca-cert-dir";
        let wrong = |error| TlsError::Read(name, error, dir.clone());
        for entry in std::fs::read_dir(dir).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            // Such folders hold lists of revocations and notes, too; links to certificates appear twice.
            if path.is_file()
                && let Ok(found) = certificates(name, &path)
            {
                all.extend(found.into_iter().map(|found| (name, path.clone(), found)));
            }
        }
        if all.is_empty() {
            return Err(TlsError::Content(name, "no certificate is in there".into(), dir.clone()));
        }
    }
    Ok(all)
}

fn read(name: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read(name, error, path.to_owned()))
}

fn certificates(name: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(name, path)?;
    let wrong = |what: String| TlsError::Content(name, what, path.to_owned());
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|_| wrong("this is not PEM".into()))?;
    if found.is_empty() {
        return Err(wrong("no certificate is in there; PEM is expected".into()));
    }
    Ok(found)
}

fn private_key(
    name: &'static str,
    path: &Path,
    pass: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(name, path)?;
    let wrong = |what: &str| TlsError::Content(name, what.to_owned(), path.to_owned());
    let text = std::str::from_utf8(&text).map_err(|_| wrong("this is not PEM"))?;
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(wrong(
            "keys that are encrypted in this old way are not read; convert it: openssl pkcs8 -topk8",
        ));
    }
    let Some(at) = text.find(ENCRYPTED) else {
        return PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| wrong("no private key is in there; PEM with PKCS#8, PKCS#1 or SEC1 is expected"));
    };
    let pass = pass.ok_or_else(|| wrong("the key is encrypted; tls-key-file-pass must say its password"))?;
    let (_, document) =
        SecretDocument::from_pem(text[at..].trim_end()).map_err(|_| wrong("the encrypted key is damaged"))?;
    let encrypted = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes())
        .map_err(|_| wrong("the encrypted key is damaged, or encrypted in a way that is not known here"))?;
    let decrypted = encrypted.decrypt(pass.reveal()).map_err(|_| {
        wrong("the key cannot be decrypted: the password is wrong, or the cipher is not known here")
    })?;
    Ok(PrivatePkcs8KeyDer::from(decrypted.as_bytes().to_vec()).into())
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
