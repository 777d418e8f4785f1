//! Keeps the last events and sends them to clients that follow them, as server-sent events.
//!
//! Every client has a place of its own in one list: a slow one costs no memory, and when the list has gone on without it,
//! it is told how much it has missed.

use super::answer::to_json;
use crate::status::Happening;
use bytes::{Bytes, BytesMut};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Happenings that are kept for those who come late.
pub(super) const KEPT: usize = 512;

/// What is sent at a go.
const HANDFUL: usize = 64;

/// How often a client hears of us when nothing happens, so that each side notices when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// When a browser is to come back after the connection has ended, in milliseconds.
const RETRY: &str = "retry: 1000\n\n";

/// The last events, and what wakes those that wait for the next one.
pub(super) struct EventFeed {
    /// Another one for each start of the daemon: numbers begin anew then.
    run: String,
    kept: RefCell<VecDeque<Posted>>,
    last: watch::Sender<u64>,
}

struct Posted {
    number: u64,
    /// As it is sent.
    bytes: Bytes,
}

/// From where on somebody wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The last so many, and what comes.
    Last(usize),
    /// What came after that one, by its `id`.
    After(String),
}

impl EventFeed {
    /// An empty one. `run` stands in the ids.
    pub(super) fn new(run: String) -> Self {
        EventFeed { run, kept: RefCell::default(), last: watch::Sender::new(0) }
    }

    /// Takes in what the loop tells, as long as it does.
    pub(super) async fn listen(&self, mut news: mpsc::Receiver<Vec<Happening>>) {
        while let Some(happenings) = news.recv().await {
            self.post(&happenings);
        }
    }

    fn post(&self, happenings: &[Happening]) {
        let Some(last) = happenings.last().map(|happening| happening.number) else { return };
        let mut kept = self.kept.borrow_mut();
        for happening in happenings {
            let mut bytes = BytesMut::from(
                format!("id: {}-{}\nevent: happening\ndata: ", self.run, happening.number).as_bytes(),
            );
            bytes.extend_from_slice(&to_json(happening));
            bytes.extend_from_slice(b"\n");
            kept.push_back(Posted { number: happening.number, bytes: bytes.freeze() });
        }
        let too_many = kept.len().saturating_sub(KEPT);
        kept.drain(..too_many);
        drop(kept);
        self.last.send_replace(last);
    }

    /// The number behind which somebody begins, and what it is told first.
    fn begin(&self, from: &From) -> (u64, String) {
        let kept = self.kept.borrow();
        let last = kept.back().map_or(0, |posted| posted.number);
        match from {
            From::Last(count) => (last.saturating_sub(*count as u64), RETRY.to_owned()),
            From::After(id) => match id.rsplit_once('-') {
                Some((run, number)) if run == self.run => match number.parse::<u64>() {
                    Ok(number) if number <= last => (number, RETRY.to_owned()),
                    _ => (last, RETRY.to_owned()),
                },
                // This daemon has been started again: all that it has seen since is new.
                _ => (0, format!("{RETRY}event: restart\ndata: {{}}\n\n")),
            },
        }
    }

    /// What comes after a number, in one piece, and the number of the last of it. Nothing when there is nothing.
    fn after(&self, number: u64) -> Option<(Bytes, u64)> {
        let kept = self.kept.borrow();
        let first = kept.front()?.number;
        let at = usize::try_from((number + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::new();
        if number + 1 < first {
            let missed = first - number - 1;
            bytes.extend_from_slice(format!("event: gap\ndata: {{\"missed\":{missed}}}\n\n").as_bytes());
        }
        let few = kept.iter().skip(at).take(HANDFUL);
        let last = few.fold(None, |_, posted| {
            bytes.extend_from_slice(&posted.bytes);
            Some(posted.number)
        })?;
        Some((bytes.freeze(), last))
    }
}

/// Sends what happens to one client, until it is gone.
pub(super) async fn follow(feed: Rc<EventFeed>, from: From, to: mpsc::Sender<Bytes>) {
    let mut numbers = feed.last.subscribe();
    let (mut number, greeting) = feed.begin(&from);
    let mut piece = Bytes::from(greeting);
    // A client that has left is noticed by the first piece that it does not take.
    while to.send(piece).await.is_ok() {
        piece = loop {
            if let Some((bytes, last)) = feed.after(number) {
                number = last;
                break bytes;
            }
            tokio::select! {
                changed = numbers.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(HEARTBEAT) => break Bytes::from_static(b": still here\n\n"),
                () = to.closed() => return,
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(numbers: impl Iterator<Item = u64>) -> EventFeed {
        let feed = EventFeed::new("run".into());
        let happening = |number| Happening { number, event: "+sdown".into(), ..Happening::default() };
        feed.post(&numbers.map(happening).collect::<Vec<_>>());
        feed
    }

    fn text(feed: &EventFeed, number: u64) -> String {
        let (bytes, _) = feed.after(number).expect("there is something");
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[test]
    fn a_reader_that_was_away_gets_what_came_after_the_last_that_it_has() {
        let feed = feed(1..=5);
        assert_eq!(feed.begin(&From::After("run-3".into())), (3, RETRY.to_owned()));
        let text = text(&feed, 3);
        assert!(text.starts_with("id: run-4\nevent: happening\ndata: {\"number\":4,"), "{text}");
        assert_eq!(text.matches("\n\n").count(), 2);
        assert_eq!(feed.after(5), None);
        assert_eq!(feed.begin(&From::Last(2)).0, 3);
        assert_eq!(feed.begin(&From::Last(0)).0, 5);
        assert_eq!(feed.begin(&From::Last(100)).0, 0);
    }

    #[test]
    fn after_a_restart_everything_is_new() {
        let feed = feed(1..=5);
        let (number, greeting) = feed.begin(&From::After("other-900".into()));
        assert_eq!((number, greeting.contains("event: restart")), (0, true));
        assert_eq!(feed.begin(&From::After("run-900".into())).0, 5, "a number of the future");
        assert_eq!(feed.begin(&From::After("run-x".into())).0, 5);
        assert_eq!(feed.begin(&From::After(String::new())).0, 0);
    }

    #[test]
    fn what_was_missed_is_told() {
        let feed = feed(1..=KEPT as u64 + 10);
        assert!(text(&feed, 3).starts_with("event: gap\ndata: {\"missed\":7}\n\nid: run-11\n"));
        assert!(text(&feed, 10).starts_with("id: run-11\n"));
    }
}
