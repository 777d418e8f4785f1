//! TLS of a tool that asks a sentinel: like a sentinel's own, but it may have no certificate to show.

use super::files::Identity;
use super::{TlsError, files, suites, verify};
use crate::driver::store::TlsSettings;
use rustls::ClientConfig;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client};

/// Makes connections to sentinels.
pub(crate) struct Asker(TlsConnector);

impl Asker {
    /// Believes the authorities of these settings, and shows their certificate if there is one.
    pub(crate) fn new(settings: &TlsSettings) -> Result<Asker, TlsError> {
        if settings.ca_cert_file.is_none() && settings.ca_cert_dir.is_none() {
            return Err(TlsError::NoAuthorities);
        }
        let provider = Arc::new(suites::provider(settings)?);
        let verifier =
            verify::Servers::new(files::authorities(settings)?, &provider, files::trusted(settings)?);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&suites::versions(settings))
            .map_err(TlsError::Suites)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match settings.client_cert_file.is_some() || settings.cert_file.is_some() {
            false => builder.with_no_client_auth(),
            true => {
                let (chain, key, what) = Identity::client(settings)?.into_parts();
                builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Identity(what, error))?
            }
        };
        config.enable_sni = false;
        Ok(Asker(TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands.
    pub(crate) async fn connect(&self, stream: TcpStream) -> std::io::Result<client::TlsStream<TcpStream>> {
        // Names are not checked, so any will do.
        self.0.connect(Ipv4Addr::LOCALHOST.into(), stream).await
    }
}
