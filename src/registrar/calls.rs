//! The publisher's calls, carried out over HTTP.

use super::agent::Agent;
use super::api::Api;
use super::consul_names::{NameError, Names};
use super::deadman_check::DeadmanCheck;
use super::dump::{self, Dump, Extras};
use super::fault::{self, Rule};
use super::render;
use super::roster::Roster;
use super::session;
use super::strangers;
use super::txn::{Operation, Plan, Refusal, Scope, Verdict, Versions, Writer};
use crate::clock;
use base64::Engine;
use consentinel_core::{Endpoint, Fence, GroupName, Guard, RegistryError, Transaction};
use consentinel_publisher::{Answer, Call, Chore, Everything, GroupRecord, SessionId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a first publication waits for what others have under the same names.
const STRANGERS_WAIT: Duration = Duration::from_millis(500);

/// Carries calls out, several at a time.
pub(super) struct Calls {
    pub(super) api: Arc<Api>,
    pub(super) roster: Arc<Roster>,
    pub(super) deadman: DeadmanCheck,
    /// This daemon's own service; nothing where it is not to be found.
    pub(super) agent: Option<tokio::sync::Mutex<Agent>>,
    /// What is written into locks and sessions, for people.
    label: String,
    /// What was read beside the records and entries.
    extras: Mutex<BTreeMap<GroupName, Extras>>,
}

impl Calls {
    /// Nothing was read yet.
    pub(super) fn new(
        api: Arc<Api>,
        roster: Arc<Roster>,
        deadman: DeadmanCheck,
        agent: Option<Agent>,
        label: String,
    ) -> Calls {
        let agent = agent.map(tokio::sync::Mutex::new);
        Calls { api, roster, deadman, agent, label, extras: Mutex::default() }
    }

    /// Carries one out.
    pub(super) async fn carry_out(&self, call: Call) -> Result<Answer, RegistryError> {
        match call {
            Call::WatchRecords { index } => self.records(index).await.map(Answer::Records),
            Call::WatchEntries { index } => {
                if !self.roster.is_settled() {
                    // On which node a group stands is told by what its record names.
                    self.records(None).await?;
                }
                let masters = |group: &GroupName| self.extras().get(group)?.master.clone();
                let (entries, extras): Dump<_> =
                    dump::entries(&self.api, &self.roster, index, masters).await?;
                let mut known = self.extras();
                known.values_mut().for_each(|known| known.services.clear());
                for (name, extras) in extras {
                    known.entry(name).or_default().services = extras.services;
                }
                Ok(Answer::Entries(entries))
            }
            Call::Read(group) => self.read(&group).await,
            Call::Write { group, transaction, session } => {
                self.write(&group, &transaction, session.as_ref()).await
            }
            Call::Lock { groups, session } => self.lock(groups, &session).await,
            Call::Unlock { groups, session } => self.unlock(groups, &session).await,
            Call::BeginSession { group } => {
                let names = self.roster.names(&group);
                let node = names.as_ref().map(|names| names.node.as_str());
                session::begin(&self.api, &self.label, node).await.map(Answer::Session)
            }
            Call::RenewSession(id) => match session::renew(&self.api, &id).await? {
                true => Ok(Answer::Done),
                false => Ok(Answer::SessionGone),
            },
            Call::Chore(Chore::Presence) => {
                if let Some(agent) = &self.agent {
                    agent.lock().await.beat(self.roster.active()).await?;
                }
                Ok(Answer::Done)
            }
            Call::Chore(Chore::DeadmanCheck) => self.deadman.leave().await.map(|()| Answer::Done),
        }
    }

    async fn records(&self, index: Option<u64>) -> Result<Everything<GroupRecord>, RegistryError> {
        let (records, extras) = dump::records(&self.api, index).await?;
        self.remember_histories(extras, records.index);
        let mut known = self.extras();
        for (group, read) in &records.groups {
            known.entry(group.clone()).or_default().master = master_of(read);
        }
        drop(known);
        Ok(records)
    }

    async fn read(&self, group: &GroupName) -> Result<Answer, RegistryError> {
        let names = self.names(group)?;
        let (record_index, record, history) = dump::record(&self.api, &names).await?;
        self.remember_histories([(group.clone(), history)].into(), record_index);
        let master = master_of(&record);
        let (listing_index, listing, extras) = dump::entries_of(&self.api, &names, master.as_ref()).await?;
        self.extras().entry(group.clone()).or_default().services = extras.services;
        Ok(Answer::Read { record: (record_index, record), listing: (listing_index, listing) })
    }

    async fn write(
        &self,
        group: &GroupName,
        transaction: &Transaction,
        session: Option<&SessionId>,
    ) -> Result<Answer, RegistryError> {
        let names = self.names(group)?;
        let extras = self.extras().get(group).cloned().unwrap_or_default();
        let history = failovers(&extras);
        let writer = self.writer(&names, session, &history, &extras.services);
        let locked = matches!(transaction.guard, Guard::Unchanged { locked: true, .. });
        self.begins_alone(&names, &transaction.guard).await?;
        let renamed = writer.renamed(transaction);
        if !renamed.is_empty() {
            let mut operations = writer.guards(transaction.guard.fence(), locked);
            let guards = operations.len();
            operations.extend(renamed);
            if self.write_part(&operations, guards, &names).await?.is_none() {
                return Ok(Answer::Stale);
            }
        }
        let Plan { first, guards, rest } = writer.plan(transaction);
        let Some(versions) = self.write_part(&first, guards, &names).await? else { return Ok(Answer::Stale) };
        let fence = match (&transaction.guard, versions.keys.get(&names.state_key())) {
            (_, Some(index)) => Fence(*index),
            (Guard::Unchanged { fence, .. }, None) => *fence,
            (Guard::Claim { .. }, None) => {
                return Err(self.api.nonsense("it does not say which version the record has now"));
            }
        };
        if let Guard::Claim { record, before: Some(before), .. } = &transaction.guard {
            let history = render::history(&history, record, before, &clock::rfc3339());
            self.keep_history(group, &history, fence);
        }
        let mut catalog = versions.catalog;
        for part in rest {
            let mut operations = writer.guards(fence, locked);
            let guards = operations.len();
            operations.extend(part);
            let Some(versions) = self.write_part(&operations, guards, &names).await? else {
                return Ok(Answer::Stale);
            };
            catalog = catalog.max(versions.catalog);
        }
        // What is taken away leaves no version behind.
        let leaves_trace = transaction.remove.is_empty() && transaction.sweep.is_empty();
        Ok(Answer::Written { fence, index: catalog.filter(|_| leaves_trace) })
    }

    /// Where nothing was published yet, the names may be another fleet's, which has its records elsewhere: the first one
    /// keeps them. Where that cannot be seen soon, publishing comes first.
    async fn begins_alone(&self, names: &Names, guard: &Guard) -> Result<(), RegistryError> {
        let Guard::Claim { fence: Fence(0), record, before: None } = guard else { return Ok(()) };
        let look = tokio::time::timeout(STRANGERS_WAIT, strangers::of(&self.api, names));
        let Ok(Ok(others)) = look.await else { return Ok(()) };
        let own = record.master.joined();
        let mut others = others.into_iter().filter(|it| it.is_published && it.address != own);
        match others.next() {
            Some(other) => Err(self.api.taken(&names.group, &other)),
            None => Ok(()),
        }
    }

    async fn write_part(
        &self,
        operations: &[Operation],
        guards: usize,
        names: &Names,
    ) -> Result<Option<Versions>, RegistryError> {
        match self.api.transact(operations, guards, names).await? {
            Verdict::Done(versions) => Ok(Some(versions)),
            Verdict::Stale => Ok(None),
            Verdict::Denied(missing, said) => Err(self.api.denied(&missing, &said)),
            Verdict::BadKey(_) if names.folder.contains("..") => {
                self.api.counters().dots_are_refused();
                Err(self.api.unnamed(&NameError::Dots(names.group.clone())))
            }
            Verdict::BadKey(why) | Verdict::Refused(why) => Err(self.api.nonsense(&why)),
        }
    }

    /// Takes locks together. Consul does all of a transaction or nothing: what it refuses is left out, and the others
    /// are tried again.
    async fn lock(&self, groups: Vec<GroupName>, session: &SessionId) -> Result<Answer, RegistryError> {
        let lock = |names: &Names| vec![self.bare_writer(names, session).lock(&self.label)];
        let (won, index, refused) = self.each(groups, lock).await?;
        let (denied, lost) = split(refused);
        Ok(Answer::Locks { won, index, lost, failed: self.not_permitted(denied) })
    }

    async fn unlock(&self, groups: Vec<GroupName>, session: &SessionId) -> Result<Answer, RegistryError> {
        let unlock = |names: &Names| self.bare_writer(names, session).unlock();
        let (_, _, refused) = self.each(groups, unlock).await?;
        // What is not ours any more need not be given back.
        let (denied, _) = split(refused);
        Ok(Answer::Unlocked { failed: self.not_permitted(denied) })
    }

    /// Does something for each of the groups: those for which it was done, its index, and those for which it was refused.
    async fn each(
        &self,
        groups: Vec<GroupName>,
        operations: impl Fn(&Names) -> Vec<Operation>,
    ) -> Result<(Vec<GroupName>, Option<u64>, Vec<(GroupName, String)>), RegistryError> {
        let mut refused = Vec::new();
        let mut left: Vec<Arc<Names>> = groups.iter().filter_map(|group| self.roster.names(group)).collect();
        while !left.is_empty() {
            let pieces: Vec<Vec<Operation>> = left.iter().map(|names| operations(names)).collect();
            let owners: Vec<usize> =
                pieces.iter().enumerate().flat_map(|(at, piece)| piece.iter().map(move |_| at)).collect();
            let needs: Vec<Rule> =
                left.iter().map(|names| Rule::write("key_prefix", &names.folder)).collect();
            let whys = match self.api.transact_each(&pieces.concat(), &needs).await? {
                Ok(versions) => {
                    let won = left.iter().map(|names| names.group.clone()).collect();
                    return Ok((won, versions.keys.into_values().max(), refused));
                }
                Err(refusals) => refusals,
            };
            let whys: BTreeMap<usize, String> = whys
                .into_iter()
                .filter_map(|(operation, why): Refusal| Some((*owners.get(operation)?, why)))
                .collect();
            if whys.is_empty() {
                return Err(self.api.nonsense("it refuses locks without saying which"));
            }
            let mut kept = Vec::new();
            for (at, names) in left.into_iter().enumerate() {
                match whys.get(&at) {
                    Some(why) => refused.push((names.group.clone(), why.clone())),
                    None => kept.push(names),
                }
            }
            left = kept;
        }
        Ok((Vec::new(), None, refused))
    }

    fn not_permitted(&self, denied: Vec<(GroupName, String)>) -> Option<(Vec<GroupName>, RegistryError)> {
        let (first, said) = denied.first()?;
        let folder = self.roster.names(first).map(|names| names.folder.clone()).unwrap_or_default();
        let error = self.api.denied(&[Rule::write("key_prefix", folder)], said);
        Some((denied.into_iter().map(|(group, _)| group).collect(), error))
    }

    /// What a transaction would be, for people.
    pub(super) fn describe(&self, group: &GroupName, transaction: &Transaction) -> String {
        let Ok(names) = self.names(group) else { return String::new() };
        let extras = self.extras().get(group).cloned().unwrap_or_default();
        let history = failovers(&extras);
        let Plan { first, rest, .. } =
            self.writer(&names, None, &history, &extras.services).plan(transaction);
        let parts: Vec<&Vec<Operation>> = std::iter::once(&first).chain(&rest).collect();
        serde_json::to_string_pretty(&parts).expect("text can be written as JSON")
    }

    fn names(&self, group: &GroupName) -> Result<Arc<Names>, RegistryError> {
        let names = self.roster.names(group);
        names.ok_or_else(|| self.api.nonsense(&format!("{group} cannot be published under its name")))
    }

    fn writer<'a>(
        &self,
        names: &'a Names,
        session: Option<&'a SessionId>,
        history: &'a [render::Failover],
        services: &'a BTreeMap<String, String>,
    ) -> Writer<'a> {
        Writer {
            names,
            scope: Scope::new(self.api.settings()),
            session: session.map(|session| session.0.as_str()),
            history,
            services,
            now: clock::rfc3339(),
        }
    }

    fn bare_writer<'a>(&self, names: &'a Names, session: &'a SessionId) -> Writer<'a> {
        static NOTHING: BTreeMap<String, String> = BTreeMap::new();
        self.writer(names, Some(session), &[], &NOTHING)
    }

    /// Takes histories in that were read, unless we have written newer ones meanwhile.
    fn remember_histories(&self, read: BTreeMap<GroupName, Extras>, index: u64) {
        let mut known = self.extras();
        for (name, extras) in read {
            let known = known.entry(name).or_default();
            if known.history.as_ref().is_none_or(|(version, _)| *version <= index) {
                known.history = extras.history;
            }
        }
    }

    fn keep_history(&self, group: &GroupName, history: &[render::Failover], fence: Fence) {
        let text = serde_json::to_vec(history).expect("text can be written as JSON");
        let text = base64::engine::general_purpose::STANDARD.encode(text);
        self.extras().entry(group.clone()).or_default().history = Some((fence.0, text));
    }

    fn extras(&self) -> MutexGuard<'_, BTreeMap<GroupName, Extras>> {
        // Nobody panics while holding it; and if, what it holds is still good.
        self.extras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The master that a record names.
fn master_of(record: &GroupRecord) -> Option<Endpoint> {
    record.record.as_ref().map(|record| record.master.clone())
}

/// The failovers that KV remembers; none when nobody can read them.
fn failovers(extras: &Extras) -> Vec<render::Failover> {
    let text = extras.history.as_ref().map(|(_, text)| text.as_str()).unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Those that are not permitted, and those that somebody else has.
fn split(refused: Vec<(GroupName, String)>) -> (Vec<(GroupName, String)>, Vec<GroupName>) {
    let (denied, others): (Vec<_>, Vec<_>) = refused.into_iter().partition(|(_, why)| fault::is_denied(why));
    (denied, others.into_iter().map(|(group, _)| group).collect())
}
