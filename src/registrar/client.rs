//! HTTP, with reqwest: the only file that knows it. Requests go out with a token and a deadline, answers come in with a
//! limit on their size, and tokens and certificates are read again when their files change.

use super::address::Address;
use super::counters::Counters;
use super::settings::{ConsulSettings, TlsSettings};
use consentinel_core::Secret;
use consentinel_publisher::MOST_CALLS;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CONNECT: Duration = Duration::from_secs(1);

/// Connections that wait for their next request.
const IDLE: Duration = Duration::from_secs(60);

/// A connection over which an answer is awaited is asked whether it still stands: an agent that was cut off without
/// a word is noticed after this, and three times the next.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const KEEPALIVE_RETRIES: u32 = 3;

/// No answer is read any further than this: all entries of a thousand groups take two to five megabytes.
const MAX_ANSWER: usize = 64 << 20;

/// The most that is repeated of an error's text.
const MAX_TEXT: usize = 300;

const INDEX: &str = "x-consul-index";
const TOKEN: &str = "x-consul-token";

/// What is done to what a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Read it.
    Get,
    /// Write it.
    Put,
    /// Ask a question that does not fit into a path.
    Post,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What is done.
    pub verb: Verb,
    /// To what, parameters included.
    pub path: String,
    /// What is sent along.
    pub body: Vec<u8>,
    /// How long the whole answer may take.
    pub timeout: Duration,
    /// Whether the answer comes when it can, not when something changes.
    pub prompt: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// The version of what was read.
    pub index: Option<u64>,
    /// The rest.
    pub body: Vec<u8>,
}

/// Why nothing usable came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No connection, or it was lost.
    Unreachable(String),
    /// No answer in time.
    Silent,
    /// It takes connections, and ends them without an answer.
    Cut(String),
    /// An answer that is not HTTP, or too long.
    Malformed(String),
}

/// The way to an agent.
#[derive(Debug)]
pub(super) struct Client {
    settings: Arc<ConsulSettings>,
    counters: Arc<Counters>,
    base: String,
    built: Mutex<Arc<Built>>,
}

/// A client as it was built from the files of that moment.
#[derive(Debug)]
struct Built {
    material: Material,
    /// Why there is none, if so.
    http: Result<reqwest::Client, String>,
}

/// What was read from files.
#[derive(Clone, Debug, PartialEq)]
struct Material {
    token: Result<Option<Secret>, String>,
    authorities: Vec<Read>,
    identity: Option<(Read, Read)>,
}

/// A file, or why it cannot be read.
type Read = Result<Vec<u8>, String>;

impl Client {
    /// A client by these settings. A file that cannot be read is an error of every request, until it can.
    pub(super) fn new(settings: Arc<ConsulSettings>, counters: Arc<Counters>) -> Client {
        let base = match &settings.address {
            Address::Unix(_) => "http://localhost".to_owned(),
            Address::Tcp { https: Some(true), port, path, .. } if settings.tls.server_name.is_some() => {
                format!("https://{}:{port}{path}", settings.tls.server_name.as_deref().unwrap_or_default())
            }
            address => address.to_string(),
        };
        let material = Material::read(&settings);
        let http = build(&settings, &material);
        Client { settings, counters, base, built: Mutex::new(Arc::new(Built { material, http })) }
    }

    /// Reads tokens and certificates again. Whether anything was different.
    pub(super) async fn refresh(&self) -> bool {
        let settings = self.settings.clone();
        let Ok(material) = tokio::task::spawn_blocking(move || Material::read(&settings)).await else {
            return false;
        };
        let before = self.built();
        if before.material == material {
            return false;
        }
        // A file that is just being replaced: what was read before still holds.
        if material.is_broken() && before.http.is_ok() && !before.material.is_broken() {
            return false;
        }
        let same_certificates = before.material.authorities == material.authorities
            && before.material.identity == material.identity;
        let http = match &before.http {
            Ok(http) if same_certificates => Ok(http.clone()),
            _ => build(&self.settings, &material),
        };
        *self.lock() = Arc::new(Built { material, http });
        true
    }

