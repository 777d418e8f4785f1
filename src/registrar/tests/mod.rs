//! The registrar with a real Consul, and with one that answers badly.

mod bad;
mod consul;
mod reached;

use super::*;
use consentinel_core::{
    Endpoint, Entry, Epoch, Fence, Guard, Health, Lock, Published, Record, RegistryError, RegistryEvent,
    RegistryFault, Role, RunId, SentinelId, Transaction,
};
use consentinel_lab::{Consul, Folder, eventually};
use std::time::Duration;

/// For what works.
const PATIENCE: Duration = Duration::from_secs(10);

/// A registrar, and what it tells.
struct Bench {
    registrar: Registrar,
    inputs: mpsc::Receiver<Input>,
}

impl Bench {
    fn at(address: &str) -> Bench {
        Bench::with(address, |_| {})
    }

    fn with(address: &str, change: impl FnOnce(&mut ConsulSettings)) -> Bench {
        let mut settings = ConsulSettings::default();
        settings.set("address", &[address]).expect("an address");
        change(&mut settings);
        settings.settle().expect("good settings");
        let presence = Presence { announced: None, port: 26379, id: "f".repeat(40), observes: false };
        let (sender, inputs) = mpsc::channel(64);
        let registrar = Registrar::start(settings, presence, sender).expect("it starts");
        Bench { registrar, inputs }
    }

    fn stop(mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(self.registrar.stop());
    }

    fn ask(&self, request: RegistryRequest) {
        self.registrar.ask(group(), request);
    }

    /// What is told next.
    fn next(&mut self) -> RegistryEvent {
        eventually("the registrar tells something", PATIENCE, || match self.inputs.try_recv() {
            Ok(Input::Registry { event, .. }) => Some(event),
            _ => None,
        })
    }

    fn seen(&mut self) -> Published {
        match self.next() {
            RegistryEvent::Seen(published) => *published,
            other => panic!("not what was seen, but {other:?}"),
        }
    }

    /// What is told next that is not only what was seen.
    fn outcome(&mut self) -> RegistryEvent {
        loop {
            match self.next() {
                RegistryEvent::Seen(_) => {}
                other => return other,
            }
        }
    }

    /// Waits until this is seen of the lock.
    fn sees(&mut self, lock: Lock) {
        while self.seen().lock != lock {}
    }

    /// Asks for the lock until it is ours; nothing that was asked is open then. An agent that has just started is not
    /// healthy enough for a session yet.
    fn locks(&mut self) {
        eventually("the lock is ours", PATIENCE, || {
            self.ask(RegistryRequest::Lock);
            loop {
                match self.next() {
                    RegistryEvent::Seen(seen) if seen.lock == Lock::Ours => return Some(()),
                    RegistryEvent::Failed(_) => return None,
                    _ => {}
                }
            }
        });
    }

    fn look(&mut self) -> Published {
        self.ask(RegistryRequest::Look { tries: 0 });
        self.seen()
    }

    fn write(&mut self, transaction: Transaction) -> RegistryEvent {
        self.ask(RegistryRequest::Write(Box::new(transaction)));
        self.outcome()
    }

    fn written(&mut self, transaction: Transaction) -> Fence {
        match self.write(transaction) {
            RegistryEvent::Written(fence) => fence,
            other => panic!("not written, but {other:?}"),
        }
    }

    fn failed(&mut self) -> RegistryError {
        match self.outcome() {
            RegistryEvent::Failed(error) => error,
            other => panic!("not a failure, but {other:?}"),
        }
    }

    /// Nothing is told for a while in which something would have been.
    fn stays_silent(&mut self) {
        let quiet = consentinel_lab::poll_until(Duration::from_millis(300), || self.inputs.try_recv().ok());
        assert!(quiet.is_none(), "{quiet:?}");
    }
}

fn group() -> GroupName {
    GroupName::new("mymaster")
}

fn at(port: u16) -> Endpoint {
    Endpoint::parse("127.0.0.1", &port.to_string()).expect("an address")
}

fn record(epoch: u64, port: u16) -> Record {
    Record {
        epoch: Epoch(epoch),
        master: at(port),
        run_id: RunId::new(&format!("{port:040}")),
        publisher: SentinelId::new(&"a".repeat(40)),
        sentinels: vec![],
    }
}

fn entry(role: Role, epoch: u64, port: u16) -> Entry {
    Entry {
        role,
        addr: at(port),
        run_id: Some(RunId::new(&format!("{port:040}"))),
        epoch: Epoch(epoch),
        health: Health::Passing,
        cause: None,
        sentence: "it answers".into(),
    }
}

/// A failover, or the first publication.
fn claim(fence: Fence, epoch: u64, master: u16, before: Option<u16>) -> Transaction {
    Transaction {
        guard: Guard::Claim { fence, record: record(epoch, master), before: before.map(at) },
        remove: before.map(|port| entry(Role::Master, 0, port).key()).into_iter().collect(),
        sweep: Vec::new(),
        set: vec![entry(Role::Master, epoch, master)],
    }
}

fn hold(fence: Fence, record: Record, locked: bool, set: Vec<Entry>) -> Transaction {
    let guard = Guard::Unchanged { fence, record, locked };
    Transaction { guard, remove: Vec::new(), sweep: Vec::new(), set }
}
