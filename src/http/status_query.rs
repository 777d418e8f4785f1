//! Asks the loop what the HTTP port shows: the questions, and both ends of the channel on which they travel.

use crate::status::meters::Tally;
use crate::status::{Explanation, Failover, Master, Picture};
use consentinel_core::GroupName;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long the loop may take for a sign of life before it counts as one that does not answer.
const PULSE: Duration = Duration::from_secs(2);

/// How long it may take to show something: everything else comes in between.
const PATIENCE: Duration = Duration::from_secs(10);

/// Questions that wait in the channel at most; others wait to be let in.
const QUEUE: usize = 64;

/// The HTTP port's end: it asks.
#[derive(Clone)]
pub(crate) struct StatusQuery {
    asks: mpsc::Sender<Ask>,
    pulses: mpsc::Sender<oneshot::Sender<()>>,
}

/// The loop's end: it answers.
pub(crate) struct QueryReceiver {
    pub(crate) asks: mpsc::Receiver<Ask>,
    pub(crate) pulses: mpsc::Receiver<oneshot::Sender<()>>,
}

/// What is asked.
pub(crate) enum Ask {
    Picture(oneshot::Sender<Drawn>),
    History(oneshot::Sender<Vec<Failover>>),
    Master(GroupName, oneshot::Sender<Option<Box<Master>>>),
    Explain(GroupName, oneshot::Sender<Option<Explanation>>),
}

/// What the loop has to show.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    /// The daemon.
    pub picture: Picture,
    /// What it has counted.
    pub tally: Tally,
    /// For how long no other picture will be drawn.
    pub rest: Duration,
}

/// The loop has not answered for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LoopTimeout(Duration);

impl std::fmt::Display for LoopTimeout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        write!(
            f,
            "the loop of this sentinel has not answered for {seconds} seconds: it stands still, has too much to do, or ends"
        )
    }
}

/// Both ends.
pub(crate) fn channel() -> (StatusQuery, QueryReceiver) {
    let ((asks, asked), (pulses, felt)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
    (StatusQuery { asks, pulses }, QueryReceiver { asks: asked, pulses: felt })
}

impl StatusQuery {
    /// Ready when the loop has shown a sign of life.
    pub(super) async fn pulse(&self) -> Result<(), LoopTimeout> {
        let (reply, answered) = oneshot::channel();
        within(PULSE, async {
            self.pulses.send(reply).await.ok()?;
            answered.await.ok()
        })
        .await
    }

    /// A new picture.
    pub(super) async fn picture(&self) -> Result<Drawn, LoopTimeout> {
        self.ask(Ask::Picture).await
    }

    /// The last failovers, newest first.
    pub(super) async fn history(&self) -> Result<Vec<Failover>, LoopTimeout> {
        self.ask(Ask::History).await
    }

    /// One master; nothing when there is none of that name.
    pub(super) async fn master(&self, name: GroupName) -> Result<Option<Box<Master>>, LoopTimeout> {
        self.ask(|reply| Ask::Master(name, reply)).await
    }

    /// Why there is no failover of a master; nothing when there is none of that name.
    pub(super) async fn explain(&self, name: GroupName) -> Result<Option<Explanation>, LoopTimeout> {
        self.ask(|reply| Ask::Explain(name, reply)).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, LoopTimeout> {
        let (reply, answered) = oneshot::channel();
        within(PATIENCE, async {
            self.asks.send(ask(reply)).await.ok()?;
            answered.await.ok()
        })
        .await
    }
}

async fn within<T>(patience: Duration, answer: impl Future<Output = Option<T>>) -> Result<T, LoopTimeout> {
    let answer = tokio::time::timeout(patience, answer).await.ok().flatten();
    answer.ok_or(LoopTimeout(patience))
}
