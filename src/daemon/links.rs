//! Connections to servers and peers: one task each, which turns calls into bytes and bytes into inputs.
//!
//! The core wants two links to each server, one for commands and one for the hello subscription. Where the server speaks
//! RESP3 both travel on one connection: the subscription is the *guest* of the command link. It takes half the
//! connections, and the answer to a PUBLISH comes in one packet with the message itself. Servers that do not speak it
//! (before 6.0) get two connections, and so does one that accepted the guest and then sent it nothing.

mod connection;
mod doubts;
mod link_state;
mod pace;

use crate::clock;
use crate::daemon::calls;
use crate::daemon::handle::Handle;
use crate::net::numbered::Numbered;
use crate::net::tls::Tls;
use consentinel_core::{CallId, Command, Input, LinkError, LinkId, LinkKind, LinkUp, Reply};
use doubts::Doubts;
pub(super) use link_state::LinkState;
use link_state::{Expected, Sharing};
use pace::Pace;
pub(super) use pace::{More, PATIENCE};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use tracing::warn;

/// Calls that may wait for one connection. The core bounds how long it waits; this only bounds memory.
const MAX_QUEUED: usize = 16_384;

/// Addresses about which complaints are remembered.
const MAX_COMPLAINTS: usize = 4096;

/// Servers that are remembered for not doing what they say.
const MAX_SHUNNED: usize = 4096;

/// The connections that the core has asked for and not given up.
pub(super) struct Links {
    tls: Tls,
    /// What was last said about the TLS of an address.
    complaints: BTreeMap<SocketAddr, String>,
    /// Servers and peers that answer more than is read.
    pub(super) doubts: Doubts,
    places: Numbered<LinkId, Place>,
    /// Command links that have no guest and might take one, by where they lead.
    roomy: BTreeMap<SocketAddr, Vec<LinkId>>,
    /// Servers that said that they speak RESP3, and do not.
    shunned: BTreeSet<SocketAddr>,
    /// Those that have something to send, and were not told to yet.
    waiting: VecDeque<Rc<LinkState>>,
    /// How many of them may at once.
    pace: Pace,
    /// What the core is to be told.
    inputs: VecDeque<Input>,
}

/// Where a link travels.
enum Place {
    /// On a connection of its own.
    Own(Rc<LinkState>),
    /// On that of a command link.
    Guest(Rc<LinkState>),
}

impl Links {
    /// No connections yet.
    pub(super) fn new(tls: Tls) -> Self {
        Links {
            tls,
            complaints: BTreeMap::new(),
            doubts: Doubts::default(),
            places: Numbered::default(),
            roomy: BTreeMap::new(),
            shunned: BTreeSet::new(),
            waiting: VecDeque::new(),
            pace: Pace::default(),
            inputs: VecDeque::new(),
        }
    }

    /// Tells the operator what is wrong with the TLS of an address, once and not at each attempt.
    pub(super) fn complain(&mut self, to: SocketAddr, text: String) {
        if self.complaints.get(&to) == Some(&text) {
            return;
        }
        warn!("no TLS with {to}: {text}");
        if self.complaints.len() >= MAX_COMPLAINTS {
            self.complaints.clear();
        }
        self.complaints.insert(to, text);
    }

    /// An address is well: what was said about it may be said again.
    pub(super) fn praise(&mut self, to: SocketAddr) {
        self.complaints.remove(&to);
    }

    /// Starts to open a connection; what happens to it is told to the driver.
    pub(super) fn connect(
        &mut self,
        link: LinkId,
        to: SocketAddr,
        kind: LinkKind,
        renames: Arc<BTreeMap<String, String>>,
        driver: Handle,
    ) {
        match kind {
            LinkKind::PubSub => {
                if let Some(host) = self.host(to) {
                    return self.take_in(link, host);
                }
            }
            LinkKind::Command if !self.shunned.contains(&to) => self.roomy.entry(to).or_default().push(link),
            LinkKind::Command | LinkKind::Sentinel => {}
        }
        let state = LinkState::new(link, to, kind, renames);
        if self.shunned.contains(&to) {
            state.sharing.set(Sharing::Refused);
        }
        self.open(Rc::new(state), driver);
    }

