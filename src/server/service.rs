//! What the loop knows of its clients, and the turn of one of them.

use super::connected::{Client, Lifeline, Replies};
use super::context::{Context, Outcome};
use super::guesses::Guesses;
use super::stats::Stats;
use super::tracking::Tracking;
use super::{End, Opened, Then, Turn};
use crate::catalogue::{Command, catalogue};
use crate::clock;
use crate::config::Settings;
use crate::dns::{DnsSettings, DnsViewBuilder};
use crate::log::LogLevel;
use crate::net::numbered::Numbered;
use crate::net::wire::{self, Writer};
use crate::registrar::{ConsulSettings, Gauge, NameError};
use crate::server::acl::{Acl, AclError, DEFAULT};
use crate::server::pubsub::Subscriptions;
use crate::status::meters::Tally;
use crate::status::{History, Scene};
use bytes::Buf;
use consentinel_core::{ClientId, GroupName, Hello, Level, Request, Response, Sentinel, Time};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// When so much was read and answered in one turn, the rest gets another one: others come in between, those above all
/// on whom a failover depends.
const FAIR_SHARE: usize = 16 << 10;

/// All that inbound connections share.
pub(crate) struct Server {
    /// The configuration of the driver.
    pub(super) settings: Settings,
    /// Who we are.
    pub(super) identity: Identity,
    /// The log's level.
    pub(super) log_level: LogLevel,
    /// The clients.
    pub(super) clients: Numbered<ClientId, Client>,
    /// What they have subscribed to.
    pub(super) subscriptions: Subscriptions,
    /// What INFO counts.
    pub(super) stats: Stats,
    /// What has happened.
    pub(crate) history: History,
    /// How Consul is reached and how it answers; nothing when nothing is published.
    pub(super) consul: Option<Gauge>,
    /// What DNS answers.
    dns_views: DnsViewBuilder,
    /// Who may log in and what they may do.
    pub(super) acl: Acl,
    /// Who has tried with a wrong password.
    guesses: Guesses,
    /// How long what was answered in this turn waits for that.
    guess_wait: Duration,
    /// Hears of the users when they have changed.
    on_users: Option<OnUsers>,
    /// Hears of the log's level when it has.
    on_log_level: Option<Box<dyn Fn(Level)>>,
}

/// What is done when the users have changed: it gets the configuration's lines that make them.
pub(crate) type OnUsers = Box<dyn Fn(Vec<String>)>;

/// What INFO says about the process.
pub(crate) struct Identity {
    /// Forty digits, others at every start.
    pub(crate) run_id: String,
    /// When it started.
    pub(crate) started: Time,
    /// The configuration file.
    pub(crate) config_file: PathBuf,
}

/// Where a turn has come to.
pub(crate) enum Step {
    /// Nothing more can be understood.
    Over(Then),
    /// The core must answer before it goes on.
    Ask(Request),
    /// The core must hear of this before it goes on.
    Tell(Hello),
    /// The process ends.
    Shutdown,
}

impl Server {
    /// A server without clients.
    pub(crate) fn new(
        settings: Settings,
        identity: Identity,
        log_level: LogLevel,
        consul: Option<Gauge>,
    ) -> Result<Self, AclError> {
        Ok(Server {
            acl: Acl::new(&settings)?,
            guesses: Guesses::default(),
            guess_wait: Duration::ZERO,
            on_users: None,
            on_log_level: None,
            settings,
            identity,
            log_level,
            clients: Numbered::default(),
            subscriptions: Subscriptions::default(),
            stats: Stats::default(),
            history: History::new(consul.as_ref().is_some_and(|gauge| !gauge.settings.dry_run)),
            consul,
            dns_views: DnsViewBuilder::new(ConsulSettings::default(), DnsSettings::default()),
        })
    }

