//! A sentinel's registrar, as the daemon's behaves: for each group it does one thing at a time, in order.

use super::server::PATIENCE;
use super::state::{Keys, SessionId, TTL};
use super::wire::{Answer, Ask, Bell, Question, Told};
use crate::event::Event;
use crate::world::World;
use consentinel_core::{GroupName, Input, RegistryError, RegistryEvent, RegistryFault, RegistryRequest};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A registrar. Nothing of it outlives its process.
#[derive(Debug, Default)]
pub(crate) struct Registrar {
    awake: bool,
    session: Option<SessionId>,
    /// Whether a session has been asked for.
    beginning: bool,
    desks: BTreeMap<GroupName, Desk>,
    /// Whose answer is waited for.
    errands: BTreeMap<u64, Errand>,
    numbers: u64,
}

#[derive(Debug)]
enum Errand {
    Group(GroupName),
    Begin,
    Renew,
}

/// What it does for one group.
#[derive(Debug, Default)]
struct Desk {
    doing: Doing,
    /// Of the answer or bell that is waited for.
    number: u64,
    /// Whether the core wants to know of changes.
    watch: bool,
    /// The versions that it was last shown.
    shown: Option<(u64, u64)>,
    /// Whether the look under way answers a wish for the lock.
    owed: bool,
    waiting: VecDeque<RegistryRequest>,
}

#[derive(Debug, Default)]
enum Doing {
    #[default]
    Nothing,
    /// Something was in vain; the look waits for its time.
    Pausing,
    Keys,
    Listing(Keys),
    Watching {
        kv: u64,
        catalog: u64,
    },
    Writing,
    /// The lock has to wait for a session.
    WantingSession,
    Locking,
    Unlocking,
}

/// How long a blocking query waits before it is asked anew.
const WATCH: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Desk {
    /// Whether a request need not wait.
    fn is_free_for(&self, request: &RegistryRequest) -> bool {
        match self.doing {
            Doing::Nothing | Doing::Pausing | Doing::Watching { .. } => true,
            Doing::Keys | Doing::Listing(_) => matches!(request, RegistryRequest::Look { .. }) && !self.owed,
            _ => false,
        }
    }
}

impl Registrar {
    /// The session that it has, as far as it knows.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.session
    }
}

impl World {
    fn registrar(&mut self, sentinel: u16) -> &mut Registrar {
        &mut self.sentinel(sentinel).registrar
    }

    fn desk(&mut self, sentinel: u16, group: &GroupName) -> &mut Desk {
        let desks = &mut self.registrar(sentinel).desks;
        if !desks.contains_key(group) {
            desks.insert(group.clone(), Desk::default());
        }
        desks.get_mut(group).expect("it was put there just now")
    }

    /// The core wants something.
    pub(crate) fn registrar_asked(&mut self, sentinel: u16, group: &GroupName, request: RegistryRequest) {
        if self.consul.is_none() {
            return;
        }
        if !self.registrar(sentinel).awake {
            self.registrar(sentinel).awake = true;
            self.renewal_rings(sentinel);
        }
        if request == RegistryRequest::Forget {
            self.registrar(sentinel).desks.remove(group);
            self.send_ask(sentinel, None, Question::Unlock(group.clone()));
            return;
        }
        let desk = self.desk(sentinel, group);
        if desk.waiting.is_empty() && desk.is_free_for(&request) {
            return self.begin(sentinel, group, request);
        }
        if matches!(request, RegistryRequest::Look { .. }) {
            desk.waiting.retain(|waiting| !matches!(waiting, RegistryRequest::Look { .. }));
        }
        desk.waiting.push_back(request);
    }

    fn begin(&mut self, sentinel: u16, group: &GroupName, request: RegistryRequest) {
        let desk = self.desk(sentinel, group);
        match request {
            RegistryRequest::Look { tries } => {
                desk.watch = true;
                desk.owed = false;
                if tries == 0 {
                    return self.look(sentinel, group);
                }
                let Some(consul) = &mut self.consul else { return };
                let pause = (FIRST_PAUSE * (1 << (tries - 1).min(10))).min(LONGEST_PAUSE);
                let pause = pause / 2 + consul.rng.span(pause / 2);
                self.ring_group(sentinel, group, pause, Doing::Pausing);
            }
            RegistryRequest::Write(transaction) => {
                let question = Question::Write(group.clone(), transaction);
                self.go_on(sentinel, group, Doing::Writing, question);
            }
            RegistryRequest::Lock if self.registrar(sentinel).session.is_none() => {
                self.desk(sentinel, group).doing = Doing::WantingSession;
                self.begin_session(sentinel);
            }
            RegistryRequest::Lock => {
                self.go_on(sentinel, group, Doing::Locking, Question::Lock(group.clone()))
            }
            RegistryRequest::Unlock => {
                self.go_on(sentinel, group, Doing::Unlocking, Question::Unlock(group.clone()));
            }
            RegistryRequest::Forget => {}
        }
    }