    fn open(&mut self, state: Rc<LinkState>, driver: Handle) {
        let link = state.link;
        self.places.insert(link, Place::Own(state.clone()));
        let tls = self.tls.is_outward().then(|| self.tls.clone());
        tokio::task::spawn_local(async move {
            let ended = match connection::run(&state, tls, &driver).await {
                Ok(()) => return,
                Err(error) => error,
            };
            driver.input(Input::Link { link, up: Err(ended) });
        });
    }

    /// Closes a connection, or gives it up.
    pub(super) fn disconnect(&mut self, link: LinkId) {
        match self.places.remove(&link) {
            Some(Place::Own(state)) => {
                state.bell.give_up();
                self.lose_guest(&state);
            }
            Some(Place::Guest(host)) => self.see_off(&host),
            None => {}
        }
    }

    /// A connection was lost: nothing is left to close.
    pub(super) fn forget(&mut self, link: LinkId) {
        if let Some(Place::Own(state)) = self.places.remove(&link) {
            self.lose_guest(&state);
        }
    }

    /// Sends a command. When so many wait already that the connection must be given up, the core is told.
    pub(super) fn call(&mut self, link: LinkId, call: CallId, command: &Command) {
        let (state, is_guest) = match self.places.get(&link) {
            Some(Place::Own(state)) => (state.clone(), false),
            Some(Place::Guest(host)) => (host.clone(), true),
            None => return,
        };
        if state.queue.borrow().expected.len() >= MAX_QUEUED {
            self.disconnect(state.link);
            return self.inputs.push_back(Input::Link { link: state.link, up: Err(LinkError::Closed) });
        }
        match command {
            // The host has done so.
            Command::Auth(_) | Command::SetName(_) if is_guest => {
                self.inputs.push_back(Input::Reply { link, call, reply: Reply::Ok });
                return;
            }
            Command::Subscribe if is_guest => {
                state.send(command, |_| Expected::Subscribed(link, call));
            }
            Command::SetName(_)
                if state.kind == LinkKind::Command && state.sharing.get() == Sharing::Unknown =>
            {
                state.send(command, |awaited| Expected::Reply(link, call, awaited));
                state.send_words(&["HELLO", "3"], Expected::Hello);
            }
            _ => state.send(command, |awaited| Expected::Reply(link, call, awaited)),
        }
        match command {
            // What is sent to everybody on the beat takes its turn.
            Command::Ping | Command::Info | Command::Publish(_) => self.wants_to_send(&state),
            _ => state.bell.ring(),
        }
    }

    fn wants_to_send(&mut self, state: &Rc<LinkState>) {
        if !state.waits.replace(true) {
            self.waiting.push_back(state.clone());
        }
    }

    /// What the core is to be told of links that share a connection, or were given up.
    pub(super) fn poll_input(&mut self) -> Option<Input> {
        self.inputs.pop_front()
    }

    /// Something has come on a connection: it was its turn, and another may have one.
    pub(super) fn heard(&mut self, state: &LinkState) {
        self.pace.heard(&state.slot);
    }

    /// Whether and when others may send.
    pub(super) fn more(&self) -> More {
        self.pace.more(self.waiting.len())
    }

    /// Lets all connections send, if they are few.
    pub(super) fn ring_few(&mut self) {
        if self.waiting.len() <= pace::AT_ONCE {
            self.ring(self.waiting.len());
        }
    }

    /// Lets some connections send. With a thousand masters a thousand pings may be due at once: clients come in between.
    pub(super) fn ring_some(&mut self) {
        let some = self.pace.share(self.waiting.len(), clock::now());
        self.ring(some);
    }

