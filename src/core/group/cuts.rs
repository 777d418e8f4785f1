//! After a failover by order, clients of the old master are cut off, and once more those that found it again.
//!
//! They are cut off when it says that it is a replica: it has answered the writes that it held by then. A client that
//! connects by an answer of before (a health check that has not run yet, a pool whose process stood still) finds the old
//! master, gets READONLY, and with many libraries stays there: the server is well, and nothing breaks the connection. So
//! its clients are looked at for half a minute, and those that write are cut off again. (HAProxy with its default of three
//! checks, each of two seconds and two seconds of waiting, leads to the old master for ten seconds.) Sentinels, subscribers
//! and clients that only read are spared, where CLIENT LIST is allowed.

use super::Group;
use crate::channel::Purpose;
use crate::context::Context;
use crate::ids::NodeId;
use crate::{ClientLine, Command, LastCommand, Level, Reply, Role, Time};
use std::time::Duration;

/// A replaced master whose clients are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cuts {
    node: NodeId,
    demoted: Time,
    /// Whether its clients have been cut off since.
    cut: bool,
    /// Which of the looks comes next.
    next: usize,
    /// Whether Consul named the new master already when the clients were cut off.
    published: bool,
}

/// When to look, and whether a client that has not done anything yet is cut off, too.
const LOOKS: [(Duration, bool); 9] = [
    (Duration::from_millis(500), false),
    (Duration::from_millis(1500), true),
    (Duration::from_secs(3), false),
    (Duration::from_secs(5), false),
    (Duration::from_secs(7), false),
    (Duration::from_secs(10), true),
    (Duration::from_secs(14), false),
    (Duration::from_secs(20), true),
    (Duration::from_secs(30), false),
];

impl Group {
    /// The old master of a failover by order is told to be a replica.
    pub(super) fn plan_cuts(&mut self, node: NodeId, cx: &Context) {
        let published = self.is_published();
        self.cuts = Some(Cuts { node, demoted: cx.now, cut: false, next: 0, published });
    }

    /// Whether its clients are still to be cut off, when it has become a replica.
    pub(super) fn cuts_later(&self, id: NodeId) -> bool {
        self.cuts.is_some_and(|cuts| cuts.node == id && !cuts.cut)
    }

    pub(super) fn cuts_deadline(&self) -> Time {
        let next =
            self.cuts.filter(|cuts| cuts.cut).and_then(|cuts| Some(cuts.demoted + LOOKS.get(cuts.next)?.0));
        next.unwrap_or(Time::NEVER)
    }

    pub(super) fn drive_cuts(&mut self, cx: &mut Context) {
        let Some(cuts) = self.cuts else { return };
        if cuts.node == self.nodes.master_id() || self.nodes.get(cuts.node).is_none() {
            self.cuts = None;
            return;
        }
        if !cuts.cut {
            return self.cut_clients(cuts, cx);
        }
        if !cuts.published && self.is_published() {
            self.cuts = Some(Cuts { published: true, ..cuts });
            self.look_at_clients(cuts.node, true, cx);
        } else if cx.now >= self.cuts_deadline() {
            let thorough = LOOKS.get(cuts.next).is_some_and(|(_, thorough)| *thorough);
            let next = cuts.next + 1;
            self.cuts = (next < LOOKS.len()).then_some(Cuts { next, ..cuts });
            self.look_at_clients(cuts.node, thorough, cx);
        }
    }

    /// Cuts off everybody once the server says that it is a replica. It has answered the writes that it held by then.
    fn cut_clients(&mut self, cuts: Cuts, cx: &mut Context) {
        let Some(node) = self.nodes.get_mut(cuts.node) else { return };
        if node.role == Role::Replica && node.command.call(Command::CutClients, Purpose::Cut, cx) {
            // Last: its disk may take long.
            node.command.call(Command::RewriteConfig, Purpose::Rewrite, cx);
            self.cuts = Some(Cuts { cut: true, demoted: cx.now, ..cuts });
        }
    }

    fn look_at_clients(&mut self, id: NodeId, thorough: bool, cx: &mut Context) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.command.call(Command::ListClients, Purpose::Clients { thorough }, cx);
        }
    }

    /// The clients of a replaced master.
    pub(super) fn on_clients(&mut self, id: NodeId, thorough: bool, reply: Reply, cx: &mut Context) {
        if id == self.nodes.master_id() {
            return;
        }
        let name = &self.name;
        let Some(node) = self.nodes.get_mut(id) else { return };
        match reply {
            Reply::Clients(clients) => {
                let stuck: Vec<u64> = clients
                    .iter()
                    .filter(|client| is_stuck(client, thorough))
                    .map(|client| client.id)
                    .collect();
                if !stuck.is_empty() {
                    let text = format!(
                        "{} clients of {name} came back to {}, which is a replica now: they are cut off again",
                        stuck.len(),
                        node.addr
                    );
                    node.command.call(Command::KillClients(stuck), Purpose::Cut, cx);
                    cx.log(Level::Notice, text);
                }
            }
            // It does not let us look: all are cut off.
            Reply::Error(_) if thorough => {
                node.command.call(Command::KillNormalClients, Purpose::Cut, cx);
            }
            _ => {}
        }
    }
}

fn is_stuck(client: &ClientLine, thorough: bool) -> bool {
    let writes = match client.last {
        LastCommand::Writes => true,
        LastCommand::Neutral => thorough,
        LastCommand::Reads => false,
    };
    client.normal && !client.sentinel && writes
}
