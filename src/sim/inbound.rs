//! Who asks a sentinel for something: peers over their connections, operators out of nowhere.

use crate::event::Message;
use crate::network::ConnId;
use crate::world::World;
use consentinel_core::{CallId, ClientId, Command, Hello, Input, Reply, Request, Response};
use std::collections::VecDeque;

/// A peer's connection to a sentinel.
#[derive(Debug)]
pub(crate) struct Inbound {
    conn: ConnId,
    /// The call that the mind has not answered yet.
    asked: Option<CallId>,
    /// What came after it: answers keep the order of the calls.
    waiting: VecDeque<Message>,
}

/// Operators' requests have client numbers from here on.
const OPERATORS: u64 = 1 << 40;

impl World {
    /// Something arrives on a connection that a peer opened.
    pub(crate) fn inbound_message(&mut self, sentinel: u16, conn: ConnId, tag: u64, message: Message) {
        let host = self.sentinel(sentinel);
        let client = ClientId(if tag == 0 { host.clients + 1 } else { tag });
        if tag == 0 {
            host.clients += 1;
            host.inbound.insert(client, Inbound { conn, asked: None, waiting: VecDeque::new() });
            if let Some(conn) = self.net.conn_mut(conn) {
                conn.server_tag = client.0;
            }
        }
        let Some(inbound) = self.sentinel(sentinel).inbound.get_mut(&client) else { return };
        match message {
            Message::Close => {
                self.sentinel(sentinel).inbound.remove(&client);
            }
            message if inbound.asked.is_some() => inbound.waiting.push_back(message),
            message => self.serve(sentinel, client, message),
        }
    }

    fn serve(&mut self, sentinel: u16, client: ClientId, message: Message) {
        let Some(inbound) = self.sentinel(sentinel).inbound.get_mut(&client) else { return };
        let conn = inbound.conn;
        match message {
            Message::Ping(call) => self.answer(conn, call, Reply::Pong),
            Message::Publish(call, hello) => {
                self.answer(conn, call, Reply::Ok);
                self.feed(sentinel, Input::Hello { link: None, hello: Hello::clone(&hello) });
            }
            Message::Command(call, command) => match *command {
                Command::IsMasterDown { master, epoch, candidate } => {
                    inbound.asked = Some(call);
                    let request = Request::IsMasterDown { master, epoch, candidate };
                    self.feed(sentinel, Input::Request { client, request });
                }
                other => {
                    let reply = self.told_by(sentinel, &other);
                    self.answer(conn, call, reply);
                }
            },
            _ => {}
        }
    }

    /// What a sentinel tells of itself.
    fn told_by(&mut self, sentinel: u16, command: &Command) -> Reply {
        let host = self.sentinel(sentinel);
        match command {
            Command::MyId => Reply::Id(host.id.clone()),
            Command::MasterAddress(name) => Reply::Address(host.brain.group(name).map(|group| group.address)),
            Command::MasterEpoch(name) => match host.brain.group(name) {
                Some(group) => Reply::Epoch(group.announced_epoch),
                None => Reply::Error(consentinel_core::Refusal::NoSuchMaster.to_string()),
            },
            _ => Reply::Ok,
        }
    }

    pub(crate) fn respond(&mut self, sentinel: u16, client: ClientId, response: &Response) {
        if client.0 >= OPERATORS {
            let name = self.addresses.name(self.node_of(sentinel)).to_owned();
            let text = match response {
                Response::Refused(why) => format!("-{why}"),
                other => format!("{other:?}"),
            };
            return self.story.tell(self.now, || format!("{name} answers the operator: {text}"));
        }
        let Some(inbound) = self.sentinel(sentinel).inbound.get_mut(&client) else { return };
        let (Some(call), conn) = (inbound.asked.take(), inbound.conn) else { return };
        let reply = match response.clone() {
            Response::Down { down, leader, epoch } => Reply::Down { down, leader, epoch },
            Response::Refused(why) => Reply::Error(why.to_string()),
            _ => Reply::Ok,
        };
        if !inbound.waiting.is_empty() {
            self.sentinel(sentinel).ready.push_back(client);
        }
        self.answer(conn, call, reply);
    }

    pub(crate) fn serve_waiting(&mut self, sentinel: u16, client: ClientId) {
        while let Some(inbound) = self.sentinel(sentinel).inbound.get_mut(&client) {
            if inbound.asked.is_some() {
                return;
            }
            let Some(next) = inbound.waiting.pop_front() else { return };
            self.serve(sentinel, client, next);
        }
    }

    /// An operator asks for something.
    pub(crate) fn operator_asks(&mut self, sentinel: u16, request: Request) {
        let host = self.sentinel(sentinel);
        host.operators += 1;
        let client = ClientId(OPERATORS + host.operators);
        self.feed(sentinel, Input::Request { client, request });
    }
}
