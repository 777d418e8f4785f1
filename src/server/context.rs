//! What a command works with, and what follows from it.

use super::connected::Client;
use super::service::Server;
use super::table;
use crate::catalogue::Command;
use crate::clock;
use crate::net::wire::{Args, Writer};
use crate::server::acl::{Entry, Reason};
use consentinel_core::{ClientId, Hello, Request, Sentinel};

/// What a command works with.
pub(super) struct Context<'a> {
    pub(super) sentinel: &'a Sentinel,
    pub(super) server: &'a mut Server,
    pub(super) id: ClientId,
    pub(super) out: Writer<'a>,
}

/// What follows from a command.
pub(super) enum Outcome {
    /// It is answered.
    Answered,
    /// It was an error, and is answered.
    Failed,
    /// It is answered, also to a client that wants no answers: what was written is no answer, but a message.
    Pushed,
    /// The core must answer.
    Ask(Request),
    /// It is answered; the core must hear of this.
    Tell(Hello),
    /// It is answered, and the connection ends.
    Close,
    /// The process ends.
    Shutdown,
}

impl Context<'_> {
    /// Carries out a command.
    pub(super) fn run(&mut self, args: &Args<'_>) -> Outcome {
        if args.is_empty() { Outcome::Answered } else { table::run(self, args) }
    }

    /// The client whose turn it is.
    pub(super) fn client(&mut self) -> &mut Client {
        self.server.clients.get_mut(&self.id).expect("a client stays while its turn lasts")
    }

    /// Answers with an error.
    pub(super) fn fail(&mut self, text: impl AsRef<[u8]>) -> Outcome {
        self.out.error(text);
        Outcome::Failed
    }

    /// Answers that a command has other words.
    pub(super) fn wrong_arity(&mut self, command: &Command) -> Outcome {
        self.fail(format!("ERR wrong number of arguments for '{}' command", command.full_name))
    }

    /// Answers that a subcommand has other words, where its arity does not say so.
    pub(super) fn wrong_subcommand(&mut self, args: &Args<'_>) -> Outcome {
        let upper = args[0].to_ascii_uppercase();
        let head = b"ERR unknown subcommand or wrong number of arguments for '";
        self.fail([head, args[1].short(), b"'. Try ", upper.as_bytes(), b" HELP."].concat())
    }

    /// Closes connections; one's own when what was said so far is written.
    pub(super) fn close_all(&mut self, ids: &[ClientId]) -> Outcome {
        for id in ids.iter().filter(|id| **id != self.id) {
            self.server.handle_closed(*id);
        }
        if ids.contains(&self.id) { Outcome::Close } else { Outcome::Answered }
    }

    /// Remembers that the client's user was denied something.
    pub(super) fn log_denial(&mut self, reason: Reason, object: &[u8]) {
        let user = self.client().user;
        let name = self.server.acl.name(user).to_vec();
        self.log_denial_of(reason, object, &name);
    }

    /// Remembers that somebody was denied something.
    pub(super) fn log_denial_of(&mut self, reason: Reason, object: &[u8], user: &[u8]) {
        let client = super::client::describe(self.server, self.id).unwrap_or_default();
        let client = client.trim_end().into();
        let (object, user) = (object.to_vec(), user.to_vec());
        self.server.acl.log.add(Entry { count: 1, reason, object, user, at: clock::now(), client });
    }
}
