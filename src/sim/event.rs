//! What can happen in a world, and what travels over its connections.

use crate::consul::{Answer, Ask, Bell, SessionId};
use crate::data::DataRef;
use crate::network::ConnId;
use crate::step::Step;
use consentinel_core::{CallId, Command, Endpoint, Hello, JobId, LinkError, Reply, RunId, Seq};
use std::rc::Rc;
use std::sync::Arc;

/// One thing that happens. `life` names the life of the process that it is meant for: a process that was restarted
/// does not see what was planned for the one before.
#[derive(Debug)]
pub(crate) enum Event {
    /// A connection attempt reaches the other machine.
    Syn { conn: ConnId, attempt: u8 },
    /// The answer to it is back.
    Established { conn: ConnId, result: Result<(), LinkError> },
    /// A message reaches one end of a connection.
    Arrive { conn: ConnId, to_server: bool, message: Message },
    /// A sentinel's deadline; only the one that was planned last counts.
    Wake { sentinel: u16, life: u32, number: u64 },
    /// A sentinel's disk is done.
    DiskDone { sentinel: u16, life: u32, seq: Seq },
    /// A sentinel's question for a host name comes back.
    Resolved { sentinel: u16, life: u32, name: Arc<str> },
    /// A sentinel's script ends.
    ScriptEnded { sentinel: u16, life: u32, job: JobId },
    /// A replica tries to reach its master.
    Reconnect { redis: u16, life: u32 },
    /// A Redis server's slow housekeeping.
    Cron { redis: u16, life: u32 },
    /// A Redis server has read its data.
    Loaded { redis: u16, life: u32 },
    /// A client does its next thing.
    ClientTurn { client: u16 },
    /// A client's question reaches a sentinel.
    ClientAsks { client: u16, sentinel: u16, turn: u32 },
    /// Its answer reaches the client.
    ClientLearns { client: u16, turn: u32, master: Option<Endpoint> },
    /// A client's write reaches a Redis server.
    ClientWrites { client: u16, redis: u16, life: u32, turn: u32 },
    /// The answer reaches the client: the data set that holds the write, or nothing when it was refused.
    ClientAcked { client: u16, turn: u32, data: Option<DataRef> },
    /// A registrar's request reaches Consul.
    ConsulHears(Box<Ask>),
    /// The answer reaches the registrar of a sentinel.
    RegistrarHears { sentinel: u16, life: u32, answer: Box<Answer> },
    /// A registrar has waited long enough.
    RegistrarRings { sentinel: u16, life: u32, bell: Box<Bell> },
    /// A session may be over.
    SessionDue(SessionId),
    /// Somebody meddles with the world. What was planned before a repair of everything is void after it.
    Step(Box<Step>, u32),
}

/// What travels over a connection.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// PING.
    Ping(CallId),
    /// INFO.
    Info(CallId),
    /// PUBLISH on the hello channel.
    Publish(CallId, Rc<Hello>),
    /// Any other command.
    Command(CallId, Box<Command>),
    /// The answer to one of these.
    Reply(CallId, Reply),
    /// A hello on a subscription.
    Push(Rc<Hello>),
    /// A replica asks for the stream that follows a point of a history; for everything when it has none.
    Psync { history: Option<(RunId, u64)>, from: Endpoint },
    /// The stream follows.
    Continue { replid: RunId },
    /// Everything will come: what the replica knew of a history is void.
    FullResync,
    /// Everything, as it was at a point of a history. The stream follows.
    Snapshot { replid: RunId, offset: u64, data: DataRef },
    /// A piece of the stream.
    Stream(Entry),
    /// A replica has come so far (REPLCONF ACK).
    Ack(u64),
    /// The other end is closed.
    Close,
}

/// A piece of a replication stream.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The offset of its last byte.
    pub(crate) end: u64,
    pub(crate) what: Piece,
}

/// What a piece of a replication stream is about.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A write, after which the data set is this.
    Write(DataRef),
    /// A message for the subscribers.
    Publish(Rc<Hello>),
    /// The master's sign of life.
    Ping,
    /// The master asks how far its replicas have come (REPLCONF GETACK).
    GetAck,
}