    fn look(&mut self, sentinel: u16, group: &GroupName) {
        self.go_on(sentinel, group, Doing::Keys, Question::Keys(group.clone()));
    }

    /// The next request of a group that had to wait; else the watch goes on, if there is one.
    fn next(&mut self, sentinel: u16, group: &GroupName) {
        let desk = self.desk(sentinel, group);
        match (desk.waiting.pop_front(), desk.shown) {
            (Some(request), _) => self.begin(sentinel, group, request),
            (None, Some((kv, catalog))) if desk.watch => self.watch(sentinel, group, kv, catalog),
            (None, None) if desk.watch => self.look(sentinel, group),
            (None, _) => {}
        }
    }

    /// Asks something for a group, and waits for the answer to that alone.
    fn go_on(&mut self, sentinel: u16, group: &GroupName, doing: Doing, question: Question) {
        let number = self.send_ask(sentinel, Some(Errand::Group(group.clone())), question);
        let desk = self.desk(sentinel, group);
        desk.doing = doing;
        desk.number = number;
    }

    fn send_ask(&mut self, sentinel: u16, errand: Option<Errand>, what: Question) -> u64 {
        let life = self.life_of(sentinel);
        let registrar = self.registrar(sentinel);
        registrar.numbers += 1;
        let number = registrar.numbers;
        if let Some(errand) = errand {
            registrar.errands.insert(number, errand);
        }
        let session = registrar.session;
        let asked = self.now;
        self.ask_consul(Ask { from: sentinel, life, number, asked, late: false, session, what });
        number
    }

    fn ring_group(&mut self, sentinel: u16, group: &GroupName, after: Duration, doing: Doing) {
        let registrar = self.registrar(sentinel);
        registrar.numbers += 1;
        let number = registrar.numbers;
        let desk = self.desk(sentinel, group);
        desk.doing = doing;
        desk.number = number;
        self.ring(sentinel, after, Bell::Group(group.clone(), number));
    }

    fn ring(&mut self, sentinel: u16, after: Duration, bell: Bell) {
        let life = self.life_of(sentinel);
        self.queue.push(self.now + after, Event::RegistrarRings { sentinel, life, bell: Box::new(bell) });
    }

    /// Time has passed that it waited for.
    pub(crate) fn registrar_rings(&mut self, sentinel: u16, bell: Bell) {
        let Bell::Group(group, number) = bell else { return self.renewal_rings(sentinel) };
        let Some(desk) = self.registrar(sentinel).desks.get_mut(&group) else { return };
        if desk.number != number {
            return;
        }
        match desk.doing {
            Doing::Pausing => self.look(sentinel, &group),
            Doing::Watching { kv, catalog } => self.watch(sentinel, &group, kv, catalog),
            _ => {}
        }
    }

    fn watch(&mut self, sentinel: u16, group: &GroupName, kv: u64, catalog: u64) {
        let question = Question::Watch { group: group.clone(), kv, catalog };
        self.go_on(sentinel, group, Doing::Watching { kv, catalog }, question);
        let number = self.desk(sentinel, group).number;
        self.ring(sentinel, WATCH, Bell::Group(group.clone(), number));
    }

    /// An answer reaches it.
    pub(crate) fn registrar_hears(&mut self, sentinel: u16, answer: Answer) {
        let Some(errand) = self.registrar(sentinel).errands.remove(&answer.number) else { return };
        match errand {
            Errand::Begin => self.session_answered(sentinel, answer.what),
            Errand::Renew => {
                if let Ok(Told::NoSession) = answer.what {
                    self.registrar(sentinel).session = None;
                    self.begin_session(sentinel);
                }
            }
            Errand::Group(group) => {
                let current = self.registrar(sentinel).desks.get(&group).map(|desk| desk.number);
                if current == Some(answer.number) {
                    self.group_answered(sentinel, &group, answer.what);
                }
            }
        }
    }

