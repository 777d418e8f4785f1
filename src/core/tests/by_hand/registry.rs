//! A Consul of one group that does what it is told, unless it is told not to.

use consentinel_core::{
    Fence, Guard, Lock, Published, RegistryError, RegistryEvent, RegistryFault, RegistryRequest, Transaction,
};

pub(crate) struct Registry {
    pub(crate) held: Published,
    /// How it fails, when it does.
    pub(crate) fault: Option<RegistryFault>,
    /// It does what it is asked, and fails all the same: the answer is lost.
    pub(crate) mute: bool,
    /// It answers nothing.
    pub(crate) hangs: bool,
    pub(crate) requests: Vec<RegistryRequest>,
    index: u64,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        let held = Published {
            fence: Fence(0),
            record: None,
            lock: Lock::Free,
            entries: vec![],
            damaged: vec![],
            node_intact: false,
        };
        Registry { held, fault: None, mute: false, hangs: false, requests: vec![], index: 10 }
    }

    pub(crate) fn seen(&self) -> RegistryEvent {
        RegistryEvent::Seen(Box::new(self.held.clone()))
    }

    pub(crate) fn answer(&mut self, request: RegistryRequest) -> Option<RegistryEvent> {
        self.requests.push(request.clone());
        // Whoever was in vain waits; here until the test lets the time come.
        let waits = matches!(request, RegistryRequest::Look { tries: 1.. });
        if self.hangs || waits && self.fault.is_some() {
            return None;
        }
        if let (RegistryRequest::Write(transaction), true) = (&request, self.mute) {
            self.write(transaction);
        }
        if let (Some(kind), true) = (self.fault, request != RegistryRequest::Unlock) {
            return Some(RegistryEvent::Failed(RegistryError { kind, text: "told to fail".into() }));
        }
        match request {
            RegistryRequest::Look { .. } => Some(self.seen()),
            RegistryRequest::Lock => {
                self.held.lock = Lock::Ours;
                Some(self.seen())
            }
            RegistryRequest::Unlock => {
                self.held.lock = Lock::Free;
                None
            }
            RegistryRequest::Forget => None,
            RegistryRequest::Write(transaction) => Some(self.write(&transaction)),
        }
    }

    fn write(&mut self, transaction: &Transaction) -> RegistryEvent {
        if transaction.guard.fence() != self.held.fence {
            return RegistryEvent::Stale;
        }
        if let Guard::Claim { record, .. } = &transaction.guard {
            self.index += 1;
            self.held.fence = Fence(self.index);
            self.held.record = Some(record.clone());
        }
        self.held.node_intact = true;
        self.held.damaged.retain(|name| !transaction.sweep.contains(name));
        self.held.entries.retain(|entry| !transaction.remove.contains(&entry.key()));
        for entry in &transaction.set {
            self.held.entries.retain(|there| there.key() != entry.key());
            self.held.entries.push(entry.clone());
        }
        RegistryEvent::Written(self.held.fence)
    }

    /// Somebody wipes KV alone: record and lock are gone, the catalog stays.
    pub(crate) fn lose_keys(&mut self) {
        (self.held.fence, self.held.record, self.held.lock) = (Fence(0), None, Lock::Free);
    }

    /// The transactions that were asked for since the last time.
    pub(crate) fn writes(&mut self) -> Vec<Transaction> {
        let writes = self.requests.drain(..).filter_map(|request| match request {
            RegistryRequest::Write(transaction) => Some(*transaction),
            _ => None,
        });
        writes.collect()
    }
}
