//! Versions and cipher suites, by the names that OpenSSL has for them.

use super::TlsError;
use crate::config::{TlsProtocol, TlsSettings};
use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{SupportedProtocolVersion, version};

/// The suites of TLS 1.2 that are spoken here.
const TWO: &[(&str, CipherSuite)] = &[
    ("ECDHE-ECDSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// Those of TLS 1.3.
const THREE: &[(&str, CipherSuite)] = &[
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Words that stand for whatever is usual.
const USUAL: &[&str] = &["DEFAULT", "HIGH", "ALL", "COMPLEMENTOFDEFAULT", "ECDHE", "EECDH", "AESGCM"];

/// The cryptography, with the suites that the configuration allows.
pub(super) fn provider(settings: &TlsSettings) -> Result<CryptoProvider, TlsError> {
    let mut provider = ring::default_provider();
    let allowed: Vec<CipherSuite> = [
        allowed("tls-ciphers", &settings.ciphers, TWO)?,
        allowed("tls-ciphersuites", &settings.ciphersuites, THREE)?,
    ]
    .concat();
    provider.cipher_suites.retain(|suite| allowed.contains(&suite.suite()));
    Ok(provider)
}

/// Names that are unknown are passed over, as OpenSSL does, unless no name is known.
fn allowed(
    directive: &'static str,
    names: &[String],
    known: &[(&str, CipherSuite)],
) -> Result<Vec<CipherSuite>, TlsError> {
    let is_usual = |name: &String| USUAL.iter().any(|word| name.eq_ignore_ascii_case(word));
    if names.is_empty() || names.iter().any(is_usual) {
        return Ok(known.iter().map(|(_, suite)| *suite).collect());
    }
    let of = |name: &String| {
        known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, suite)| *suite)
    };
    let found: Vec<_> = names.iter().filter_map(of).collect();
    if found.is_empty() { Err(TlsError::NoSuite(directive, names.join(":"))) } else { Ok(found) }
}

/// The versions that the configuration allows.
pub(super) fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let has = |version| settings.protocols.is_empty() || settings.protocols.contains(&version);
    match (has(TlsProtocol::V12), has(TlsProtocol::V13)) {
        (true, false) => vec![&version::TLS12],
        (false, true) => vec![&version::TLS13],
        _ => vec![&version::TLS13, &version::TLS12],
    }
}
