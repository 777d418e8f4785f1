//! What was drawn lately, for all who look at about the same time.

use super::answer::to_json;
use super::window::{Drawn, Silence, Window};
use crate::status::Failover;
use bytes::Bytes;
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Younger than this is new enough for anybody.
const FRESH: Duration = Duration::from_millis(100);

/// Shows pictures.
pub(super) struct Gallery {
    window: Window,
    picture: Mutex<Option<(Instant, Rc<Exhibit>)>>,
    history: Mutex<Option<(Instant, Rc<[Failover]>)>>,
}

/// A picture, and what is made of it when somebody wants it.
#[derive(Default)]
pub(super) struct Exhibit {
    /// What the loop has shown.
    pub drawn: Drawn,
    json: OnceCell<Bytes>,
}

impl Exhibit {
    /// The picture as JSON.
    pub(super) fn json(&self) -> Bytes {
        self.json.get_or_init(|| to_json(&self.drawn.picture)).clone()
    }
}

impl Gallery {
    /// Shows what can be seen through a window.
    pub(super) fn new(window: Window) -> Self {
        Gallery { window, picture: Mutex::default(), history: Mutex::default() }
    }

    /// The window itself.
    pub(super) fn window(&self) -> &Window {
        &self.window
    }

    /// A picture that is new enough. Whoever comes while one is drawn waits for that one.
    pub(super) async fn picture(&self) -> Result<Rc<Exhibit>, Silence> {
        let mut last = self.picture.lock().await;
        match &*last {
            // Until the loop draws again nobody need wait: this is as new as it gets.
            Some((at, exhibit)) if at.elapsed() < FRESH.max(exhibit.drawn.rest) => Ok(exhibit.clone()),
            _ => {
                let drawn = self.window.picture().await?;
                let exhibit = Rc::new(Exhibit { drawn, json: OnceCell::new() });
                *last = Some((Instant::now(), exhibit.clone()));
                Ok(exhibit)
            }
        }
    }

    /// The last failovers, newest first.
    pub(super) async fn history(&self) -> Result<Rc<[Failover]>, Silence> {
        let mut last = self.history.lock().await;
        match &*last {
            Some((at, failovers)) if at.elapsed() < FRESH => Ok(failovers.clone()),
            _ => {
                let failovers: Rc<[Failover]> = self.window.history().await?.into();
                *last = Some((Instant::now(), failovers.clone()));
                Ok(failovers)
            }
        }
    }
}
