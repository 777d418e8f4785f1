//! Answers what the HTTP port asks, on the loop's thread and between its work.

use super::handle::Handle;
use crate::http::{Ask, Drawn, QueryReceiver};
use crate::status;
use crate::status::meters::Tally;
use consentinel_core::GroupName;
use std::time::{Duration, Instant};

/// How long is drawn at a go. Then what has waited for the loop comes first.
const STROKE: Duration = Duration::from_millis(1);

/// After work, so many times its length belongs to others: showing takes a twentieth of the loop's time at most.
const REST: u32 = 19;

/// Answers until the port has ended.
pub(crate) async fn attend(driver: Handle, receiver: QueryReceiver) {
    let QueryReceiver { mut asks, mut pulses } = receiver;
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
            let mut picture = status::draw_some(&driver.sentinel, driver.server.scene(), &[name]);
            let _ = reply.send(picture.masters.pop().map(Box::new));
        }
        Ask::Explain(name, reply) if !reply.is_closed() => {
            let _ = reply.send(driver.driver().sentinel.explain(&name).map(|told| status::explain(&told)));
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
        let picture = status::draw_some(&driver.sentinel, driver.server.scene(), &[]);
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
        let some = status::draw_some(&driver.sentinel, driver.server.scene(), few);
        drawn.picture.masters.extend(some.masters);
    }
    (drawn, worked + began.elapsed())
}
