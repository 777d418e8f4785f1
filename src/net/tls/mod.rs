//! TLS, in and out. Beside this folder only `stream.rs` knows the crate `rustls`.
//!
//! Both directions check the chain of the other side's certificate against the authorities of the configuration. Names are
//! not checked: servers and sentinels know each other by addresses that move, and the original does not check them either.

mod asker;
mod error;
mod files;
mod suites;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use asker::Asker;
pub(crate) use error::TlsError;
pub(crate) use error::explain;

use crate::config::{AuthClients, TlsSettings};
use files::Identity;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// How long a client may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a server or a peer may take: a little less than the core waits for a connection, so that there is something to
/// say about it.
const OUTWARD_HANDSHAKE: Duration = Duration::from_millis(900);

/// TLS as it is configured, with the certificates as they were last read. Clones share them.
#[derive(Clone)]
pub(crate) struct Tls(Rc<Shared>);

struct Shared {
    settings: TlsSettings,
    loaded: RefCell<Loaded>,
}

/// What connections are made with.
#[derive(Clone)]
struct Loaded {
    server: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
}

impl Tls {
    /// Reads the certificates, if the configuration wants TLS at all.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Tls, TlsError> {
        let loaded = RefCell::new(Loaded::new(settings)?);
        Ok(Tls(Rc::new(Shared { settings: settings.clone(), loaded })))
    }

    /// Reads the certificates again: new connections use them, open ones stay as they are. When anything is wrong with
    /// them, everything stays as it was. False when there is no TLS.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let loaded = Loaded::new(&self.0.settings)?;
        let any = loaded.server.is_some() || loaded.client.is_some();
        self.0.loaded.replace(loaded);
        Ok(any)
    }

    /// Whether servers and peers are reached over TLS.
    pub(crate) fn is_outward(&self) -> bool {
        self.0.settings.replication
    }

    /// Shakes hands with a client.
    pub(crate) async fn accept<S>(&self, stream: S) -> std::io::Result<server::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.0.loaded.borrow().server.clone();
        let acceptor = TlsAcceptor::from(config.ok_or(std::io::ErrorKind::Unsupported)?);
        tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await?
    }

    /// Shakes hands with a server or a peer.
    pub(crate) async fn connect<S>(&self, ip: IpAddr, stream: S) -> std::io::Result<client::TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.0.loaded.borrow().client.clone();
        let connector = TlsConnector::from(config.ok_or(std::io::ErrorKind::Unsupported)?);
        tokio::time::timeout(OUTWARD_HANDSHAKE, connector.connect(ip.into(), stream)).await?
    }
}

impl Loaded {
    fn new(settings: &TlsSettings) -> Result<Loaded, TlsError> {
        if settings.port == 0 && !settings.replication {
            return Ok(Loaded { server: None, client: None });
        }
        let asks = settings.auth_clients != AuthClients::No;
        if (settings.replication || asks) && settings.ca_cert_file.is_none() && settings.ca_cert_dir.is_none()
        {
            return Err(TlsError::NoAuthorities);
        }
        let provider = Arc::new(suites::provider(settings)?);
        let authorities = files::authorities(settings)?;
        let identity = Identity::server(settings)?;
        let client = match settings.replication {
            true => Some(outward(settings, &provider, &authorities, Identity::client(settings)?)?),
            false => None,
        };
        let server = inward(settings, &provider, &authorities, identity)?;
        Ok(Loaded { server: Some(server), client })
    }
}

fn inward(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
    authorities: &Arc<rustls::RootCertStore>,
    identity: Identity,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&suites::versions(settings))
        .map_err(TlsError::Suites)?;
    let builder = match settings.auth_clients {
        AuthClients::No => builder.with_no_client_auth(),
        asks => {
            let roots = authorities.clone();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            let verifier = match asks {
                AuthClients::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build().map_err(|error| TlsError::Authorities(error.to_string()))?;
            builder.with_client_cert_verifier(Arc::new(verify::Clients::new(
                verifier,
                files::trusted(settings)?,
            )))
        }
    };
    let (chain, key, what) = identity.into_parts();
    let config = builder.with_single_cert(chain, key).map_err(|error| TlsError::Identity(what, error))?;
    Ok(Arc::new(config))
}

fn outward(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
    authorities: &Arc<rustls::RootCertStore>,
    identity: Identity,
) -> Result<Arc<ClientConfig>, TlsError> {
    let verifier = verify::Servers::new(authorities.clone(), provider, files::trusted(settings)?);
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&suites::versions(settings))
        .map_err(TlsError::Suites)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let (chain, key, what) = identity.into_parts();
    let mut config =
        builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Identity(what, error))?;
    // An address says nothing to a server that has several certificates.
    config.enable_sni = false;
    Ok(Arc::new(config))
}
