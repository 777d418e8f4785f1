//! Publishers with a Consul of their own, in virtual time.

mod consul;
mod outages;
mod scale;
mod single;
mod world;

use crate::{Output, Settings};
use consentinel_core::{
    Endpoint, Entry, Epoch, Fence, GroupName, Guard, Health, Lock, Published, Record, RegistryEvent,
    RegistryRequest, Role, RunId, SentinelId, Transaction,
};
use world::World;

fn group(at: usize) -> GroupName {
    GroupName::new(&format!("m{at}"))
}

fn at(port: u16) -> Endpoint {
    Endpoint::parse("10.0.0.1", &port.to_string()).expect("an address")
}

fn entry(role: Role, epoch: u64, port: u16) -> Entry {
    Entry {
        role,
        addr: at(port),
        run_id: None,
        epoch: Epoch(epoch),
        health: Health::Passing,
        cause: None,
        sentence: "it answers".into(),
    }
}

fn record(epoch: u64, port: u16) -> Record {
    Record {
        epoch: Epoch(epoch),
        master: at(port),
        run_id: RunId::new("run"),
        publisher: SentinelId::new("publisher"),
        sentinels: vec![],
    }
}

/// A failover, or the first publication.
fn claim(fence: Fence, epoch: u64, master: u16, before: Option<u16>) -> RegistryRequest {
    RegistryRequest::Write(Box::new(Transaction {
        guard: Guard::Claim { fence, record: record(epoch, master), before: before.map(at) },
        remove: before.map(|port| entry(Role::Master, 0, port).key()).into_iter().collect(),
        sweep: Vec::new(),
        set: vec![entry(Role::Master, epoch, master)],
    }))
}

/// How well a replica is.
fn health(fence: Fence, locked: bool, health: Health) -> RegistryRequest {
    let set = vec![Entry { health, ..entry(Role::Replica, 1, 9000) }];
    let guard = Guard::Unchanged { fence, record: record(1, 7000), locked };
    RegistryRequest::Write(Box::new(Transaction { guard, remove: vec![], sweep: vec![], set }))
}

const LOOK: RegistryRequest = RegistryRequest::Look { tries: 0 };
