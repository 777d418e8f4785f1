//! Answers requests: which path gives what, and which requests are refused.

use super::answer::{self, Answer};
use super::events::{self, EventFeed, From};
use super::hosts::{self, Unfit};
use super::metrics::{self, Visits};
use super::permits::Permits;
use super::status_cache::StatusCache;
use super::status_query::{LoopTimeout, StatusQuery};
use super::{health, page};
use crate::status::Failover;
use crate::status::meters::Meters;
use consentinel_core::GroupName;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode, Version};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Clients that may follow the events; the other connections are kept for those who ask and go.
const FOLLOWERS: usize = 64;

/// All that the connections share.
pub(super) struct Handler {
    pub(super) cache: StatusCache,
    pub(super) feed: Rc<EventFeed>,
    /// What the daemon measures of itself, and what this port does.
    pub(super) meters: Arc<Meters>,
    pub(super) visits: Visits,
    /// Names under which it may be asked besides addresses.
    pub(super) hosts: Vec<String>,
    pub(super) followers: Permits,
    pub(super) connections: Permits,
}

impl Handler {
    /// One that asks the loop through `query`, and lets in `most` connections.
    pub(super) fn new(
        query: StatusQuery,
        feed: Rc<EventFeed>,
        meters: Arc<Meters>,
        hosts: Vec<String>,
        most: usize,
    ) -> Self {
        let (cache, followers) = (StatusCache::new(query), Permits::new(FOLLOWERS.min(most / 2)));
        let visits = Visits::default();
        Handler { cache, feed, meters, visits, hosts, followers, connections: Permits::new(most) }
    }

    /// Answers a request that came to one of our addresses.
    pub(super) async fn answer(&self, request: Request<Incoming>, local: SocketAddr) -> Answer {
        let answer = match self.refuse(&request, local) {
            Some(refusal) => refusal,
            None => self.find(&request).await.unwrap_or_else(|silence| {
                answer::refusal(StatusCode::SERVICE_UNAVAILABLE, &silence.to_string())
            }),
        };
        self.visits.answered(answer.status().as_u16());
        answer
    }

    /// Nothing when the request may be answered.
    fn refuse(&self, request: &Request<Incoming>, local: SocketAddr) -> Option<Answer> {
        let mut named = request.headers().get_all(header::HOST).iter();
        let host = match (named.next(), named.next()) {
            (Some(host), None) => host.to_str().ok().map(|host| hosts::check(host, local, &self.hosts)),
            // Whoever checks by HTTP/1.0 may have no name to send; a browser always sends one.
            (None, None) if request.version() == Version::HTTP_10 => Some(Ok(())),
            _ => None,
        };
        let authority = request.uri().authority().map(|name| hosts::check(name.as_str(), local, &self.hosts));
        match host.unwrap_or(Err(Unfit::Malformed)).and(authority.unwrap_or(Ok(()))) {
            Ok(()) => {}
            Err(Unfit::Malformed) => {
                return Some(answer::refusal(StatusCode::BAD_REQUEST, "the request must name one host"));
            }
            Err(Unfit::Foreign) => {
                let text = "this port is not known under that name: ask for its address or for localhost, or add to \
                            the configuration: sentinel http-host <name>";
                return Some(answer::refusal(StatusCode::MISDIRECTED_REQUEST, text));
            }
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let text = "only GET and HEAD are understood: nothing can be changed through this port";
            let mut refusal = answer::refusal(StatusCode::METHOD_NOT_ALLOWED, text);
            refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(refusal);
        }
        None
    }