    fn group_answered(&mut self, sentinel: u16, group: &GroupName, what: Result<Told, RegistryFault>) {
        let desk = self.desk(sentinel, group);
        let doing = std::mem::take(&mut desk.doing);
        match (doing, what) {
            (Doing::Keys, Ok(Told::Keys(keys))) => {
                self.go_on(sentinel, group, Doing::Listing(keys), Question::Listing(group.clone()));
            }
            (Doing::Listing(keys), Ok(Told::Listing(listing))) => {
                desk.owed = false;
                desk.shown = Some((keys.index, listing.index));
                self.next(sentinel, group);
                self.tell_core(sentinel, group, RegistryEvent::Seen(Box::new(keys.with(listing))));
            }
            (Doing::Watching { .. }, Ok(_)) => self.look(sentinel, group),
            (Doing::Writing, Ok(told)) => {
                self.next(sentinel, group);
                let event = match told {
                    Told::Written(fence) => RegistryEvent::Written(fence),
                    _ => RegistryEvent::Stale,
                };
                self.tell_core(sentinel, group, event);
            }
            (Doing::Locking, Ok(told)) => {
                if let Told::NoSession = told {
                    self.registrar(sentinel).session = None;
                    self.begin_session(sentinel);
                }
                self.desk(sentinel, group).owed = true;
                self.look(sentinel, group);
            }
            (Doing::Unlocking, Ok(_)) => self.next(sentinel, group),
            (_, Err(fault)) => self.give_up(sentinel, group, fault),
            (_, Ok(_)) => self.next(sentinel, group),
        }
    }

    fn give_up(&mut self, sentinel: u16, group: &GroupName, kind: RegistryFault) {
        let desk = self.desk(sentinel, group);
        desk.doing = Doing::Nothing;
        desk.watch = false;
        desk.owed = false;
        self.next(sentinel, group);
        let text = format!("Consul is {}", kind.as_str());
        self.tell_core(sentinel, group, RegistryEvent::Failed(RegistryError { kind, text }));
    }

    fn tell_core(&mut self, sentinel: u16, group: &GroupName, event: RegistryEvent) {
        self.feed(sentinel, Input::Registry { group: group.clone(), event });
    }

    fn begin_session(&mut self, sentinel: u16) {
        let registrar = self.registrar(sentinel);
        if !registrar.beginning {
            registrar.beginning = true;
            self.send_ask(sentinel, Some(Errand::Begin), Question::Begin);
        }
    }

    fn session_answered(&mut self, sentinel: u16, what: Result<Told, RegistryFault>) {
        let registrar = self.registrar(sentinel);
        registrar.beginning = false;
        let waits = |desk: &Desk| matches!(desk.doing, Doing::WantingSession);
        let waiting: Vec<GroupName> =
            registrar.desks.iter().filter(|(_, desk)| waits(desk)).map(|(group, _)| group.clone()).collect();
        if let Ok(Told::Session(session)) = what {
            registrar.session = Some(session);
        }
        for group in waiting {
            match &what {
                Err(fault) => self.give_up(sentinel, &group, *fault),
                Ok(_) => self.begin(sentinel, &group, RegistryRequest::Lock),
            }
        }
    }

    /// Every third of its life a session is renewed; when there is none, it is asked for.
    fn renewal_rings(&mut self, sentinel: u16) {
        match self.registrar(sentinel).session {
            Some(_) => {
                self.send_ask(sentinel, Some(Errand::Renew), Question::Renew);
            }
            None => self.begin_session(sentinel),
        }
        self.ring(sentinel, TTL / 3, Bell::Renewal);
    }

    /// Its process is going to end in order: what it holds is given back. Nobody waits for the answer.
    pub(crate) fn registrar_stops(&mut self, sentinel: u16) {
        if self.consul.is_some() && self.registrar(sentinel).session.is_some() {
            self.send_ask(sentinel, None, Question::End);
        }
    }
}

/// Nobody is kept waiting for longer than it takes to renew a session in time.
const _: () = assert!(PATIENCE.as_millis() < TTL.as_millis() / 3);
