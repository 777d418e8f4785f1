//! Writes under WAIT 1: the client's answer leaves the master when one replica has acknowledged the write.

use crate::data::DataRef;
use crate::event::{Event, Piece};
use crate::world::World;

/// A write that a client waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unconfirmed {
    client: u16,
    turn: u32,
    data: DataRef,
    /// How far a replica must have come.
    offset: u64,
}

/// The length of REPLCONF GETACK * in the stream.
const GETACK_BYTES: u64 = 37;

impl World {
    /// A master carries out a write and asks its replicas how far they have come. The client is answered when one of
    /// them has the write; it is not when the master dies, is demoted or cuts its clients off before.
    pub(crate) fn write_and_wait(&mut self, client: u16, redis: u16, turn: u32) {
        let data = self.write(redis);
        self.append(redis, GETACK_BYTES, Piece::GetAck);
        let server = self.redis(redis);
        let offset = server.offset;
        // A client has one question under way: an older one has been given up.
        server.unconfirmed.retain(|write| write.client != client);
        server.unconfirmed.push(Unconfirmed { client, turn, data, offset });
    }

    /// A replica has come so far.
    pub(crate) fn confirm(&mut self, redis: u16, offset: u64) {
        let server = self.redis(redis);
        let node = server.node;
        let (confirmed, open) = server.unconfirmed.iter().partition(|write| write.offset <= offset);
        let confirmed: Vec<Unconfirmed> = confirmed;
        server.unconfirmed = open;
        for Unconfirmed { client, turn, data, .. } in confirmed {
            let asker = self.client(client).node;
            if self.passes(node, asker) {
                let at = self.now + self.net.latency(node, asker);
                self.queue.push(at, Event::ClientAcked { client, turn, data: Some(data) });
            }
        }
    }
}