    /// What a picture shows besides the core's state.
    pub(crate) fn scene(&self) -> Scene<'_> {
        Scene { started: self.identity.started, consul: self.consul.as_ref(), dns_views: &self.dns_views }
    }

    /// Why a master of this name cannot be published beside those that are watched: the next start would refuse it.
    pub(super) fn refuses_name(&self, sentinel: &Sentinel, group: &GroupName) -> Option<NameError> {
        let registry = &sentinel.config().registry;
        if !registry.on && !registry.dns {
            return None;
        }
        let beside = self.dns_views.refuses(group, sentinel.group_names());
        beside.err().or_else(|| self.consul.as_ref()?.refuses(group))
    }

    /// Who says from now on what DNS answers.
    pub(crate) fn set_dns_views(&mut self, dns_views: DnsViewBuilder) {
        self.dns_views = dns_views;
    }

    /// What was counted of clients and what they ask.
    pub(crate) fn tally(&self) -> Tally {
        let stats = &self.stats;
        Tally {
            clients: self.clients.len(),
            most_clients: self.settings.maxclients,
            connections: stats.connections,
            refused: stats.refused,
            commands: stats.commands,
            errors: stats.errors,
            input: stats.input,
            output: stats.output,
            failovers: self.history.counts(),
            consul: self.consul.as_ref().map(|gauge| Arc::new(gauge.counters())),
            dns: None,
        }
    }

    /// What to do from now on when users have changed.
    pub(crate) fn on_users(&mut self, hear: OnUsers) {
        self.on_users = Some(hear);
    }

    /// What to do from now on when the log's level has changed.
    pub(crate) fn on_log_level(&mut self, hear: Box<dyn Fn(Level)>) {
        self.on_log_level = Some(hear);
    }

    /// Logs as much as this from now on.
    pub(super) fn set_log_level(&self, level: Level) {
        self.log_level.set(level);
        if let Some(hear) = &self.on_log_level {
            hear(level);
        }
    }

    /// The command that a client means by this name, which the configuration may have changed or taken away.
    pub(super) fn command(&self, name: &str) -> Option<&'static Command> {
        let renames = &self.settings.renamed_commands;
        let renamed = renames.iter().rfind(|(_, to)| !to.is_empty() && to.eq_ignore_ascii_case(name));
        match renamed {
            Some((from, _)) => catalogue().command(from),
            None if renames.iter().any(|(from, _)| from.eq_ignore_ascii_case(name)) => None,
            None => catalogue().command(name),
        }
    }

    /// The same for a full name: `client|list`.
    pub(super) fn command_in_full(&self, name: &str) -> Option<&'static Command> {
        match name.split_once('|') {
            None => self.command(name),
            Some((first, second)) => catalogue().subcommand(self.command(first)?, second),
        }
    }

    /// Whether the configuration has left a command there, under whatever name.
    pub(super) fn has(&self, command: &Command) -> bool {
        let first = command.full_name.split('|').next().unwrap_or_default();
        let mut removed = self.settings.renamed_commands.iter().filter(|(_, to)| to.is_empty());
        !removed.any(|(from, _)| from.eq_ignore_ascii_case(first))
    }

    /// Tells of the users as they are now.
    pub(super) fn users_changed(&self) {
        if let (Some(hear), Some(lines)) = (&self.on_users, self.acl.lines()) {
            hear(lines);
        }
    }

    /// Takes a connection in, or refuses it: the error is for it to read. It counts before anything was said, so that
    /// nobody can hold more connections by never shaking hands.
    pub(crate) fn handle_opened(&mut self, opened: Opened) -> Result<(), &'static str> {
        self.stats.connections += 1;
        if self.clients.len() >= self.settings.maxclients {
            self.stats.refused += 1;
            return Err("ERR max number of clients reached");
        }
        let now = clock::now();
        let Opened { id, peer, local, outbox } = opened;
        let client = Client {
            peer,
            local,
            name: String::new(),
            library: Default::default(),
            resp3: false,
            user: DEFAULT,
            authenticated: self.acl.is_open(),
            no_evict: false,
            replies: Replies::On,
            tracking: Tracking::default(),
            since: now,
            last: now,
            last_command: None,
            waiting: None,
            outbox: Lifeline(outbox),
        };
        self.clients.insert(id, client);
        Ok(())
    }

    /// A connection that was taken in can be spoken to: over TLS only after the handshake. In protected mode strangers get
    /// no further than here.
    pub(crate) fn handle_ready(&mut self, id: ClientId) -> Result<(), &'static str> {
        let stranger = self.clients.get(&id).is_some_and(|client| !client.peer.is_local());
        if stranger && self.settings.protected_mode && self.acl.default_needs_no_password() {
            self.stats.refused += 1;
            self.handle_closed(id);
            return Err(PROTECTED);
        }
        Ok(())
    }

    /// Drops a connection.
    pub(crate) fn handle_closed(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.subscriptions.forget(id);
    }

    /// Understands and answers commands until none is left, or the core is needed.
    pub(crate) fn serve(&mut self, sentinel: &Sentinel, turn: &mut Turn) -> Step {
        let (now, before) = (clock::now(), turn.output.len());
        self.stats.tick(now);
        let step = self.serve_all(sentinel, turn, now);
        let written = turn.output.len() - before;
        self.stats.reads += 1;
        self.stats.writes += u64::from(written > 0);
        self.stats.output += written as u64;
        step
    }

    fn serve_all(&mut self, sentinel: &Sentinel, turn: &mut Turn, now: Time) -> Step {
        let mut done = 0;
        loop {
            if done > FAIR_SHARE {
                return Step::Over(Then::Again);
            }
            let Some(client) = self.clients.get_mut(&turn.id) else { return Step::Over(Then::Close) };
            client.last = now;
            let (resp3, before) = (client.resp3, turn.output.len());
            let stranger = !client.authenticated && !self.acl.is_open();
            let out = Writer::new(&mut turn.output, resp3);
            let mut cx = Context { sentinel, server: self, id: turn.id, out };
            let (outcome, length) = match wire::command(&turn.input, stranger) {
                Ok(None) => {
                    let listens = self.subscriptions.count(turn.id) > 0;
                    return Step::Over(if listens { Then::Listen } else { Then::Read });
                }
                Ok(Some((words, length))) => (cx.run(&words), length),
                Err(_) if cx.client().replies.muted() => return Step::Over(Then::Close),
                Err(broken) => {
                    cx.out.error(format!("ERR Protocol error: {broken}"));
                    return Step::Over(Then::Close);
                }
            };
            turn.input.advance(length);
            self.stats.input += length as u64;
            // What is computed for somebody who does not want to hear it counts, too.
            done += length + turn.output.len() - before;
            let waits = matches!(outcome, Outcome::Ask(_));
            if !waits && self.mutes(turn.id) && !matches!(outcome, Outcome::Pushed) {
                turn.output.truncate(before);
            }
            match outcome {
                Outcome::Answered | Outcome::Pushed => {}
                Outcome::Failed => self.stats.errors += 1,
                Outcome::Ask(request) => return Step::Ask(request),
                Outcome::Tell(hello) => return Step::Tell(hello),
                Outcome::Close => return Step::Over(Then::Close),
                Outcome::Shutdown => return Step::Shutdown,
            }
            let wait = std::mem::take(&mut self.guess_wait);
            if !wait.is_zero() {
                return Step::Over(Then::Later(wait));
            }
        }
    }

    /// A client has given a wrong password.
    pub(super) fn note_guess(&mut self, id: ClientId) {
        let Some(End::Ip(peer)) = self.clients.get(&id).map(|client| &client.peer) else { return };
        let ip = peer.ip();
        let guess = self.guesses.add(ip, clock::now());
        self.guess_wait = guess.wait;
        if let Some(count) = guess.news {
            warn!(
                "{count} wrong passwords from {ip}: their answers are held back; look who that is (ACL LOG), and bind or a \
                 firewall keep it away"
            );
        }
    }

    /// Whether the client does not want the answer to the command that has just been carried out.
    fn mutes(&mut self, id: ClientId) -> bool {
        let Some(client) = self.clients.get_mut(&id) else { return false };
        let muted = client.replies.muted();
        client.replies = client.replies.next();
        muted
    }

    /// Writes what the core answered.
    pub(crate) fn answer(&mut self, turn: &mut Turn, response: &Response) {
        let resp3 = self.clients.get(&turn.id).is_some_and(|client| client.resp3);
        if let Some(client) = self.clients.get(&turn.id) {
            // What the client has set off, and listens to, it hears first.
            turn.output.unsplit(client.outbox.0.events().split());
        }
        if self.mutes(turn.id) {
            return;
        }
        let before = turn.output.len();
        let mut out = Writer::new(&mut turn.output, resp3);
        match response {
            Response::Ok => out.ok(),
            Response::Count(count) => out.integer(i64::try_from(*count).unwrap_or(i64::MAX)),
            Response::Down { down, leader, epoch } => {
                out.array(3);
                out.integer(i64::from(*down));
                out.bulk(leader.as_ref().map_or("*", |id| id.as_str()));
                out.integer(i64::try_from(epoch.0).unwrap_or(i64::MAX));
            }
            Response::Refused(refusal) => {
                self.stats.errors += 1;
                out.error(refusal.to_string());
            }
        }
        self.stats.output += (turn.output.len() - before) as u64;
    }

    /// Keeps a turn until the core has answered. What was answered before does not wait, nor do events overtake it.
    pub(crate) fn park(&mut self, mut turn: Turn) {
        if let Some(client) = self.clients.get_mut(&turn.id) {
            let mut said = std::mem::take(&mut turn.output);
            let mut events = client.outbox.0.events();
            said.unsplit(std::mem::take(&mut *events));
            *events = said;
            drop(events);
            client.waiting = Some(turn);
        }
    }

    /// The turn that waits for an answer of the core, if its client is still there.
    pub(crate) fn unpark(&mut self, id: ClientId) -> Option<Turn> {
        self.clients.get_mut(&id)?.waiting.take()
    }

    /// Gives a turn that has waited back to its connection.
    pub(crate) fn deliver(&mut self, turn: Turn, then: Then) {
        if let Some(client) = self.clients.get(&turn.id) {
            client.outbox.0.answer(turn, then);
        }
    }

    /// Tells everybody who has subscribed.
    pub(crate) fn publish(&mut self, channel: &str, payload: &str) {
        let (mut written, mut slow) = (0, Vec::new());
        self.subscriptions.each(channel, |id, pattern| {
            let Some(client) = self.clients.get(&id) else { return };
            let kept_up = client.outbox.0.event(|events| {
                let before = events.len();
                let mut out = Writer::new(events, client.resp3);
                out.push(if pattern.is_some() { 4 } else { 3 });
                match pattern {
                    Some(pattern) => {
                        out.bulk("pmessage");
                        out.bulk(pattern);
                    }
                    None => out.bulk("message"),
                }
                out.bulk(channel);
                out.bulk(payload);
                written += (events.len() - before) as u64;
            });
            if !kept_up {
                slow.push(id);
            }
        });
        self.stats.output += written;
        for id in slow {
            tracing::warn!("client {id} is closed: it does not read fast enough");
            self.handle_closed(id);
        }
    }
}

const PROTECTED: &str = "DENIED Redis is running in protected mode because protected mode is enabled and no password \
is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
connect from external computers, you may adopt one of the following solutions: 1) set 'protected-mode no' in the \
configuration file and restart; 2) set a password with 'requirepass' and restart.";