    /// The token, if there is one that can be read.
    pub(super) fn token(&self) -> Option<Secret> {
        self.built().material.token.clone().ok().flatten()
    }

    /// Asks, and counts.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, Trouble> {
        let (sent, prompt, begin) = (call.body.len() + call.path.len(), call.prompt, Instant::now());
        let result = self.exchange(call).await;
        let received = result.as_ref().map_or(0, |answer| answer.body.len());
        self.counters.transferred(sent, received, prompt.then(|| begin.elapsed()));
        result
    }

    async fn exchange(&self, call: Call) -> Result<Answer, Trouble> {
        let built = self.built();
        let unusable = |why: &String| Trouble::Unreachable(why.clone());
        let http = built.http.as_ref().map_err(unusable)?;
        let token = built.material.token.as_ref().map_err(unusable)?;
        let method = match call.verb {
            Verb::Get => reqwest::Method::GET,
            Verb::Put => reqwest::Method::PUT,
            Verb::Post => reqwest::Method::POST,
        };
        let mut request =
            http.request(method, format!("{}{}", self.base, call.path)).timeout(call.timeout).body(call.body);
        if let Some(token) = token {
            request = request.header(TOKEN, token.reveal());
        }
        let mut response = request.send().await.map_err(trouble)?;
        let status = response.status().as_u16();
        let index = response.headers().get(INDEX).and_then(|index| index.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(trouble)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Trouble::Malformed(format!("more than {} MB", MAX_ANSWER >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        // A refusal may say the token back, and comes into the log. What is read as data stays: a token may be a usual word.
        if let Some(token) = token.as_ref().filter(|_| !response_is_good(status)) {
            hide(&mut body, token.reveal().as_bytes());
        }
        Ok(Answer { status, index, body })
    }

    fn built(&self) -> Arc<Built> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Built>> {
        // Nobody panics while holding it; and if, what it holds is still good.
        self.built.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn response_is_good(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Puts stars in the place of a secret.
fn hide(text: &mut [u8], secret: &[u8]) {
    let Some(first) = secret.first() else { return };
    let mut at = 0;
    while let Some(found) = text[at..].iter().position(|byte| byte == first) {
        at += found;
        match text[at..].starts_with(secret) {
            true => {
                text[at..at + secret.len()].fill(b'*');
                at += secret.len();
            }
            false => at += 1,
        }
    }
}

impl Material {
    fn read(settings: &ConsulSettings) -> Material {
        let token = match &settings.token_file {
            Some(path) => read(path).and_then(|bytes| {
                let text = String::from_utf8(bytes).map_err(|_| format!("{}: no text", path.display()))?;
                match text.trim() {
                    token if token.bytes().all(|c| c.is_ascii_graphic()) => {
                        Ok((!token.is_empty()).then(|| Secret::new(token)))
                    }
                    _ => Err(format!("{}: no token, but several words", path.display())),
                }
            }),
            None => Ok(settings.token.clone()),
        };
        let tls = &settings.tls;
        let identity = tls
            .client_cert
            .as_deref()
            .zip(tls.client_key.as_deref())
            .map(|(cert, key)| (read(cert), read(key)));
        Material { token, authorities: authorities(tls), identity }
    }

    fn is_broken(&self) -> bool {
        self.token.is_err()
            || self.authorities.iter().any(Result::is_err)
            || self.identity.as_ref().is_some_and(|(cert, key)| cert.is_err() || key.is_err())
    }
}

fn read(path: &Path) -> Read {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

fn authorities(tls: &TlsSettings) -> Vec<Read> {
    let mut files: Vec<Result<PathBuf, String>> = tls.ca_cert.iter().cloned().map(Ok).collect();
    if let Some(folder) = &tls.ca_path {
        let unreadable = |error| format!("{} cannot be read: {error}", folder.display());
        match std::fs::read_dir(folder) {
            Ok(entries) => files.extend(
                entries
                    .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
                    .filter(|path| path.as_ref().map_or(true, |path| path.is_file())),
            ),
            Err(error) => files.push(Err(unreadable(error))),
        }
    }
    files.sort();
    files.into_iter().map(|path| path.and_then(|path| read(&path))).collect()
}

fn build(settings: &ConsulSettings, material: &Material) -> Result<reqwest::Client, String> {
    // The second time it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("consentinel/", env!("CARGO_PKG_VERSION")))
        // The agent is next to us: a proxy for the rest of the world is none for it.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_CALLS)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE_INTERVAL)
        .tcp_keepalive_retries(KEEPALIVE_RETRIES);
    if let Address::Unix(path) = &settings.address {
        builder = builder.unix_socket(path.clone());
    }
    builder = match settings.address.is_https() {
        true => with_tls(builder, settings, material)?,
        // Where no TLS is spoken, the system need not have any certificates.
        false => builder.tls_certs_only([]),
    };
    builder.build().map_err(|error| chain(&error))
}

fn with_tls(
    mut builder: reqwest::ClientBuilder,
    settings: &ConsulSettings,
    material: &Material,
) -> Result<reqwest::ClientBuilder, String> {
    let mut certificates = Vec::new();
    for pem in &material.authorities {
        let bundle = reqwest::Certificate::from_pem_bundle(pem.as_ref().map_err(Clone::clone)?);
        certificates
            .extend(bundle.map_err(|error| format!("the authorities' certificates: {}", chain(&error)))?);
    }
    if !material.authorities.is_empty() {
        if certificates.is_empty() {
            return Err("the files of the authorities hold no certificate".into());
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let Some((cert, key)) = &material.identity {
        let mut pem = cert.clone()?;
        pem.push(b'\n');
        pem.extend_from_slice(key.as_ref().map_err(Clone::clone)?);
        let identity = reqwest::Identity::from_pem(&pem)
            .map_err(|error| format!("the client's certificate and key: {}", chain(&error)))?;
        builder = builder.identity(identity);
    }
    if !settings.tls.verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    if let (Some(_), Address::Tcp { host, .. }) = (&settings.tls.server_name, &settings.address) {
        builder = builder.dns_resolver(UnderAnotherName(host.clone()));
    }
    Ok(builder)
}

/// Finds one host, under whatever name it is looked for: the certificate is made out to another name than the
/// address's.
struct UnderAnotherName(String);

impl Resolve for UnderAnotherName {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            // Whoever asked replaces the port.
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

fn trouble(error: reqwest::Error) -> Trouble {
    // The URL says nothing that the caller does not know.
    let error = error.without_url();
    if error.is_connect() {
        return Trouble::Unreachable(chain(&error));
    }
    if error.is_timeout() {
        return Trouble::Silent;
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        let of_http = error.downcast_ref::<hyper::Error>();
        if of_http.is_some_and(|error| error.is_incomplete_message()) || is_reset(error) {
            return Trouble::Cut(chain(error));
        }
        if of_http.is_some_and(hyper::Error::is_parse) {
            return Trouble::Malformed(format!("what it answers is no HTTP: {}", chain(error)));
        }
        cause = error.source();
    }
    match error.is_builder() || error.is_redirect() {
        true => Trouble::Malformed(chain(&error)),
        false => Trouble::Unreachable(chain(&error)),
    }
}

fn is_reset(error: &(dyn Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| matches!(error.kind(), ConnectionReset | BrokenPipe))
}

/// An error with its causes; the outermost says only that a request failed.
fn chain(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Many repeat what lies beneath them; the layers between say nothing to anybody else.
        if !text.starts_with("client error") && !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
        cause = error.source();
    }
    if texts.len() > 1 {
        texts.remove(0);
    }
    shortened(&texts.join(": "))
}

/// A text of somebody else, as far as it belongs into one line of ours.
pub(super) fn shortened(text: &str) -> String {
    consentinel_resolver::shared::shortened(text, MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_said_back_is_hidden() {
        let mut said = b"ACL not found: 2fa1-2fa-2fa1-2fa1-b (2fa1-2fa1-b)".to_vec();
        hide(&mut said, b"2fa1-2fa1-b");
        assert_eq!(said, b"ACL not found: 2fa1-2fa-*********** (***********)");
        hide(&mut said, b"");
    }
}
