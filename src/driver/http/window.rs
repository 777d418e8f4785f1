//! The window between the HTTP port and the loop: what is asked on one side, and who draws it on the other.

use crate::driver::handle::Handle;
use crate::driver::meters::Tally;
use crate::driver::picture::{self, Explanation, Failover, Master, Picture};
use consentinel_core::GroupName;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// How long the loop may take for a sign of life before it counts as one that does not answer.
const PULSE: Duration = Duration::from_secs(2);

/// How long it may take to show something: everything else comes in between.
const PATIENCE: Duration = Duration::from_secs(10);

/// What waits at the window at most; others wait before it.
const QUEUE: usize = 64;

/// How long is drawn at a go. Then whoever has waited for the loop comes first.
const STROKE: Duration = Duration::from_millis(1);

/// After work, so many times its length belongs to others: showing takes a twentieth of the loop's time at most.
const REST: u32 = 19;

/// The window as the HTTP port sees it.
#[derive(Clone)]
pub(in crate::driver) struct Window {
    asks: mpsc::Sender<Ask>,
    pulses: mpsc::Sender<oneshot::Sender<()>>,
}

/// The window as the loop sees it.
pub(in crate::driver) struct Attendant {
    asks: mpsc::Receiver<Ask>,
    pulses: mpsc::Receiver<oneshot::Sender<()>>,
}

/// What is asked.
enum Ask {
    Picture(oneshot::Sender<Drawn>),
    History(oneshot::Sender<Vec<Failover>>),
    Master(GroupName, oneshot::Sender<Option<Box<Master>>>),
    Explain(GroupName, oneshot::Sender<Option<Explanation>>),
}

/// What the loop has to show.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    /// The daemon.
    pub picture: Picture,
    /// What it has counted.
    pub tally: Tally,
    /// For how long no other picture will be drawn.
    pub rest: Duration,
}

/// The loop has not answered for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence(Duration);

impl std::fmt::Display for Silence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        write!(
            f,
            "the loop of this sentinel has not answered for {seconds} seconds: it stands still, has too much to do, or ends"
        )
    }
}

/// Both sides of a window.
pub(in crate::driver) fn window() -> (Window, Attendant) {
    let ((asks, asked), (pulses, felt)) = (mpsc::channel(QUEUE), mpsc::channel(QUEUE));
    (Window { asks, pulses }, Attendant { asks: asked, pulses: felt })
}

impl Window {
    /// Ready when the loop has shown a sign of life.
    pub(super) async fn pulse(&self) -> Result<(), Silence> {
        let (reply, answered) = oneshot::channel();
        within(PULSE, async {
            self.pulses.send(reply).await.ok()?;
            answered.await.ok()
        })
        .await
    }

    /// A new picture.
    pub(super) async fn picture(&self) -> Result<Drawn, Silence> {
        self.ask(Ask::Picture).await
    }

    /// The last failovers, newest first.
    pub(super) async fn history(&self) -> Result<Vec<Failover>, Silence> {
        self.ask(Ask::History).await
    }

    /// One master; nothing when there is none of that name.
    pub(super) async fn master(&self, name: GroupName) -> Result<Option<Box<Master>>, Silence> {
        self.ask(|reply| Ask::Master(name, reply)).await
    }

    /// Why there is no failover of a master; nothing when there is none of that name.
    pub(super) async fn explain(&self, name: GroupName) -> Result<Option<Explanation>, Silence> {
        self.ask(|reply| Ask::Explain(name, reply)).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Silence> {
        let (reply, answered) = oneshot::channel();
        within(PATIENCE, async {
            self.asks.send(ask(reply)).await.ok()?;
            answered.await.ok()
        })
        .await
    }
}

async fn within<T>(patience: Duration, answer: impl Future<Output = Option<T>>) -> Result<T, Silence> {
    let answer = tokio::time::timeout(patience, answer).await.ok().flatten();
    answer.ok_or(Silence(patience))
}

/// Answers at the window, on the loop's thread and between its work.
pub(in crate::driver) async fn attend(driver: Handle, attendant: Attendant) {
    let Attendant { mut asks, mut pulses } = attendant;
    let drawing = async {
        while let Some(ask) = asks.recv().await {
            let worked = answer(&driver, ask).await;
            tokio::time::sleep(worked * REST).await;
        }
    };
    // Not behind drawings: whether the loop lives must be known while there is much to draw, too.
    let living = async {
        while let Some(reply) = pulses.recv().await {
            let _ = reply.send(());
        }
    };
    tokio::join!(drawing, living);
}

/// Answers, unless nobody waits for it any more, and tells how long it took.
async fn answer(driver: &Handle, ask: Ask) -> Duration {
    let began = Instant::now();
    match ask {
        Ask::Picture(reply) if !reply.is_closed() => {
            let (mut drawn, worked) = draw(driver).await;
            drawn.rest = worked * REST;
            let _ = reply.send(drawn);
            return worked;
        }
        Ask::History(reply) if !reply.is_closed() => {
            let _ = reply.send(driver.driver().server.history.failovers(None));
        }
        Ask::Master(name, reply) if !reply.is_closed() => {
            let driver = driver.driver();
            let mut picture = picture::draw_some(&driver.sentinel, driver.server.scene(), &[name]);
            let _ = reply.send(picture.masters.pop().map(Box::new));
        }
        Ask::Explain(name, reply) if !reply.is_closed() => {
            let _ = reply.send(driver.driver().sentinel.explain(&name).map(|told| picture::explain(&told)));
        }
        Ask::Picture(_) | Ask::History(_) | Ask::Master(..) | Ask::Explain(..) => {}
    }
    began.elapsed()
}

/// Draws the masters a few at a time. What it took is told without the work of others in between.
async fn draw(driver: &Handle) -> (Drawn, Duration) {
    let mut began = Instant::now();
    let mut worked = Duration::ZERO;
    let (names, mut drawn) = {
        let driver = driver.driver();
        let names: Vec<GroupName> = driver.sentinel.group_names().cloned().collect();
        let picture = picture::draw_some(&driver.sentinel, driver.server.scene(), &[]);
        let tally = Tally { dns: driver.announcer.counted(), ..driver.server.tally() };
        (names, Drawn { picture, tally, rest: Duration::ZERO })
    };
    for few in names.chunks(4) {
        if began.elapsed() > STROKE {
            worked += began.elapsed();
            tokio::task::yield_now().await;
            began = Instant::now();
        }
        let driver = driver.driver();
        let some = picture::draw_some(&driver.sentinel, driver.server.scene(), few);
        drawn.picture.masters.extend(some.masters);
    }
    (drawn, worked + began.elapsed())
}
