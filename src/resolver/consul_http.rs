//! Consul's HTTP API: a question that is answered when something changes. The only file that knows reqwest.

use crate::backoff::Backoff;
use crate::name::Name;
use crate::origin::Found;
use crate::resolver::Inner;
use crate::secret::Secret;
use crate::tls::TlsOptions;
use crate::{Attempt, BuildError, Builder, Epoch, LookupError, Source, resp};
use serde::Deserialize;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long Consul holds a question to which there is nothing new. It adds up to a sixteenth.
const WAIT: Duration = Duration::from_secs(55);

/// For what takes no waiting: connecting, and an answer that is there already.
const PROMPT: Duration = Duration::from_secs(2);

/// After an error: so long at first, and twice as long each time, up to the last. Meanwhile DNS is asked.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// An agent that answers at once though nothing has changed is not asked more often than this.
const SHORTEST: Duration = Duration::from_millis(20);

/// An answer names masters, and of those there is one.
const MAX_ANSWER: usize = 1 << 20;

/// How often a question whose connection ended before an answer is sent anew.
const REPEATS: usize = 2;

/// What the builder was told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// What was given may hold a password.
    url: Option<Secret>,
    token: Option<Secret>,
    tls: Option<TlsOptions>,
}

impl Builder {
    /// The HTTP API of a Consul agent: `http://127.0.0.1:8500`, `https://…`, `unix:///run/consul.sock`. Watches then hear of
    /// a change within milliseconds. DNS is asked all the same, less often; and alone, while the API is down.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// Resolver::builder("redis.service.consul").consul("http://127.0.0.1:8500").build()?;
    /// # Ok::<(), consentinel_resolver::BuildError>(())
    /// ```
    pub fn consul(mut self, url: impl Into<String>) -> Builder {
        self.consul.url = Some(Secret::new(url));
        self
    }

    /// The token that the API is asked with: it needs `service:read` and `node:read`. It appears in no error and no `Debug`.
    ///
    /// ```
    /// # use consentinel_resolver::Resolver;
    /// let builder = Resolver::builder("redis").consul("http://127.0.0.1:8500").consul_token("secret");
    /// # assert!(!format!("{builder:?}").contains("secret"));
    /// ```
    pub fn consul_token(mut self, token: impl Into<String>) -> Builder {
        self.consul.token = Some(Secret::new(token));
        self
    }

    /// Whom to trust where the API speaks https, and which certificate to show. Without: the system's authorities, none.
    /// The name that the certificate must have is that of the URL.
    ///
    /// ```no_run
    /// # use consentinel_resolver::{Resolver, TlsOptions};
    /// # fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = TlsOptions::builder().ca_file("/etc/consul/ca.pem").build()?;
    /// Resolver::builder("redis").consul("https://127.0.0.1:8501").consul_tls(tls).build()?;
    /// # Ok(()) }
    /// ```
    pub fn consul_tls(mut self, options: TlsOptions) -> Builder {
        self.consul.tls = Some(options);
        self
    }
}

/// The way to an agent, and the question.
#[derive(Clone)]
pub(crate) struct Consul {
    http: reqwest::Client,
    /// What is asked for, without `index` and `wait`.
    url: reqwest::Url,
    token: Option<Secret>,
    /// For errors.
    from: String,
    question: String,
    name: String,
    domain: String,
}

impl fmt::Debug for Consul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consul")
            .field("from", &self.from)
            .field("question", &self.question)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Nothing, when no agent was named.
    pub(crate) fn build(self, name: &Name) -> Result<Option<Consul>, BuildError> {
        let Some(given) = self.url else { return Ok(None) };
        let given = given.reveal();
        let wrong = |reason: String| BuildError::Setting { setting: "consul".into(), reason };
        let Some(parts) = name.parts() else {
            return Err(wrong(format!(
                "{} is no name of a Consul service, as redis.service.consul is",
                name.text()
            )));
        };
        let (base, socket) = match given.strip_prefix("unix://") {
            Some(path) => ("http://localhost".to_owned(), Some(path.to_owned())),
            None if given.contains("://") => (given.to_owned(), None),
            None => (format!("http://{given}"), None),
        };
        let mut url = reqwest::Url::parse(&base).map_err(|error| wrong(format!("it is no URL: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a URL with a user in it; a token is said by consul_token(…)".into()));
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("{}:// is none of http, https, unix", url.scheme())));
        }
        let from = socket
            .as_ref()
            .map_or_else(|| url.origin().ascii_serialization(), |path| format!("unix://{path}"));
        let path = format!("{}/v1/health/service/{}", url.path().trim_end_matches('/'), parts.service);
        url.set_path(&path);
        url.set_query(None);
        url.query_pairs_mut().append_key_only("passing");
        for (key, value) in [("tag", parts.tag), ("dc", parts.datacenter)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(key, value);
            }
        }
        let http = client(url.scheme() == "https", self.tls, socket).map_err(wrong)?;
        let question = format!("GET {path}?{}", url.query().unwrap_or_default());
        let (name, domain) = (name.text(), parts.domain.to_owned());
        Ok(Some(Consul { http, url, token: self.token, from, question, name, domain }))
    }
}

