//! Noticing that something of a group has changed in Consul.
//!
//! A group is watched by three requests that Consul answers when something changes. An agent allows 200 connections to
//! one client, so only so many groups are watched; those beyond are looked at in turn, every few seconds.

use super::api::{Api, Aspect};
use super::counters::Noticing;
use super::names::Names;
use super::retry;
use crate::driver::clock;
use consentinel_core::RegistryError;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Groups that are watched at a time.
pub(super) const WATCHED: usize = 30;

/// Between two answers of one watch: whatever changes all the time is not looked at all the time.
const PAUSE: Duration = Duration::from_millis(20);

/// Between two looks at a group that is not watched, where there are few of them; and what each of them adds.
const POLL: Duration = Duration::from_secs(3);
const POLL_EACH: Duration = Duration::from_millis(50);

/// Notices changes of one group until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    changed: Arc<Notify>,
    api: Arc<Api>,
    how: Noticing,
    _tasks: JoinSet<()>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Watch {
    /// Starts to watch, if there is a slot, or else to poll.
    pub(super) fn new(api: &Arc<Api>, names: &Arc<Names>, slots: &Arc<Semaphore>) -> Watch {
        let changed = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        let slot = slots.clone().try_acquire_owned().ok();
        let how = if slot.is_some() { Noticing::Watched } else { Noticing::Polled };
        match how {
            Noticing::Watched => {
                for aspect in Aspect::ALL {
                    tasks.spawn(watch(api.clone(), names.clone(), aspect, changed.clone()));
                }
            }
            Noticing::Polled => drop(tasks.spawn(poll(api.clone(), changed.clone()))),
        }
        api.counters().noticing(how);
        Watch { changed, api: api.clone(), how, _tasks: tasks, _slot: slot }
    }

    /// Returns when something may have changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.api.counters().no_longer(self.how);
    }
}

async fn watch(api: Arc<Api>, names: Arc<Names>, aspect: Aspect, changed: Arc<Notify>) {
    let mut index = None;
    let mut tries = 0;
    loop {
        let begin = Instant::now();
        match wait(&api, &names, aspect, index).await {
            Ok(now) => {
                // The first answer counts: something may have changed since the last look. So does the first one
                // after a failure.
                if index != Some(now) || tries > 0 {
                    changed.notify_one();
                }
                // An index that goes back belongs to a Consul that was restored: everything is to be read anew.
                index = Some(now).filter(|now| index.is_none_or(|before| *now >= before));
                tries = 0;
                tokio::time::sleep(PAUSE.saturating_sub(begin.elapsed())).await;
            }
            Err(_) => {
                // That Consul does not answer any more is to be noticed, too.
                if tries == 0 {
                    changed.notify_one();
                }
                tries += 1;
                tokio::time::sleep(retry::delay(tries)).await;
            }
        }
    }
}

/// The next version. Zero is none: Consul would answer at once, again and again.
async fn wait(api: &Api, names: &Names, aspect: Aspect, index: Option<u64>) -> Result<u64, RegistryError> {
    Ok(api.wait(aspect, names, index).await?.unwrap_or(0).max(1))
}

async fn poll(api: Arc<Api>, changed: Arc<Notify>) {
    loop {
        let share = POLL_EACH * u32::try_from(api.counters().polled()).unwrap_or(u32::MAX);
        tokio::time::sleep(jittered(POLL.max(share))).await;
        changed.notify_one();
    }
}

/// A little more or less by chance, so that groups do not all come at once.
fn jittered(span: Duration) -> Duration {
    let chance = clock::seed();
    span.mul_f64(0.8 + 0.4 * (chance % 1000) as f64 / 1000.0)
}
