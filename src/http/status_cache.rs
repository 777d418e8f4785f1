//! Keeps what the loop drew last, for all clients that ask at about the same time.

use super::answer::to_json;
use super::status_query::{Drawn, LoopTimeout, StatusQuery};
use crate::status::Failover;
use bytes::Bytes;
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Younger than this is new enough for anybody.
const FRESH: Duration = Duration::from_millis(100);

/// Keeps the last picture and the last history, and asks for newer ones.
pub(super) struct StatusCache {
    query: StatusQuery,
    picture: Mutex<Option<(Instant, Rc<Snapshot>)>>,
    history: Mutex<Option<(Instant, Rc<[Failover]>)>>,
}

/// A picture, and what is made of it when somebody wants it.
#[derive(Default)]
pub(super) struct Snapshot {
    /// What the loop has shown.
    pub drawn: Drawn,
    json: OnceCell<Bytes>,
}

impl Snapshot {
    /// The picture as JSON.
    pub(super) fn json(&self) -> Bytes {
        self.json.get_or_init(|| to_json(&self.drawn.picture)).clone()
    }
}

impl StatusCache {
    /// One that asks the loop.
    pub(super) fn new(query: StatusQuery) -> Self {
        StatusCache { query, picture: Mutex::default(), history: Mutex::default() }
    }

    /// What asks the loop without the cache.
    pub(super) fn query(&self) -> &StatusQuery {
        &self.query
    }

    /// A picture that is new enough. Whoever comes while one is drawn waits for that one.
    pub(super) async fn picture(&self) -> Result<Rc<Snapshot>, LoopTimeout> {
        let mut last = self.picture.lock().await;
        match &*last {
            // Until the loop draws again nobody need wait: this is as new as it gets.
            Some((at, snapshot)) if at.elapsed() < FRESH.max(snapshot.drawn.rest) => Ok(snapshot.clone()),
            _ => {
                let drawn = self.query.picture().await?;
                let snapshot = Rc::new(Snapshot { drawn, json: OnceCell::new() });
                *last = Some((Instant::now(), snapshot.clone()));
                Ok(snapshot)
            }
        }
    }

    /// The last failovers, newest first.
    pub(super) async fn history(&self) -> Result<Rc<[Failover]>, LoopTimeout> {
        let mut last = self.history.lock().await;
        match &*last {
            Some((at, failovers)) if at.elapsed() < FRESH => Ok(failovers.clone()),
            _ => {
                let failovers: Rc<[Failover]> = self.query.history().await?.into();
                *last = Some((Instant::now(), failovers.clone()));
                Ok(failovers)
            }
        }
    }
}
