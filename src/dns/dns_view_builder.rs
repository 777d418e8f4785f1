//! Builds what the status shows as DNS's answer for a group, whether DNS is answered here or not.

use super::counters::{Counted, Counters};
use super::group_records::{Answerability, GroupRecords};
use super::settings::DnsSettings;
use super::{Dns, Sockets};
use crate::registrar::{ConsulSettings, NameError, Names};
use consentinel_core::{GroupName, Role, Sentinel};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// What DNS names answer for a master.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DnsAnswer {
    /// The name: `redis.service.consul`.
    pub name: String,
    /// The master; nothing while no master can be named.
    pub master: Option<String>,
    /// The replicas that may be read from.
    pub replicas: Vec<String>,
    /// Why no master is named.
    pub silence: Option<String>,
}

/// Knows the names of the groups' things, and the records that were handed over last. Copies share what they know.
#[derive(Clone)]
pub(crate) struct DnsViewBuilder {
    shared: Rc<Shared>,
}

struct Shared {
    consul: ConsulSettings,
    settings: DnsSettings,
    listening: Vec<String>,
    counters: Arc<Counters>,
    /// What was said last of each group. Empty where DNS is not answered.
    groups: RefCell<BTreeMap<GroupName, Arc<GroupRecords>>>,
}

impl DnsViewBuilder {
    /// By these settings.
    pub(crate) fn new(consul: ConsulSettings, settings: DnsSettings) -> DnsViewBuilder {
        let listening = settings.bind.iter().map(ToString::to_string).collect();
        let (counters, groups) = (Arc::new(Counters::default()), RefCell::default());
        DnsViewBuilder { shared: Rc::new(Shared { consul, settings, listening, counters, groups }) }
    }

    /// Where DNS is answered here.
    pub(crate) fn listening(&self) -> &[String] {
        &self.shared.listening
    }

    /// What was asked so far, and how it was answered; nothing where DNS is not answered here.
    pub(crate) fn counted(&self) -> Option<Counted> {
        (!self.shared.listening.is_empty()).then(|| self.shared.counters.read())
    }

    /// Begins to answer on these sockets.
    pub(crate) fn start(&self, sockets: Sockets) -> io::Result<Dns> {
        Dns::start(sockets, &self.shared.settings, self.shared.counters.clone())
    }

    /// How DNS is answered.
    pub(crate) fn settings(&self) -> &DnsSettings {
        &self.shared.settings
    }

    pub(super) fn groups(&self) -> &RefCell<BTreeMap<GroupName, Arc<GroupRecords>>> {
        &self.shared.groups
    }

    /// What the things of a group are called.
    pub(super) fn names(&self, group: &GroupName) -> Result<Arc<Names>, NameError> {
        if let Some(group_records) = self.shared.groups.borrow().get(group) {
            return Ok(group_records.names.clone());
        }
        let names = Names::new(group, &self.shared.consul)?;
        for group_records in self.shared.groups.borrow().values() {
            names.check_beside(&group_records.names)?;
        }
        Ok(Arc::new(names))
    }

    /// Why a group cannot be watched beside others, by the rule of the next start.
    pub(crate) fn refuses<'a>(
        &self,
        group: &GroupName,
        others: impl Iterator<Item = &'a GroupName>,
    ) -> Result<(), NameError> {
        let names = Names::new(group, &self.shared.consul)?;
        for other in others.filter(|other| *other != group) {
            names.check_beside(&Names::new(other, &self.shared.consul)?)?;
        }
        Ok(())
    }

    /// What DNS answers of a group: where it is answered here, exactly that; elsewhere what it would be.
    pub(crate) fn answer(&self, sentinel: &Sentinel, group: &GroupName) -> DnsAnswer {
        let names = match self.names(group) {
            Ok(names) => names,
            Err(error) => return DnsAnswer { silence: Some(error.to_string()), ..DnsAnswer::default() },
        };
        let name = format!("{}.service.{}", names.service, self.shared.settings.domain);
        let groups = self.shared.groups.borrow();
        let group_records = groups.get(group).cloned().or_else(|| {
            let view = sentinel.dns_view(group)?;
            Some(Arc::new(GroupRecords::new(names, view, None, self.shared.settings.without_majority)))
        });
        let Some(group_records) = group_records else {
            let silence = Some("a new master is being written to disk".to_owned());
            return DnsAnswer { name, silence, ..DnsAnswer::default() };
        };
        let addresses = |role| group_records.usable(role).map(|entry| entry.addr.joined());
        let told = matches!(group_records.answerability, Answerability::Good | Answerability::Stale(_));
        DnsAnswer {
            name,
            master: addresses(Role::Master).next().filter(|_| told),
            replicas: addresses(Role::Replica).filter(|_| told).collect(),
            silence: group_records.silence().map(str::to_owned),
        }
    }
}
