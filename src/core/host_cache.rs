//! Keeps the addresses of host names, as far as they were looked up.

use crate::{Action, Endpoint, Host};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct HostCache {
    known: BTreeMap<Arc<str>, IpAddr>,
    /// Where names have led before, the newest last.
    former: BTreeMap<Arc<str>, Vec<IpAddr>>,
    asked: BTreeSet<Arc<str>>,
}

impl HostCache {
    /// Asks for an address, unless that question is on its way.
    pub(crate) fn look_up(&mut self, name: &Arc<str>, out: &mut VecDeque<Action>) {
        if self.asked.insert(name.clone()) {
            out.push_back(Action::Resolve { name: name.clone() });
        }
    }

    /// The answer. An unknown name keeps the address that it had: the resolver may be what is broken. Returns whether the
    /// address is another one now.
    pub(crate) fn on_resolved(&mut self, name: &Arc<str>, ip: Option<IpAddr>) -> bool {
        self.asked.remove(name);
        let Some(ip) = ip else { return false };
        let before = self.known.insert(name.clone(), ip);
        if let Some(before) = before.filter(|before| *before != ip) {
            let former = self.former.entry(name.clone()).or_default();
            former.retain(|at| *at != before);
            former.push(before);
            if former.len() > MOST_FORMER {
                former.remove(0);
            }
        }
        before != Some(ip)
    }

    pub(crate) fn ip(&self, host: &Host) -> Option<IpAddr> {
        match host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(name) => self.known.get(name).copied(),
        }
    }

    /// Whether an endpoint is where the other one, which has a name, was before.
    pub(crate) fn was_at(&self, now: &Endpoint, before: &Endpoint) -> bool {
        let Host::Name(name) = &now.host else { return false };
        let led = |ip: &IpAddr| before.host == Host::Ip(*ip);
        now.port == before.port && self.former.get(name).is_some_and(|former| former.iter().any(led))
    }

    /// Whether two endpoints are the same place, be one written as a name and the other as an address.
    pub(crate) fn same_place(&self, a: &Endpoint, b: &Endpoint) -> bool {
        a.port == b.port
            && (a.host == b.host
                || matches!((self.ip(&a.host), self.ip(&b.host)), (Some(a), Some(b)) if a == b))
    }
}

/// So many places are remembered of a name that moves.
const MOST_FORMER: usize = 8;
