//! What is asked for one group, carried out in order, one thing at a time.

use super::api::{Api, escaped};
use super::fault::Rule;
use super::names::Names;
use super::render::{self, Failover};
use super::retry;
use super::session::Session;
use super::sight::{self, Sight};
use super::txn::{Operation, Plan, Scope, Verdict, Writer};
use super::watching::Watch;
use super::will::Will;
use crate::driver::clock;
use consentinel_core::{
    Entry, Fence, GroupName, Guard, Input, Lock, Published, RegistryError, RegistryEvent, RegistryRequest,
    Transaction,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tracing::info;

/// What all workers share.
#[derive(Clone)]
pub(super) struct Shared {
    /// Consul.
    pub api: Arc<Api>,
    /// Our session.
    pub session: Arc<Session>,
    /// Who may be watched.
    pub slots: Arc<Semaphore>,
    /// The loop that owns the core.
    pub inputs: mpsc::Sender<Input>,
    /// What becomes of the entries without us.
    pub will: Arc<Will>,
}

/// Works for one group.
pub(super) struct Worker {
    shared: Shared,
    names: Arc<Names>,
    requests: mpsc::UnboundedReceiver<RegistryRequest>,
    /// A request that came while a look was under way.
    stashed: Option<RegistryRequest>,
    watch: Option<Watch>,
    /// When the look is due that was asked for.
    asked: Option<Instant>,
    /// Whether something may have changed that was not looked at yet.
    noticed: bool,
    /// What the core takes to be in Consul.
    told: Option<Published>,
    /// The last failovers, as they were seen with the record.
    history: Vec<Failover>,
    /// What the services on the node are called everywhere, by their IDs.
    services: BTreeMap<String, String>,
    /// What is really there, as it was seen last.
    real: Option<Published>,
    /// In a dry run: what was there, and what would be there by now.
    pretence: Option<(Published, Published)>,
    /// In a dry run: whether the lock would be ours if it is free.
    pretended_lock: bool,
}

impl Worker {
    /// A worker that was asked nothing yet.
    pub(super) fn new(
        shared: Shared,
        names: Arc<Names>,
        requests: mpsc::UnboundedReceiver<RegistryRequest>,
    ) -> Worker {
        Worker {
            shared,
            names,
            requests,
            stashed: None,
            watch: None,
            asked: None,
            noticed: false,
            told: None,
            history: Vec::new(),
            services: BTreeMap::new(),
            real: None,
            pretence: None,
            pretended_lock: false,
        }
    }

    /// Works until nobody can ask any more.
    pub(super) async fn run(mut self) {
        loop {
            if let Some(request) = self.stashed.take() {
                self.carry_out(request).await;
                continue;
            }
            let due = self.asked.or_else(|| self.noticed.then(Instant::now));
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(request) => self.carry_out(request).await,
                    None => return,
                },
                () = changed(self.watch.as_ref()) => {
                    self.noticed = true;
                    // Something moves in Consul: no reason to wait any longer.
                    self.asked = self.asked.map(|_| Instant::now());
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.look().await;
                }
            }
        }
    }

    async fn carry_out(&mut self, request: RegistryRequest) {
        if self.watch.is_none() && !matches!(request, RegistryRequest::Forget | RegistryRequest::Unlock) {
            let Shared { api, slots, .. } = &self.shared;
            self.watch = Some(Watch::new(api, &self.names, slots));
        }
        match request {
            RegistryRequest::Look { tries } => self.asked = Some(Instant::now() + retry::delay(tries)),
            RegistryRequest::Write(transaction) => {
                // A look that is still being waited for is given up. What was noticed stays noticed.
                self.asked = None;
                let event = self.write(&transaction).await;
                self.send(event).await;
            }
            RegistryRequest::Lock => {
                let event = match self.lock().await {
                    Ok(sight) => self.seen(sight),
                    Err(error) => RegistryEvent::Failed(error),
                };
                self.send(event).await;
            }
            RegistryRequest::Unlock => {
                // Told only when it is in vain: else the core would go on to believe that others have it.
                if let Err(error) = self.unlock().await {
                    self.send(RegistryEvent::Failed(error)).await;
                }
            }
            RegistryRequest::Forget => {
                // Nobody wants to hear of it any more; at the latest the lock ends with the session.
                let _ = self.unlock().await;
                (self.watch, self.asked, self.noticed) = (None, None, false);
                (self.told, self.real, self.pretence) = (None, None, None);
            }
        }
    }

    /// Looks, unless something comes in between that makes it pointless.
    async fn look(&mut self) {
        let (asked, noticed) = (self.asked.take(), std::mem::take(&mut self.noticed));
        let Some(result) = self.sight_unless_interrupted().await else {
            // A look that was asked for is replaced, or given up; a change must still be told.
            self.noticed = noticed;
            return;
        };
        match result {
            Ok(sight) => {
                let before = self.told.take();
                let event = self.seen(sight);
                if asked.is_some() || self.told != before {
                    self.send(event).await;
                }
            }
            // The core will ask again, whether it had asked or not.
            Err(error) => self.send(RegistryEvent::Failed(error)).await,
        }
    }

    /// Nothing when a request came meanwhile that does not want its result.
    async fn sight_unless_interrupted(&mut self) -> Option<Result<Sight, RegistryError>> {
        let (shared, names) = (self.shared.clone(), self.names.clone());
        let sight = sight::look(&shared.api, &names, Some(&shared.session));
        tokio::pin!(sight);
        loop {
            tokio::select! {
                biased;
                request = self.requests.recv(), if self.stashed.is_none() => {
                    let waits = matches!(request, Some(RegistryRequest::Lock | RegistryRequest::Unlock));
                    self.stashed = request;
                    if !waits {
                        return None;
                    }
                }
                result = &mut sight => return Some(result),
            }
        }
    }

    /// Takes in what was seen.
    fn seen(&mut self, sight: Sight) -> RegistryEvent {
        let Sight { mut published, folder, services, .. } = sight;
        (self.history, self.services) = (folder.history, services);
        self.real = Some(published.clone());
        // As long as nothing has changed there, what would have been written is there.
        self.pretence = self.pretence.take().filter(|(real, _)| *real == published);
        if let Some((_, pretended)) = &self.pretence {
            published = pretended.clone();
        }
        if self.pretended_lock && published.lock == Lock::Free {
            published.lock = Lock::Ours;
        }
        self.told = Some(published.clone());
        self.bequeath();
        RegistryEvent::Seen(Box::new(published))
    }

    async fn write(&mut self, transaction: &Transaction) -> RegistryEvent {
        let session = self.shared.session.current();
        let plan = self.writer(session.as_deref()).plan(transaction);
        if self.shared.api.settings().dry_run {
            return self.pretend(transaction, &plan);
        }
        if session.is_none() && matches!(transaction.guard, Guard::Hold { locked: true, .. }) {
            // The lock went with the session.
            return RegistryEvent::Stale;
        }
        match self.send_parts(transaction, plan, session.as_deref()).await {
            Ok(Some(fence)) => {
                let told = self.told.take();
                self.told = told.map(|told| after(&told, transaction, fence, &self.names));
                self.bequeath();
                RegistryEvent::Written(fence)
            }
            Ok(None) => RegistryEvent::Stale,
            Err(error) => RegistryEvent::Failed(error),
        }
    }

    fn bequeath(&self) {
        let entries = self.told.iter().flat_map(|told| &told.entries).map(Entry::key);
        self.shared.will.concerns(&self.names, entries);
    }

    /// The record's version after the last part; nothing when a guard did not hold.
    async fn send_parts(
        &mut self,
        transaction: &Transaction,
        plan: Plan,
        session: Option<&str>,
    ) -> Result<Option<Fence>, RegistryError> {
        let fence = transaction.guard.fence();
        let Some(keys) = self.send_part(&plan.first, plan.guards).await? else { return Ok(None) };
        let fence = match (&transaction.guard, keys.get(&self.names.state_key())) {
            (_, Some(index)) => Fence(*index),
            (Guard::Hold { .. }, None) => fence,
            (Guard::Claim { .. }, None) => {
                return Err(self.shared.api.nonsense("it does not say which version the record has now"));
            }
        };
        if let Guard::Claim { record, before: Some(before), .. } = &transaction.guard {
            self.history = render::history(&self.history, record, before, &clock::rfc3339());
        }
        let locked = matches!(transaction.guard, Guard::Hold { locked: true, .. });
        for part in plan.rest {
            let mut operations = self.writer(session).guards(fence, locked);
            let guards = operations.len();
            operations.extend(part);
            if self.send_part(&operations, guards).await?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(fence))
    }

    async fn send_part(
        &self,
        operations: &[Operation],
        guards: usize,
    ) -> Result<Option<BTreeMap<String, u64>>, RegistryError> {
        let api = &self.shared.api;
        match api.transact(operations, guards, &self.names).await? {
            Verdict::Done(keys) => Ok(Some(keys)),
            Verdict::Stale => Ok(None),
            Verdict::Denied(missing, said) => Err(api.denied(&missing, &said)),
            Verdict::Refused(why) => Err(api.nonsense(&why)),
        }
    }

    /// Says what would be written.
    fn pretend(&mut self, transaction: &Transaction, plan: &Plan) -> RegistryEvent {
        let parts: Vec<&Vec<Operation>> = std::iter::once(&plan.first).chain(&plan.rest).collect();
        let text = serde_json::to_string_pretty(&parts).expect("text can be written as JSON");
        info!("dry run: for {} this would be written to Consul: {text}", self.names.group);
        let fence = transaction.guard.fence();
        if let (Some(told), Some(real)) = (&mut self.told, &self.real) {
            *told = after(told, transaction, fence, &self.names);
            self.pretence = Some((real.clone(), told.clone()));
        }
        RegistryEvent::Written(fence)
    }

    /// Tries to get the lock, and looks who has it.
    async fn lock(&mut self) -> Result<Sight, RegistryError> {
        if self.shared.api.settings().dry_run {
            self.pretended_lock = true;
            return self.sight().await;
        }
        if !self.acquire().await? {
            // Either somebody has it, or our session is gone: then another one gets its chance.
            self.shared.session.renew().await?;
            if self.shared.session.current().is_none() {
                self.acquire().await?;
            }
        }
        self.sight().await
    }

    async fn sight(&self) -> Result<Sight, RegistryError> {
        sight::look(&self.shared.api, &self.names, Some(&self.shared.session)).await
    }

    async fn acquire(&self) -> Result<bool, RegistryError> {
        let Shared { api, session, .. } = &self.shared;
        let id = session.get(Some(&self.names.node)).await?;
        let path = format!("/v1/kv/{}", escaped(&self.names.lock_key()));
        let answer = api.put(&path, &[("acquire", &id)], session.label().as_bytes().to_vec()).await?;
        match answer.status {
            200 => Ok(answer.body.starts_with(b"true")),
            // That is how Consul speaks of a session that it does not know.
            500 if session_is_gone(session).await => Ok(false),
            _ => Err(api.refused(&answer, &[Rule::write("key_prefix", &self.names.folder)])),
        }
    }

    /// Gives the lock back, if it is ours.
    async fn unlock(&mut self) -> Result<(), RegistryError> {
        self.pretended_lock = false;
        let Some(session) = self.shared.session.current() else { return Ok(()) };
        let operations = self.writer(Some(&session)).unlock();
        // The guard is that it is ours.
        self.send_part(&operations, 1).await.map(drop)
    }

    fn writer<'a>(&'a self, session: Option<&'a str>) -> Writer<'a> {
        Writer {
            names: &self.names,
            scope: Scope::new(self.shared.api.settings()),
            session,
            history: &self.history,
            services: &self.services,
            now: clock::rfc3339(),
        }
    }

    async fn send(&self, event: RegistryEvent) {
        send(&self.shared.inputs, &self.names.group, event).await;
    }
}

/// Tells the core. It is not there any more only when the process ends.
pub(super) async fn send(inputs: &mpsc::Sender<Input>, group: &GroupName, event: RegistryEvent) {
    let _ = inputs.send(Input::Registry { group: group.clone(), event }).await;
}

async fn changed(watch: Option<&Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

async fn session_is_gone(session: &Session) -> bool {
    session.renew().await.is_ok() && session.current().is_none()
}

/// What Consul holds after a transaction, in the order in which it is read back.
fn after(before: &Published, transaction: &Transaction, fence: Fence, names: &Names) -> Published {
    let mut published = before.clone().after(transaction, fence);
    published.entries.sort_by_key(Entry::key);
    let keys = transaction.set.iter().map(Entry::key).chain(transaction.remove.iter().cloned());
    let written: BTreeSet<String> = keys.map(|key| names.id_of(&key)).collect();
    published.damaged.retain(|name| !written.contains(name));
    published
}
