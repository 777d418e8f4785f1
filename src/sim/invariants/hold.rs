//! Writes that a master holds back: who asked for it has a failover under way, and when that is over they pass again.

use super::Invariant;
use crate::network::ConnId;
use crate::world::{Role, World};
use consentinel_core::{FailoverPhase, Time};
use std::time::Duration;

/// A server holds writes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteHold {
    /// Who asked for it last, and in which life.
    by: u16,
    life: u32,
    /// For how long.
    span: Duration,
    /// Since when writes are held without a pause.
    since: Time,
    /// When it was first seen that the asker has no failover under way any more.
    over: Option<Time>,
}

/// What an order may take on its way.
const GRACE: Duration = Duration::from_secs(1);

impl World {
    /// A sentinel makes a server hold writes back.
    pub(crate) fn note_hold(&mut self, redis: u16, conn: ConnId, span: Duration) {
        let Some(node) = self.net.conn(conn).map(|conn| conn.client.node) else { return };
        let Role::Sentinel(by) = self.processes[node.index()].role else { return };
        let (now, process) = (self.now, &self.processes[node.index()]);
        // What arrives after the end of its sender is of the life before.
        let life = process.number.wrapping_sub(u32::from(!process.running()));
        let server = self.redis(redis);
        let goes_on = server.hold.filter(|_| server.holds_until > now);
        let since = goes_on.map_or(now, |hold| hold.since);
        // A shorter hold does not end a longer one.
        let span = span.max(server.holds_until - now);
        server.hold = Some(WriteHold { by, life, span, since, over: None });
    }

    /// Clients of a server are about to be cut off. By who made it hold writes back and has not forgotten it, only when
    /// those were answered: their clients could not know whether they were done.
    pub(crate) fn check_held_writes(&mut self, redis: u16, asker: Option<ConnId>) {
        let node = asker.and_then(|conn| self.net.conn(conn)).map(|conn| conn.client.node);
        let Some(process) = node.map(|node| &self.processes[node.index()]) else { return };
        let Role::Sentinel(by) = process.role else { return };
        let server = &self.redises[usize::from(redis)];
        let unanswered = server.held.len();
        let holds = self.now < server.holds_until;
        if holds
            && unanswered > 0
            && server.hold.is_some_and(|hold| hold.by == by && hold.life == process.number)
        {
            let (name, by) = (self.addresses.name(server.node), self.sentinel_name(by));
            let what = format!("{by} cuts off {unanswered} clients of {name} whose writes it made it hold");
            self.violated(Invariant::HeldWritesAnswered, what);
        }
    }

    /// Looks whether a server holds writes back for longer than anybody needs it.
    pub(crate) fn check_holds(&mut self) {
        for redis in 0..self.redises.len() {
            let server = &self.redises[redis];
            let process = &self.processes[server.node.index()];
            let holds = server.is_master() && server.holds_until > self.now;
            let Some(mut hold) = server.hold.filter(|_| holds && process.running() && !process.paused) else {
                continue;
            };
            let group = &self.groups[usize::from(server.group)];
            let host = &self.sentinels[usize::from(hold.by)];
            let asker = &self.processes[host.node.index()];
            // What a process that is stopped had in mind it may still have in mind.
            let busy = asker.paused
                || asker.running()
                    && host.brain.group(&group.name).is_some_and(|view| view.failover != FailoverPhase::None);
            hold.over = if busy { None } else { hold.over.or(Some(self.now)) };
            let late = hold.over.is_some_and(|over| self.now - over > hold.span + GRACE);
            let longest = group.config.failover_timeout * 2 + hold.span * 2 + GRACE;
            let endless = self.now - hold.since > longest;
            self.redises[redis].hold = Some(hold);
            if late || endless {
                let name = self.addresses.name(self.redises[redis].node);
                let by = self.sentinel_name(hold.by);
                let held = self.now - hold.since;
                let what = if late {
                    format!(
                        "{name} has held writes for {held:?}; the failover of {by}, who asked for it, is over"
                    )
                } else {
                    format!("{name} has held writes for {held:?} without a pause, lately for {by}")
                };
                return self.violated(Invariant::HeldWritesReleased, what);
            }
        }
    }
}