    fn ring(&mut self, some: usize) {
        for state in self.waiting.drain(..some) {
            state.waits.set(false);
            if !state.queue.borrow().output.is_empty() {
                self.pace.sent(&state.slot);
                state.bell.ring();
            }
        }
    }
}

/// Subscriptions as guests.
impl Links {
    /// A command link there that a subscription could share.
    fn host(&mut self, to: SocketAddr) -> Option<Rc<LinkState>> {
        let links = self.roomy.get_mut(&to)?;
        let mut host = None;
        while let (None, Some(link)) = (&host, links.pop()) {
            host = match self.places.get(&link) {
                Some(Place::Own(state)) if state.sharing.get() != Sharing::Refused => Some(state.clone()),
                _ => None,
            };
        }
        if links.is_empty() {
            self.roomy.remove(&to);
        }
        host
    }

    fn take_in(&mut self, guest: LinkId, host: Rc<LinkState>) {
        host.guest.set(Some(guest));
        self.welcome(&host);
        self.places.insert(guest, Place::Guest(host));
    }

    /// The guest's link stands, as soon as the server is known to speak RESP3.
    fn welcome(&mut self, host: &LinkState) {
        if let (Some(guest), Some(local), Sharing::Possible) =
            (host.guest.get(), host.local.get(), host.sharing.get())
        {
            self.inputs.push_back(Input::Link { link: guest, up: Ok(LinkUp { local }) });
        }
    }

    /// A server has said whether it speaks RESP3.
    pub(super) fn on_hello(&mut self, link: LinkId, speaks: bool, driver: Handle) {
        let Some(Place::Own(host)) = self.places.get(&link) else { return };
        let host = host.clone();
        host.sharing.set(if speaks { Sharing::Possible } else { Sharing::Refused });
        if speaks {
            self.welcome(&host);
        } else if let Some(guest) = host.guest.take() {
            let state = LinkState::new(guest, host.to, LinkKind::PubSub, host.renames.clone());
            self.open(Rc::new(state), driver);
        }
    }

    /// From now on that server gets a connection for each link.
    pub(super) fn shun(&mut self, to: SocketAddr) {
        if self.shunned.len() >= MAX_SHUNNED {
            self.shunned.clear();
        }
        self.shunned.insert(to);
    }

    /// The core gives a guest up while its host stays. One that had heard nothing gets a connection of its own the next
    /// time: there may be something between us and the server that does not know of pushes.
    fn see_off(&mut self, host: &Rc<LinkState>) {
        host.guest.set(None);
        match host.sharing.get() {
            Sharing::Possible => {
                host.sharing.set(Sharing::Refused);
                host.send_words(&["UNSUBSCRIBE"], Expected::Unsubscribed);
                self.wants_to_send(host);
            }
            Sharing::Unknown => self.roomy.entry(host.to).or_default().push(host.link),
            Sharing::Refused => {}
        }
    }

    /// The connection has gone, and its guest with it.
    fn lose_guest(&mut self, host: &LinkState) {
        if let Some(guest) = host.guest.take()
            && self.places.remove(&guest).is_some()
        {
            self.inputs.push_back(Input::Link { link: guest, up: Err(LinkError::Closed) });
        }
        if let Some(links) = self.roomy.get_mut(&host.to) {
            links.retain(|link| *link != host.link);
            if links.is_empty() {
                self.roomy.remove(&host.to);
            }
        }
    }
}

impl LinkState {
    fn send(&self, command: &Command, expect: impl FnOnce(calls::Awaited) -> Expected) {
        let mut queue = self.queue.borrow_mut();
        let awaited = calls::encode(command, &self.renames, &mut queue.output);
        queue.expected.push_back(expect(awaited));
    }

    fn send_words(&self, words: &[&str], expect: Expected) {
        let mut queue = self.queue.borrow_mut();
        calls::write(words, &self.renames, &mut queue.output);
        queue.expected.push_back(expect);
    }
}
