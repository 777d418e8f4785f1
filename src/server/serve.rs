//! The task of each connection: it reads, calls the owner of the core, and writes.

use super::outbox::Outbox;
use super::{End, Opened, Owner, Then, Turn};
use crate::net::stream::Stream;
use crate::net::wire::Writer;
use bytes::BytesMut;
use consentinel_core::ClientId;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// How long the core may take to answer before the connection is given up: the disk may be stuck.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Takes in whoever has connected, or refuses: the error is for the client to read.
pub(super) fn take_in(
    descriptor: i32,
    (peer, local): (End, End),
    id: ClientId,
    owner: &impl Owner,
) -> Result<Rc<Outbox>, &'static str> {
    let outbox = Rc::new(Outbox::default());
    outbox.set_descriptor(descriptor);
    owner.opened(Opened { id, peer, local, outbox: outbox.clone() })?;
    Ok(outbox)
}

/// Tells a client why it is not served, and closes the connection.
pub(super) async fn refuse(mut stream: Stream, text: &str) {
    let mut output = BytesMut::new();
    Writer::new(&mut output, false).error(text);
    // Nobody waits for it: what the system does not take now is not said.
    let _ = poll_fn(|cx| Poll::Ready(stream.poll_drain(cx, &mut output))).await;
}

/// Serves a connection that was taken in to its end.
pub(super) async fn serve(
    stream: Stream,
    outbox: Rc<Outbox>,
    id: ClientId,
    owner: impl Owner,
    timeout: Duration,
) {
    if let Err(text) = owner.ready(id) {
        return refuse(stream, text).await;
    }
    let mut connection =
        Connection { id, stream, outbox, owner, input: BytesMut::new(), output: BytesMut::new() };
    // Errors need no words: the client is gone.
    let _ = connection.run(timeout).await;
    connection.owner.closed(id);
}

struct Connection<O> {
    id: ClientId,
    stream: Stream,
    outbox: Rc<Outbox>,
    owner: O,
    /// What was read and not yet understood.
    input: BytesMut,
    /// Answers on their way.
    output: BytesMut,
}

impl<O: Owner> Connection<O> {
    /// Takes turns with the owner until one side has enough.
    async fn run(&mut self, timeout: Duration) -> io::Result<()> {
        let mut then = Then::Read;
        loop {
            let may_be_silent = timeout.is_zero() || then == Then::Listen;
            if then == Then::Again {
                self.owner.others_first().await;
            } else if may_be_silent {
                poll_fn(|cx| self.poll_read(cx)).await?;
            } else {
                tokio::time::timeout(timeout, poll_fn(|cx| self.poll_read(cx))).await??;
            }
            then = self.ask().await?;
            if let Then::Later(pause) = then {
                tokio::time::sleep(pause).await;
                then = Then::Again;
            }
            poll_fn(|cx| self.poll_write(cx)).await?;
            if then == Then::Close {
                return self.stream.shutdown().await;
            }
        }
    }

    /// Hands over what was read, and gets the answers.
    async fn ask(&mut self) -> io::Result<Then> {
        if self.output.capacity() == 0 {
            self.output = self.owner.buffers().take();
        }
        let (input, mut output) = (std::mem::take(&mut self.input), std::mem::take(&mut self.output));
        self.put_events_before(&mut output);
        let (turn, then) = match self.owner.turn(Turn { id: self.id, input, output }) {
            Some(answered) => answered,
            None => {
                let late = poll_fn(|cx| self.poll_answer(cx));
                let (mut turn, then) = tokio::time::timeout(MAX_WAIT, late).await??;
                self.put_events_before(&mut turn.output);
                (turn, then)
            }
        };
        (self.input, self.output) = (turn.input, turn.output);
        self.owner.buffers().give(&mut self.input);
        self.outbox.set_held(self.input.len(), self.output.len());
        Ok(then)
    }

    /// Of the first event that still waits the client may have a part: no answer may come in between.
    fn put_events_before(&self, output: &mut BytesMut) {
        let mut events = self.outbox.events();
        if !events.is_empty() {
            let mut all = std::mem::take(&mut *events);
            all.extend_from_slice(output);
            *output = all;
        }
    }

    /// Reads something; passes events on meanwhile.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.listen(cx)?;
        // What the client does not take now waits.
        let _ = self.poll_events(cx)?;
        self.stream.poll_fill(cx, &mut self.input, self.owner.buffers()).map_ok(|_| ())
    }

    /// Waits for the core; passes events on meanwhile.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(Turn, Then)>> {
        self.listen(cx)?;
        // What the client does not take now waits.
        let _ = self.poll_events(cx)?;
        self.outbox.take_answer().map_or(Poll::Pending, |answered| Poll::Ready(Ok(answered)))
    }

    /// Writes the answers, and the events that came since.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.listen(cx)?;
        let written = self.stream.poll_drain(cx, &mut self.output);
        self.outbox.set_held(self.input.len(), self.output.len());
        ready!(written)?;
        self.owner.buffers().give(&mut self.output);
        self.poll_events(cx)
    }

    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut events = self.outbox.events();
        ready!(self.stream.poll_drain(cx, &mut events))?;
        if events.capacity() > 0 {
            *events = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Wants to be woken by the owner; an error when that has given us up.
    fn listen(&self, cx: &Context<'_>) -> io::Result<()> {
        self.outbox.listen(cx);
        if self.outbox.is_given_up() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}