fn client(https: bool, tls: Option<TlsOptions>, socket: Option<String>) -> Result<reqwest::Client, String> {
    let config = match (https, tls) {
        (true, Some(tls)) => tls.config(),
        (true, None) => TlsOptions::builder().build().map_err(|error| error.to_string())?.config(),
        // Where no TLS is spoken, the system need not have any certificates.
        (false, _) => TlsOptions::trusting_nobody().map_err(|error| error.to_string())?.config(),
    };
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .user_agent(concat!("consentinel-resolver/", env!("CARGO_PKG_VERSION")))
        // The agent is next to us: a proxy for the rest of the world is none for it.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .connect_timeout(PROMPT);
    if let Some(path) = socket {
        builder = builder.unix_socket(path);
    }
    builder.build().map_err(|error| chain(&error))
}

/// Sends a request, and once more where its connection ended before an answer came: nothing is changed by a GET. With
/// TLS 1.3 an agent refuses our certificate only after its part of the handshake: when the connection ends between that
/// and our request, the error does not say why. The next connection's does.
async fn send(request: reqwest::RequestBuilder) -> Result<reqwest::Response, reqwest::Error> {
    for _ in 0..REPEATS {
        let Some(first) = request.try_clone() else { break };
        match first.send().await {
            Err(error) if !error.is_connect() && !error.is_timeout() => {}
            outcome => return outcome,
        }
    }
    request.send().await
}

/// What an agent has said.
struct Answer {
    index: u64,
    /// The master, or why there is none.
    master: Result<Entry, LookupError>,
}

struct Entry {
    addr: SocketAddr,
    host: String,
    epoch: Option<Epoch>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    node: Node,
    service: Service,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    node: String,
    address: String,
    #[serde(default)]
    datacenter: Option<String>,
    #[serde(default)]
    meta: Option<HashMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    address: String,
    port: u16,
    #[serde(default)]
    meta: Option<HashMap<String, String>>,
}

impl Consul {
    /// Who is master now: for a look, when DNS does not say.
    pub(crate) async fn ask(&self) -> Result<Found, LookupError> {
        let unanswered =
            |attempt| LookupError::Unanswered { name: self.name.clone(), tried: Arc::new([attempt]) };
        Ok(self.found(self.query(None).await.map_err(unanswered)?.master?))
    }

    /// Hears of every change, and publishes it. Never returns.
    pub(crate) async fn follow(&self, inner: &Inner) {
        let (mut index, mut pauses) = (None, Backoff::new(PAUSES.0, PAUSES.1));
        loop {
            let (ticket, begin) = (inner.cell.ticket(Instant::now()), Instant::now());
            match self.query(index).await {
                Ok(answer) => {
                    pauses.reset();
                    let is_news = index != Some(answer.index);
                    match answer.master {
                        Ok(entry) => drop(inner.settle(ticket, Ok(self.found(entry)))),
                        // Without the right to see them Consul names nobody: DNS shall say whether that is so.
                        Err(_) if is_news => inner.doubted.notify_one(),
                        Err(_) => {}
                    }
                    // An answer that was waited for belongs to a question of long ago: the next one is of now, and
                    // ends whatever doubt there is.
                    index = match (index, is_news) {
                        (Some(_), true) => None,
                        _ => Some(answer.index),
                    };
                    if !is_news && begin.elapsed() < SHORTEST {
                        tokio::time::sleep(SHORTEST).await;
                    }
                }
                Err(attempt) => {
                    tracing::debug!("{attempt}; DNS is asked meanwhile");
                    index = None;
                    tokio::time::sleep(pauses.pause()).await;
                }
            }
        }
    }

