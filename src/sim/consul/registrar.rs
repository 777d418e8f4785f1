//! A sentinel's registrar: the publisher of the real daemon, whose calls go to the modelled Consul.

use super::state::SessionId;
use super::wire::{Answer, Ask, Bell, Question};
use crate::event::Event;
use crate::world::World;
use consentinel_core::{GroupName, Input, RegistryError, RegistryRequest, Time};
use consentinel_publisher::{self as publisher, Output, Publisher, Settings};
use std::time::Duration;

/// A registrar. Nothing of it outlives its process.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    /// Nothing as long as nothing was asked.
    publisher: Option<Publisher>,
    /// When its alarm goes off, and which one that is.
    alarm: Option<Time>,
    alarms: u64,
}

/// From a registrar to its core, and back.
const CHANNEL: Duration = Duration::from_micros(7);

impl Registrar {
    /// The session that it has, as far as it knows.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.publisher.as_ref()?.session().map(SessionId::parse)
    }
}

impl World {
    fn registrar(&mut self, sentinel: u16) -> &mut Registrar {
        &mut self.sentinel(sentinel).registrar
    }

    /// The core wants something.
    pub(crate) fn registrar_asked(&mut self, sentinel: u16, group: &GroupName, request: RegistryRequest) {
        let now = self.now;
        if self.registrar(sentinel).publisher.is_none() {
            let Some(consul) = &mut self.consul else { return };
            let seed = consul.rng.bits();
            self.hang_up_all(sentinel);
            let publisher = Publisher::new(Settings { seed, ..Default::default() });
            self.registrar(sentinel).publisher = Some(publisher);
        }
        if let Some(publisher) = &mut self.registrar(sentinel).publisher {
            publisher.handle_request(now, group.clone(), request);
        }
        self.drain_registrar(sentinel);
    }

    /// Something reaches it that it has sent to itself.
    pub(crate) fn registrar_rings(&mut self, sentinel: u16, bell: Bell) {
        let now = self.now;
        match bell {
            Bell::Tell(group, event) => self.feed(sentinel, Input::Registry { group, event }),
            Bell::Alarm(number) => {
                let registrar = self.registrar(sentinel);
                if registrar.alarms != number {
                    return;
                }
                registrar.alarm = None;
                if let Some(publisher) = &mut registrar.publisher {
                    publisher.handle_timeout(now);
                }
                self.drain_registrar(sentinel);
            }
        }
    }

    /// An answer reaches it.
    pub(crate) fn registrar_hears(&mut self, sentinel: u16, answer: Answer) {
        let now = self.now;
        let Answer { number, what } = answer;
        let text = |kind: consentinel_core::RegistryFault| format!("Consul is {}", kind.as_str());
        self.hang_up(sentinel, number);
        let result = what.map_err(|kind| RegistryError { kind, text: text(kind) });
        if let Some(publisher) = &mut self.registrar(sentinel).publisher {
            publisher.handle_answer(now, number, result);
        }
        self.drain_registrar(sentinel);
    }

    fn drain_registrar(&mut self, sentinel: u16) {
        while let Some(output) = self.registrar(sentinel).publisher.as_mut().and_then(Publisher::poll_output)
        {
            match output {
                Output::Call(number, call) => self.send_ask(sentinel, Some(number), Question::Call(call)),
                Output::Cancel(number) => self.hang_up(sentinel, number),
                Output::Event(group, event) => {
                    let life = self.life_of(sentinel);
                    let bell = Box::new(Bell::Tell(group, event));
                    self.queue.push(self.now + CHANNEL, Event::RegistrarRings { sentinel, life, bell });
                }
                Output::Pretended(..) | Output::Stands(..) | Output::Outage(_) | Output::Recovered => {}
            }
        }
        self.set_alarm(sentinel);
    }

    fn set_alarm(&mut self, sentinel: u16) {
        let (now, life) = (self.now, self.life_of(sentinel));
        let registrar = self.registrar(sentinel);
        let deadline = registrar.publisher.as_ref().map_or(Time::NEVER, Publisher::poll_deadline);
        if deadline == Time::NEVER || registrar.alarm.is_some_and(|alarm| alarm <= deadline) {
            return;
        }
        registrar.alarm = Some(deadline);
        registrar.alarms += 1;
        let number = registrar.alarms;
        let Some(consul) = &mut self.consul else { return };
        // A timer rings a little late, and so never at the very moment at which one of the core's does.
        let at = deadline.max(now) + Duration::from_micros(1 + consul.rng.below(500));
        let bell = Box::new(Bell::Alarm(number));
        self.queue.push(at, Event::RegistrarRings { sentinel, life, bell });
    }

    fn send_ask(&mut self, from: u16, number: Option<publisher::CallId>, what: Question) {
        let (life, asked) = (self.life_of(from), self.now);
        self.ask_consul(Ask { from, life, number, asked, late: false, expired: false, what });
    }

    /// Its process is going to end in order: what it holds is given back. Nobody waits for the answer.
    pub(crate) fn registrar_stops(&mut self, sentinel: u16) {
        let session = self.registrar(sentinel).publisher.as_mut().and_then(Publisher::take_session);
        if let Some(session) = session.filter(|_| self.consul.is_some()) {
            self.send_ask(sentinel, None, Question::End(SessionId::parse(&session)));
        }
    }
}
