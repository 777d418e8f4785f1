//! What can be wrong with TLS, in words for the log.

use rustls::{CertificateError, Error};
use std::path::PathBuf;

/// Why there is no TLS. No variant holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file that must be named.
    #[error("no {0} is configured")]
    Missing(&'static str),
    /// Somebody must be believed.
    #[error(
        "either tls-ca-cert-file or tls-ca-cert-dir must be given when tls-replication or tls-auth-clients is on"
    )]
    NoAuthorities,
    /// A file that cannot be read.
    #[error("{0} {path}: {1}", path = .2.display())]
    Read(&'static str, std::io::Error, PathBuf),
    /// A file with something else in it.
    #[error("{0} {path}: {1}", path = .2.display())]
    Content(&'static str, String, PathBuf),
    /// A certificate and a key that do not work together.
    #[error("{0}: {1}")]
    Identity(String, Error),
    /// Authorities that cannot be used.
    #[error("the authorities cannot be used: {0}")]
    Authorities(String),
    /// Suites of which none is known.
    #[error("{0} '{1}' names no cipher suite that is known here; docs/configuration.md lists them")]
    NoSuite(&'static str, String),
    /// Suites and versions that do not go together.
    #[error("tls-protocols, tls-ciphers and tls-ciphersuites leave nothing to speak: {0}")]
    Suites(Error),
}

/// What went wrong on a connection, if TLS is to blame.
pub(crate) fn explain(error: &std::io::Error) -> Option<String> {
    if error.kind() == std::io::ErrorKind::TimedOut {
        return Some("the TLS handshake does not end".into());
    }
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired".into()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => "its certificate is not valid yet".into(),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate comes from an authority that is not among those of tls-ca-cert-file and tls-ca-cert-dir"
                .into()
        }
        Error::InvalidCertificate(CertificateError::Other(error)) => {
            format!("its certificate cannot be used ({error}); it must be of X.509 version 3")
        }
        Error::AlertReceived(alert) => format!("it ends the TLS handshake with the alert {alert:?}"),
        Error::InvalidMessage(_) => "it does not speak TLS".into(),
        other => other.to_string(),
    })
}