    async fn find(&self, request: &Request<Incoming>) -> Result<Answer, LoopTimeout> {
        let path = request.uri().path();
        if let Some(file) = page::file(path) {
            return Ok(answer::good(file.kind, file.text));
        }
        let parameter = |name| parameter(request.uri().query().unwrap_or_default(), name);
        Ok(match path {
            "/health" => self.health().await,
            "/ready" => self.ready().await,
            "/metrics" => {
                let snapshot = self.cache.picture().await?;
                answer::good(answer::METRICS, metrics::page(&snapshot.drawn, self))
            }
            "/v1/state" => answer::good(answer::JSON, self.cache.picture().await?.json()),
            "/v1/history" => {
                let (all, wanted) = (self.cache.history().await?, parameter("master"));
                let fits = |failover: &&Failover| wanted.as_ref().is_none_or(|name| *name == failover.master);
                let failovers: Vec<&Failover> = all.iter().filter(fits).collect();
                answer::json(StatusCode::OK, &failovers)
            }
            "/v1/events" => self.events(request, parameter("last")),
            _ => match (path.strip_prefix("/v1/state/"), path.strip_prefix("/v1/explain/")) {
                (Some(name), _) => self.master(name).await?,
                (_, Some(name)) => self.explain(name).await?,
                _ => answer::refusal(StatusCode::NOT_FOUND, NOTHING_HERE),
            },
        })
    }

    async fn health(&self) -> Answer {
        match self.cache.query().pulse().await {
            Ok(()) => answer::json(StatusCode::OK, &serde_json::json!({ "healthy": true })),
            Err(silence) => {
                let body = serde_json::json!({ "healthy": false, "reasons": [silence.to_string()] });
                answer::json(StatusCode::SERVICE_UNAVAILABLE, &body)
            }
        }
    }

    async fn ready(&self) -> Answer {
        let reasons = match self.cache.picture().await {
            Ok(snapshot) => health::troubles(&snapshot.drawn.picture),
            Err(silence) => vec![silence.to_string()],
        };
        let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        answer::json(status, &serde_json::json!({ "ready": reasons.is_empty(), "reasons": reasons }))
    }

    async fn master(&self, name: &str) -> Result<Answer, LoopTimeout> {
        let found = match group_name(name) {
            Some(name) => self.cache.query().master(name).await?,
            None => None,
        };
        Ok(found.map_or_else(no_such_master, |master| answer::json(StatusCode::OK, &master)))
    }

    async fn explain(&self, name: &str) -> Result<Answer, LoopTimeout> {
        let found = match group_name(name) {
            Some(name) => self.cache.query().explain(name).await?,
            None => None,
        };
        Ok(found.map_or_else(no_such_master, |explained| answer::json(StatusCode::OK, &explained)))
    }

    fn events(&self, request: &Request<Incoming>, last: Option<String>) -> Answer {
        let id = request.headers().get("last-event-id").and_then(|id| id.to_str().ok());
        let last = last.and_then(|last| last.parse().ok()).unwrap_or(0);
        let from = id.map_or(From::Last(last), |id| From::After(id.to_owned()));
        let (to, pieces) = mpsc::channel(1);
        if request.method() == Method::HEAD {
            return answer::stream(pieces);
        }
        let Some(permit) = self.followers.take() else {
            let text = "too many clients follow the events already";
            return answer::refusal(StatusCode::SERVICE_UNAVAILABLE, text);
        };
        let feed = self.feed.clone();
        tokio::task::spawn_local(async move {
            let _permit = permit;
            events::follow(feed, from, to).await;
        });
        answer::stream(pieces)
    }
}

const NOTHING_HERE: &str = "there is nothing of that name: /, /v1/state, /v1/state/<master>, /v1/history, \
                            /v1/explain/<master>, /v1/events, /health, /ready, /metrics";

fn no_such_master() -> Answer {
    answer::refusal(StatusCode::NOT_FOUND, "no master of that name is watched")
}

/// A name as it stands in a path.
fn group_name(text: &str) -> Option<GroupName> {
    unescape(text).map(|name| GroupName::new(&name))
}

/// A parameter of a query.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).and_then(|(_, value)| unescape(value))
}

/// Takes the escapes out of a part of an address. Nothing when it is no text.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                let digit = |at: usize| char::from(digits[at]).to_digit(16);
                u8::try_from(digit(0)? * 16 + digit(1)?).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_an_address_may_be_escaped() {
        assert_eq!(unescape("my%2Fmaster%41").as_deref(), Some("my/masterA"));
        for text in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert_eq!(unescape(text), None, "{text}");
        }
        assert_eq!(parameter("a=1&last=%35", "last").as_deref(), Some("5"));
        assert_eq!(parameter("last", "last"), None);
    }
}
