//! When the core is told what Consul holds of a group, and when that is to be read first.

use crate::dispatch::Priority;
use crate::group::Doing;
use crate::publisher::{Output, Publisher};
use consentinel_core::{Entry, GroupName, RegistryEvent};
use std::time::Duration;

/// How long a look waits for the watches to bring something newer, before the group is read by itself.
const LOOK_WAITS: Duration = Duration::from_millis(50);
/// How long a change of one part waits for the other part.
const CHANGE_WAITS: Duration = Duration::from_millis(300);
/// Where many wait, the watches are sure to bring it, as soon as they may.
const MANY_WAIT: Duration = Duration::from_secs(2);
const MANY: usize = 8;

impl Publisher {
    /// Tells what is known, if it was asked for or has changed, and is new enough.
    pub(crate) fn tell(&mut self, name: &GroupName) {
        let (now, session) = (self.now, self.session().cloned());
        let is_blind = self.outage.is_some() || self.records.error.is_some() || self.entries.error.is_some();
        let Some(group) = self.groups.get_mut(name) else { return };
        let asked = group.look.is_some_and(|due| due <= now);
        if is_blind || !group.watched || group.doing != Doing::Nothing || !(asked || group.dirty) {
            return;
        }
        match group.current(session.as_ref()) {
            None => self.await_newer(name, asked),
            Some(Ok(_)) if group.is_torn() && now < group.waits(now) + patience(asked) => {
                let due = group.waits(now) + patience(asked);
                self.wakes.insert((due, name.clone()));
            }
            Some(Ok(published)) => {
                group.waiting_since = None;
                if group.show(published) || asked {
                    group.look = None;
                    let Some(seen) = group.told.clone() else { return };
                    let keys = seen.entries.iter().map(Entry::key).collect();
                    self.outputs.push_back(Output::Stands(name.clone(), keys));
                    self.event(name, RegistryEvent::Seen(Box::new(seen)));
                }
            }
            Some(Err(error)) => {
                (group.waiting_since, group.dirty, group.look) = (None, false, None);
                self.event(name, RegistryEvent::Failed(error));
            }
        }
    }

    /// What is known is too old, or not whole: the watches will bring it, or it is read.
    fn await_newer(&mut self, name: &GroupName, asked: bool) {
        let watches = self.records.answered && self.entries.answered;
        let many = self.reads() + self.wakes.len() >= MANY;
        let Some(group) = self.groups.get_mut(name) else { return };
        if group.reading || group.is_unread() && !watches {
            return;
        }
        let wait = match (group.is_unread(), asked) {
            _ if many => MANY_WAIT,
            (true, _) => Duration::ZERO,
            (false, asked) => patience(asked),
        };
        let due = group.waits(self.now) + wait;
        if due <= self.now {
            group.reading = true;
            self.ready.push(Priority::Read, name, &mut self.rng);
        } else {
            self.wakes.insert((due, name.clone()));
        }
    }
}

/// How long something newer is waited for that the watches should bring.
fn patience(asked: bool) -> Duration {
    if asked { LOOK_WAITS } else { CHANGE_WAITS }
}
