//! TLS to the master. The only file that knows how rustls is set up; none of its types leaves it.

use crate::{Builder, Master};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt::{self, Debug};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How [`Resolver::connect`](crate::Resolver::connect) speaks TLS: whom it trusts, and who it is itself. The files are
/// read when it is built.
///
/// ```no_run
/// use consentinel_resolver::{Resolver, TlsOptions};
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let tls = TlsOptions::builder()
///     .ca_file("/etc/redis/ca.crt")
///     .client_certificate("/etc/shop/client.crt", "/etc/shop/client.key")
///     .build()?;
/// let resolver = Resolver::builder("redis.service.consul").tls(tls).build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TlsOptions {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// Puts [`TlsOptions`] together.
///
/// ```no_run
/// # fn example() -> Result<(), consentinel_resolver::TlsError> {
/// // The system's authorities; the certificate must name the address or host that was looked up.
/// let tls = consentinel_resolver::TlsOptions::builder().build()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct TlsBuilder {
    ca_file: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
    any_name: bool,
}

/// Why the TLS options cannot be used.
///
/// ```
/// use consentinel_resolver::TlsOptions;
///
/// let error = TlsOptions::builder().ca_file("no/such/file").build().expect_err("there is no such file");
/// assert!(error.to_string().contains("no/such/file"));
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds no certificate or key.
    #[error("{path} cannot be used: {why}")]
    #[non_exhaustive]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The system has no authorities that could be read, and no file of them was named.
    #[error("the system names no authority to trust ({0}): TlsBuilder::ca_file names one")]
    NoAuthorities(String),
    /// Certificate and key do not go together, or are of a kind that is not known.
    #[error("certificate and key cannot be used: {0}")]
    Identity(String),
    /// It cannot be a certificate's name.
    #[error("{0:?} is neither a host name nor an address")]
    ServerName(String),
}

impl TlsOptions {
    /// The system's authorities, no certificate of our own.
    ///
    /// ```
    /// let builder = consentinel_resolver::TlsOptions::builder();
    /// ```
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// Encrypts a connection to that master.
    pub(crate) async fn handshake(
        &self,
        stream: TcpStream,
        master: &Master,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = self.server_name.clone().unwrap_or_else(|| name_of(master));
        TlsConnector::from(self.config.clone()).connect(name, stream).await
    }

    /// For reqwest, which takes it whole.
    #[cfg(feature = "consul-http")]
    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// For whoever speaks no TLS, and must be given something all the same.
    #[cfg(feature = "consul-http")]
    pub(crate) fn trusting_nobody() -> Result<TlsOptions, TlsError> {
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Identity(error.to_string()))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Ok(TlsOptions { config: Arc::new(config), server_name: None })
    }
}

/// The master's host name, if it is known by one, and else its address: Consul's names for addresses
/// (`7f000001.addr.dc1.consul`) stand in no certificate.
fn name_of(master: &Master) -> ServerName<'static> {
    let by_address = || ServerName::from(master.addr.ip());
    match master.host.contains(".addr.") || master.host.contains(".node.") {
        true => by_address(),
        false => ServerName::try_from(master.host.clone()).unwrap_or_else(|_| by_address()),
    }
}

impl Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl TlsBuilder {
    /// Only the authorities in this PEM file are trusted, not the system's.
    ///
    /// ```
    /// let builder = consentinel_resolver::TlsOptions::builder().ca_file("/etc/redis/ca.crt");
    /// ```
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> TlsBuilder {
        self.ca_file = Some(path.into());
        self
    }

    /// The certificate and the key that are shown to a server that asks for them (`tls-auth-clients`), as PEM.
    ///
    /// ```
    /// let builder = consentinel_resolver::TlsOptions::builder().client_certificate("client.crt", "client.key");
    /// ```
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> TlsBuilder {
        self.identity = Some((certificate.into(), key.into()));
        self
    }

    /// The name that must stand in the server's certificate. Without it, that is the host name of the SRV record, or
    /// the address where Consul has made up the name.
    ///
    /// ```
    /// let builder = consentinel_resolver::TlsOptions::builder().server_name("redis.example.org");
    /// ```
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> TlsBuilder {
        self.server_name = Some(name.into());
        self
    }

    /// The certificate may be made out to anybody, as long as a trusted authority has signed it: what `redis-cli` and
    /// Redis's own replication do. Only good with an authority that signs nothing but Redis servers.
    ///
    /// ```
    /// let builder = consentinel_resolver::TlsOptions::builder().ca_file("/etc/redis/ca.crt").any_server_name();
    /// ```
    #[must_use]
    pub fn any_server_name(mut self) -> TlsBuilder {
        self.any_name = true;
        self
    }

    /// Reads the files.
    ///
    /// ```no_run
    /// # fn example() -> Result<(), consentinel_resolver::TlsError> {
    /// let tls = consentinel_resolver::TlsOptions::builder().ca_file("/etc/redis/ca.crt").build()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file and says why it cannot be used.
    pub fn build(self) -> Result<TlsOptions, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = Arc::new(match &self.ca_file {
            Some(path) => authorities(path)?,
            None => system()?,
        });
        let no_authorities = |error: &dyn fmt::Display| TlsError::NoAuthorities(error.to_string());
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| no_authorities(&error))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Identity(error.to_string()))?
            // Called dangerous because of what a verifier could do; ours leaves out the name, if it was told to.
            .dangerous()
            .with_custom_certificate_verifier(match self.any_name {
                true => Arc::new(AnyName(verifier)),
                false => verifier,
            });
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
                builder
                    .with_client_auth_cert(certificates(certificate)?, key)
                    .map_err(|error| TlsError::Identity(error.to_string()))?
            }
        };
        let server_name = match self.server_name {
            Some(name) => Some(ServerName::try_from(name.clone()).map_err(|_| TlsError::ServerName(name))?),
            None => None,
        };
        Ok(TlsOptions { config: Arc::new(config), server_name })
    }
}

impl Builder {
    /// [`Resolver::connect`](crate::Resolver::connect) speaks TLS, by these options.
    ///
    /// ```no_run
    /// # use consentinel_resolver::{Resolver, TlsOptions};
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = TlsOptions::builder().ca_file("/etc/redis/ca.crt").build()?;
    /// let resolver = Resolver::builder("redis.service.consul").tls(tls).build()?;
    /// # Ok(()) }
    /// ```
    pub fn tls(mut self, options: TlsOptions) -> Builder {
        self.connect.tls = Some(options);
        self
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, &error))?;
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Among the many of a system some are too old to be understood.
    roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        false => Ok(roots),
        true => {
            let why: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
            Err(TlsError::NoAuthorities(why.join("; ")))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unusable(path, &error))?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(|error| unusable(path, &error))?;
    match all.is_empty() {
        true => Err(unusable(path, &"it holds no certificate")),
        false => Ok(all),
    }
}

fn unusable(path: &Path, why: &dyn fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_string() }
}

/// Verifies everything but the name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is what is looked at last: whoever fails there has passed all the rest.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
