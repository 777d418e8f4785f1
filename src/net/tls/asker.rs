//! TLS of a tool that asks a sentinel, or leads to a server: like a sentinel's own, but it may have no certificate to show.

use super::files::Identity;
use super::{TlsError, files, suites, verify};
use crate::config::TlsSettings;
use rustls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client};

/// Makes connections to sentinels, or to servers.
pub(crate) struct Asker {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Asker {
    /// Believes the authorities of these settings, and shows their certificate if there is one. Names are not checked.
    pub(crate) fn new(settings: &TlsSettings) -> Result<Asker, TlsError> {
        // Any name will do.
        Asker::with_name(settings, None)
    }

    /// The same, but the other side's certificate must be for this name, where there is one; it is told the name, too.
    pub(crate) fn with_name(
        settings: &TlsSettings,
        name: Option<ServerName<'static>>,
    ) -> Result<Asker, TlsError> {
        if settings.ca_cert_file.is_none() && settings.ca_cert_dir.is_none() {
            return Err(TlsError::NoAuthorities);
        }
        let provider = Arc::new(suites::provider(settings)?);
        let authorities = files::authorities(settings)?;
        let verifier: Arc<dyn ServerCertVerifier> = match &name {
            None => Arc::new(verify::Servers::new(authorities, &provider, files::trusted(settings)?)),
            Some(_) => WebPkiServerVerifier::builder_with_provider(authorities, provider.clone())
                .build()
                .map_err(|error| TlsError::Authorities(error.to_string()))?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&suites::versions(settings))
            .map_err(TlsError::Suites)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match settings.client_cert_file.is_some() || settings.cert_file.is_some() {
            false => builder.with_no_client_auth(),
            true => {
                let (chain, key, what) = Identity::client(settings)?.into_parts();
                builder.with_client_auth_cert(chain, key).map_err(|error| TlsError::Identity(what, error))?
            }
        };
        config.enable_sni = name.is_some();
        let name = name.unwrap_or_else(|| ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST)));
        Ok(Asker { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Shakes hands.
    pub(crate) async fn connect(&self, stream: TcpStream) -> std::io::Result<client::TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}
