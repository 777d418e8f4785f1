//! Which groups are published, and who works for them.

use super::names::{NameError, Names};
use super::retry;
use super::worker::{self, Shared, Worker};
use consentinel_core::{GroupName, RegistryError, RegistryEvent, RegistryFault, RegistryRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The groups that were ever asked for.
pub(super) struct Roster {
    shared: Shared,
    groups: BTreeMap<GroupName, Member>,
    tasks: JoinSet<()>,
    /// Whom the names of the published groups are told.
    masters: watch::Sender<BTreeSet<String>>,
}

/// One group.
struct Member {
    names: Arc<Names>,
    /// Whether it is watched: its names belong to it then.
    active: bool,
    requests: mpsc::UnboundedSender<RegistryRequest>,
}

impl Roster {
    /// Nobody yet.
    pub(super) fn new(shared: Shared, masters: watch::Sender<BTreeSet<String>>) -> Roster {
        Roster { shared, groups: BTreeMap::new(), tasks: JoinSet::new(), masters }
    }

    /// Hands a request to whoever works for the group.
    pub(super) fn ask(&mut self, group: &GroupName, request: RegistryRequest) {
        // Those that have ended leave nothing behind.
        while self.tasks.try_join_next().is_some() {}
        let active = request != RegistryRequest::Forget;
        if active && let Err(error) = self.admit(group) {
            return self.refuse(group, &request, &error);
        }
        if let Some(member) = self.groups.get_mut(group) {
            member.active = active;
            // A worker ends only by a defect of ours; another takes its place.
            if let Err(mpsc::error::SendError(request)) = member.requests.send(request) {
                let (names, active) = (member.names.clone(), member.active);
                let requests = self.hire(names.clone());
                let _ = requests.send(request);
                self.groups.insert(group.clone(), Member { names, active, requests });
            }
        }
        self.tell_masters();
    }

    /// Gives a group its names, unless others have them.
    fn admit(&mut self, group: &GroupName) -> Result<(), NameError> {
        if self.groups.get(group).is_some_and(|member| member.active) {
            return Ok(());
        }
        let names = Names::new(group, self.shared.api.settings())?;
        for member in self.groups.values().filter(|member| member.active) {
            names.check_beside(&member.names)?;
        }
        if !self.groups.contains_key(group) {
            let names = Arc::new(names);
            let requests = self.hire(names.clone());
            self.groups.insert(group.clone(), Member { names, active: true, requests });
        }
        Ok(())
    }

    /// Answers what wants an answer.
    fn refuse(&mut self, group: &GroupName, request: &RegistryRequest, error: &NameError) {
        if matches!(request, RegistryRequest::Unlock) {
            return;
        }
        let text = format!("{error}. {}", error.hint());
        let error = RegistryError { kind: RegistryFault::Denied, text };
        let (inputs, group) = (self.shared.inputs.clone(), group.clone());
        let pause = match request {
            RegistryRequest::Look { tries } => retry::delay(*tries),
            _ => Duration::ZERO,
        };
        self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            worker::send(&inputs, &group, RegistryEvent::Failed(error)).await;
        });
    }

    fn hire(&mut self, names: Arc<Names>) -> mpsc::UnboundedSender<RegistryRequest> {
        let (requests, receiver) = mpsc::unbounded_channel();
        self.tasks.spawn(Worker::new(self.shared.clone(), names, receiver).run());
        requests
    }

    fn tell_masters(&mut self) {
        let active = self.groups.iter().filter(|(_, member)| member.active);
        let names: BTreeSet<String> = active.map(|(name, _)| name.to_string()).collect();
        self.masters.send_if_modified(|known| std::mem::replace(known, names) != *known);
    }
}