    async fn query(&self, index: Option<u64>) -> Result<Answer, Attempt> {
        let failed = |outcome: String| Attempt::new(&self.from, &self.question, outcome);
        let mut url = self.url.clone();
        if let Some(index) = index {
            let wait = format!("{}s", WAIT.as_secs());
            url.query_pairs_mut().append_pair("index", &index.to_string()).append_pair("wait", &wait);
        }
        let most = if index.is_some() { WAIT + WAIT / 16 + PROMPT } else { PROMPT };
        let mut request = self.http.get(url).timeout(most);
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token.reveal());
        }
        let mut response = send(request).await.map_err(|error| failed(chain(&error.without_url())))?;
        let status = response.status().as_u16();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned))
        };
        let next = header("x-consul-index").and_then(|value| value.parse().ok());
        let filtered = header("x-consul-results-filtered-by-acls").is_some_and(|value| value == "true");
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(chain(&error.without_url())))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(failed(format!("more than {} kB", MAX_ANSWER >> 10)));
            }
            body.extend_from_slice(&chunk);
        }
        match status {
            200 => {}
            401 | 403 => {
                let rights = "the token needs service:read and node:read";
                return Err(failed(format!("status {status}: {}; {rights}", self.quote(&body))));
            }
            _ => return Err(failed(format!("status {status}: {}", self.quote(&body)))),
        }
        let rows: Vec<Row> = serde_json::from_slice(&body)
            .map_err(|error| failed(format!("an answer that is not Consul's: {error}")))?;
        if rows.is_empty() && filtered {
            return Err(failed("nothing that we may see: the token needs service:read and node:read".into()));
        }
        let Some(mut next) = next else { return Err(failed("an answer without X-Consul-Index".into())) };
        // Consul's own rules: an index below one, or one that goes backwards, begins anew.
        if next == 0 || index.is_some_and(|before| next < before) {
            next = 1;
        }
        Ok(Answer { index: next, master: self.choose(rows).await })
    }

    /// The one with the newest epoch; without epochs there must be one alone.
    async fn choose(&self, rows: Vec<Row>) -> Result<Entry, LookupError> {
        let (name, from) = (self.name.clone(), self.from.clone());
        let newest = rows.iter().map(Row::epoch).max().flatten();
        let all: Vec<_> = rows.iter().filter(|row| row.epoch() == newest).collect();
        match all[..] {
            [] => Err(LookupError::Nobody { name, from, said: "that there is no passing instance".into() }),
            [row] => self.locate(row).await,
            _ => {
                let masters =
                    all.iter().map(|row| format!("{}:{}", row.address(), row.service.port)).collect();
                Err(LookupError::Ambiguous { name, from, masters })
            }
        }
    }

    async fn locate(&self, row: &Row) -> Result<Entry, LookupError> {
        let (address, port) = (row.address(), row.service.port);
        let ip = match address.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) => self.resolve(address, port).await?,
        };
        Ok(Entry { addr: SocketAddr::new(ip, port), host: row.host(&self.domain), epoch: row.epoch() })
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<IpAddr, LookupError> {
        let found = tokio::time::timeout(PROMPT, tokio::net::lookup_host((host, port))).await;
        let outcome = match found {
            Ok(Ok(mut all)) => match all.next() {
                Some(addr) => return Ok(addr.ip()),
                None => "no address".to_owned(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {PROMPT:?}"),
        };
        let attempt =
            Attempt::new("the system", format!("the address of {host}, which {} names", self.from), outcome);
        Err(LookupError::Unanswered { name: self.name.clone(), tried: Arc::new([attempt]) })
    }

    fn found(&self, Entry { addr, host, epoch }: Entry) -> Found {
        let (source, from) = (Source::Consul, self.from.clone());
        Found { addr, host, epoch, source, ttl: Duration::ZERO, from }
    }

    /// What an agent has said, without our token.
    fn quote(&self, body: &[u8]) -> String {
        let text = String::from_utf8_lossy(body);
        resp::one_line(&match &self.token {
            Some(token) if !token.reveal().is_empty() => text.replace(token.reveal(), "…"),
            _ => text.into_owned(),
        })
    }
}

impl Row {
    fn epoch(&self) -> Option<Epoch> {
        let said =
            [&self.service.meta, &self.node.meta].into_iter().flatten().find_map(|meta| meta.get("epoch"));
        said.and_then(|epoch| epoch.parse().ok()).map(Epoch)
    }

    fn address(&self) -> &str {
        match self.service.address.as_str() {
            "" => &self.node.address,
            address => address,
        }
    }

    /// What DNS calls it, so that it is one and the same whoever says it.
    fn host(&self, domain: &str) -> String {
        let datacenter = self.node.datacenter.as_deref().unwrap_or("dc1");
        match (self.service.address.as_str(), self.address().parse::<IpAddr>()) {
            (_, Err(_)) => self.address().trim_end_matches('.').to_ascii_lowercase(),
            ("", Ok(_)) => format!("{}.node.{datacenter}.{domain}", self.node.node).to_ascii_lowercase(),
            (_, Ok(IpAddr::V4(ip))) => format!("{:08x}.addr.{datacenter}.{domain}", ip.to_bits()),
            (_, Ok(IpAddr::V6(ip))) => format!("{:032x}.addr.{datacenter}.{domain}", ip.to_bits()),
        }
    }
}

/// An error with its causes; the outermost says only that a request failed.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    resp::one_line(&text)
}

#[cfg(test)]
mod tests;
