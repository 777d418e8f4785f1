//! What an event is about, as data. Its text is the original's, word for word, and is made only where it goes out.

use crate::{Endpoint, Epoch, GroupName, Quorum, Role, SentinelId};
use std::fmt;

/// What an event is about. As text it is the payload of the event.
///
/// ```
/// use consentinel_core::{Detail, Endpoint, GroupName, InstanceKind};
/// let addr = Endpoint::parse("10.0.0.1", "6379").expect("an address");
/// let detail = Detail::instance(InstanceKind::Master, GroupName::new("mymaster"), addr.clone(), addr);
/// assert_eq!(detail.to_string(), "master mymaster 10.0.0.1 6379");
/// assert!(detail.is_master());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Detail {
    /// A server or a sentinel.
    Instance {
        /// Which.
        instance: Instance,
        /// What else is said of it.
        remark: Option<Remark>,
    },
    /// An epoch.
    Epoch(Epoch),
    /// A vote.
    Vote {
        /// The sentinel that gets it.
        candidate: SentinelId,
        /// The epoch in which it counts.
        epoch: Epoch,
    },
    /// Another server is the master.
    Switch {
        /// Of which group.
        group: GroupName,
        /// The master before.
        from: Endpoint,
        /// The master from now on.
        to: Endpoint,
    },
    /// A text that names nothing of a group.
    Text(String),
}

/// A server or a sentinel of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What it is.
    pub kind: InstanceKind,
    /// The group.
    pub group: GroupName,
    /// Where it listens.
    pub addr: Endpoint,
    /// The master of the group.
    pub master: Endpoint,
}

/// What an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceKind {
    /// The master of the group.
    Master,
    /// A replica.
    Replica,
    /// A sentinel, with its identity.
    Sentinel(SentinelId),
}

/// What is said of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// How many sentinels must agree.
    Quorum(Quorum),
    /// How many sentinels agree, and how many must.
    Agreement(usize, Quorum),
    /// The role that it reports.
    Role(Role),
    /// An option of the group and its new value.
    Setting(String),
    /// Where a sentinel of the group listens now.
    Moved(Endpoint, SentinelId),
}

impl Detail {
    /// A server or a sentinel of a group.
    pub fn instance(kind: InstanceKind, group: GroupName, addr: Endpoint, master: Endpoint) -> Detail {
        Detail::Instance { instance: Instance { kind, group, addr, master }, remark: None }
    }

    /// The same, with a remark. Only an instance has one.
    #[must_use]
    pub fn with(mut self, about: Remark) -> Detail {
        if let Detail::Instance { remark, .. } = &mut self {
            *remark = Some(about);
        }
        self
    }

    /// Whether it is about the master itself, not about a replica or a sentinel of the group.
    pub fn is_master(&self) -> bool {
        matches!(self, Detail::Instance { instance: Instance { kind: InstanceKind::Master, .. }, .. })
    }

    /// Where the instance listens; after a switch, where the new master does.
    pub fn address(&self) -> Option<&Endpoint> {
        match self {
            Detail::Instance { instance, .. } => Some(&instance.addr),
            Detail::Switch { to, .. } => Some(to),
            Detail::Epoch(_) | Detail::Vote { .. } | Detail::Text(_) => None,
        }
    }

    /// The epoch that it names.
    pub fn epoch(&self) -> Option<Epoch> {
        match self {
            Detail::Epoch(epoch) | Detail::Vote { epoch, .. } => Some(*epoch),
            Detail::Instance { .. } | Detail::Switch { .. } | Detail::Text(_) => None,
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Detail::Instance { instance, remark: None } => instance.fmt(f),
            Detail::Instance { instance, remark: Some(remark) } => write!(f, "{instance} {remark}"),
            Detail::Epoch(epoch) => write!(f, "{epoch}"),
            Detail::Vote { candidate, epoch } => write!(f, "{candidate} {epoch}"),
            Detail::Switch { group, from, to } => write!(f, "{group} {from} {to}"),
            Detail::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Instance { kind, group, addr, master } = self;
        match kind {
            InstanceKind::Master => write!(f, "master {group} {addr}"),
            InstanceKind::Replica => write!(f, "slave {} {addr} @ {group} {master}", addr.joined()),
            InstanceKind::Sentinel(id) => write!(f, "sentinel {id} {addr} @ {group} {master}"),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remark::Quorum(quorum) => write!(f, "quorum {quorum}"),
            Remark::Agreement(count, quorum) => write!(f, "#quorum {count}/{quorum}"),
            Remark::Role(role) => write!(f, "new reported role is {}", role.wire_word()),
            Remark::Setting(setting) => f.write_str(setting),
            Remark::Moved(to, id) => write!(f, "ip {} port {} for {id}", to.host, to.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Endpoint {
        Endpoint::parse("10.0.0.1", &port.to_string()).expect("an address")
    }

    fn instance(kind: InstanceKind, port: u16) -> Detail {
        Detail::instance(kind, GroupName::new("shop"), at(port), at(6379))
    }

    #[test]
    fn the_text_is_the_one_of_the_original() {
        let id = SentinelId::new("id");
        let moved = Remark::Moved(at(26380), id.clone());
        let switch = Detail::Switch { group: GroupName::new("shop"), from: at(6379), to: at(6380) };
        for (detail, text) in [
            (instance(InstanceKind::Master, 6379), "master shop 10.0.0.1 6379"),
            (instance(InstanceKind::Replica, 6380), "slave 10.0.0.1:6380 10.0.0.1 6380 @ shop 10.0.0.1 6379"),
            (
                instance(InstanceKind::Sentinel(id.clone()), 26379),
                "sentinel id 10.0.0.1 26379 @ shop 10.0.0.1 6379",
            ),
            (
                instance(InstanceKind::Master, 6379).with(Remark::Agreement(2, Quorum(2))),
                "master shop 10.0.0.1 6379 #quorum 2/2",
            ),
            (
                instance(InstanceKind::Master, 6379).with(moved),
                "master shop 10.0.0.1 6379 ip 10.0.0.1 port 26380 for id",
            ),
            (switch, "shop 10.0.0.1 6379 10.0.0.1 6380"),
            (Detail::Vote { candidate: id, epoch: Epoch(7) }, "id 7"),
            (Detail::Epoch(Epoch(7)), "7"),
        ] {
            assert_eq!(detail.to_string(), text);
        }
    }

    #[test]
    fn the_address_is_that_of_the_instance_or_of_the_new_master() {
        let switch = Detail::Switch { group: GroupName::new("shop"), from: at(6379), to: at(6380) };
        assert_eq!(switch.address(), Some(&at(6380)));
        assert_eq!(instance(InstanceKind::Replica, 6381).address(), Some(&at(6381)));
        assert_eq!(Detail::Epoch(Epoch(7)).address(), None);
    }
}
