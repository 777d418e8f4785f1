//! What DNS answers of each group: asked for by those who show it, whether DNS is answered here or not.

use super::counters::{Counted, Counters};
use super::settings::DnsSettings;
use super::word::{Standing, Word};
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
pub(crate) struct Answer {
    /// The name: `redis.service.consul`.
    pub name: String,
    /// The master; nothing while no master can be named.
    pub master: Option<String>,
    /// The replicas that may be read from.
    pub replicas: Vec<String>,
    /// Why no master is named.
    pub silence: Option<String>,
}

/// Knows what things are called and what is said of them. Copies share what they know.
#[derive(Clone)]
pub(crate) struct Namer {
    shared: Rc<Shared>,
}

struct Shared {
    consul: ConsulSettings,
    settings: DnsSettings,
    listening: Vec<String>,
    counters: Arc<Counters>,
    /// What was said last of each group. Empty where DNS is not answered.
    words: RefCell<BTreeMap<GroupName, Arc<Word>>>,
}

impl Namer {
    /// By these settings.
    pub(crate) fn new(consul: ConsulSettings, settings: DnsSettings) -> Namer {
        let listening = settings.bind.iter().map(ToString::to_string).collect();
        let (counters, words) = (Arc::new(Counters::default()), RefCell::default());
        Namer { shared: Rc::new(Shared { consul, settings, listening, counters, words }) }
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

    pub(super) fn words(&self) -> &RefCell<BTreeMap<GroupName, Arc<Word>>> {
        &self.shared.words
    }

    /// What the things of a group are called.
    pub(super) fn names(&self, group: &GroupName) -> Result<Arc<Names>, NameError> {
        if let Some(word) = self.shared.words.borrow().get(group) {
            return Ok(word.names.clone());
        }
        let names = Names::new(group, &self.shared.consul)?;
        for word in self.shared.words.borrow().values() {
            names.check_beside(&word.names)?;
        }
        Ok(Arc::new(names))
    }

    /// What DNS answers of a group: where it is answered here, exactly that; elsewhere what it would be.
    pub(crate) fn answer(&self, sentinel: &Sentinel, group: &GroupName) -> Answer {
        let names = match self.names(group) {
            Ok(names) => names,
            Err(error) => return Answer { silence: Some(error.to_string()), ..Answer::default() },
        };
        let name = format!("{}.service.{}", names.service, self.shared.settings.domain);
        let words = self.shared.words.borrow();
        let word = words.get(group).cloned().or_else(|| {
            let view = sentinel.dns_view(group, &[])?;
            Some(Arc::new(Word::new(names, view, None, self.shared.settings.without_majority)))
        });
        let Some(word) = word else {
            let silence = Some("a new master is being written to disk".to_owned());
            return Answer { name, silence, ..Answer::default() };
        };
        let addresses = |role| word.usable(role).map(|entry| entry.addr.joined());
        let told = matches!(word.standing, Standing::Good | Standing::Stale(_));
        Answer {
            name,
            master: addresses(Role::Master).next().filter(|_| told),
            replicas: addresses(Role::Replica).filter(|_| told).collect(),
            silence: word.silence().map(str::to_owned),
        }
    }
}
