//! One client, from its first moment to its last.

use super::counters::{Entered, Held, Refusal, count};
use super::dial::DialError;
use super::pump::{End, Pump};
use super::route::Route;
use super::thread_routes::ThreadRoutes;
use super::worker::CheckRole;
use crate::net::stream::Stream;
use consentinel_core::Role;
use consentinel_resolver::shared::Backoff;
use socket2::SockRef;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::debug;

/// Clients that are told at a time why they are sent away, and how long that may take.
const FAREWELLS: usize = 256;
const FAREWELL: Duration = Duration::from_millis(500);

/// Between two tries to reach a server that is named and does not answer.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));

/// Serves a client.
pub(super) async fn run(
    client: Stream,
    entered: Entered,
    routes: Rc<ThreadRoutes>,
    farewells: Rc<Cell<usize>>,
) {
    let begin = Instant::now();
    // What that takes is given back before the connection may be idle for days.
    let led = Box::pin(lead(&routes, entered.role)).await;
    let (server, route) = match led {
        Ok(led) => led,
        Err((refusal, why)) => {
            count(&routes.counters.refused[refusal as usize]);
            return turn_away(client, &why, &farewells);
        }
    };
    routes.counters.lead.add(begin.elapsed());
    let mut pump = Pump::new(client, server, route.clone(), routes.buffer.clone(), routes.counters.clone());
    let end = std::future::poll_fn(|cx| pump.poll(cx)).await;
    let (client, server) = pump.into_ends();
    match end {
        End::Client => {}
        End::Server(error) => {
            // It may be the first that is seen of a failover.
            routes.doubt();
            match error {
                Some(error) => debug!("{} was lost: {error}", route.addr),
                // What it said last may still be on its way to the client.
                None => say(client, Vec::new(), &farewells),
            }
        }
        End::Cut(why) => {
            count(&routes.counters.cut[why as usize]);
            // What it has not taken yet it must not take later, when it goes on and does not know better.
            let _ = SockRef::from(&server.as_fd()).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Finds the server, within the time that a client may be held.
async fn lead(routes: &ThreadRoutes, wanted: Role) -> Result<(Stream, Rc<Route>), (Refusal, String)> {
    let limits = &routes.common.limits;
    let deadline = Instant::now() + limits.hold;
    let (mut held, mut tried, mut pauses) = (None, Vec::new(), Backoff::new(PAUSES.0, PAUSES.1));
    loop {
        let changed = routes.changed();
        let why = match routes.way(wanted, &tried) {
            Ok((route, role)) => match route.unless_cut(dial(routes, &route, role)).await {
                Ok(Ok(stream)) => return Ok((stream, route)),
                Ok(Err(error)) => {
                    route.verified.set(false);
                    count(&routes.counters.failed);
                    routes.doubt();
                    tried.push(route.addr);
                    let why = format!("the {} {} {error}", role.name(), route.addr);
                    debug!("{why}");
                    // Another one may be there at once.
                    if wanted == Role::Replica
                        && routes.way(wanted, &tried).is_ok_and(|(_, role)| role == wanted)
                    {
                        continue;
                    }
                    why
                }
                // There is somebody else, or nobody: that is seen now.
                Err(_) => continue,
            },
            Err(why) => why.to_string(),
        };
        tried.clear();
        let now = Instant::now();
        if now >= deadline {
            return Err((Refusal::NoServer, format!("no {}: {why}", wanted.name())));
        }
        if held.is_none() {
            if routes.common.held() >= limits.held {
                let text = format!("no {}, and too many wait already: {why}", wanted.name());
                return Err((Refusal::TooManyHeld, text));
            }
            held = Some(Held::new(&routes.counters));
        }
        let pause = pauses.pause();
        let until = match routes.way(wanted, &[]) {
            Ok(_) => deadline.min(now + pause),
            Err(_) => deadline,
        };
        // Either is reason to look again.
        let _ = tokio::time::timeout_at(until.into(), changed).await;
    }
}

async fn dial(routes: &ThreadRoutes, route: &Route, role: Role) -> Result<Stream, DialError> {
    let dialer = &routes.common.dialer;
    let mut stream = dialer.dial(route.addr).await?;
    let check = match routes.common.limits.check_role {
        CheckRole::Always => true,
        CheckRole::New => !route.verified.get(),
        CheckRole::Never => false,
    };
    if check {
        if !dialer.verify(&mut stream, role).await? {
            count(&routes.counters.unverified);
            if !route.verified.get() {
                debug!("{} does not tell its role without a password: it is believed", route.addr);
            }
        }
        route.verified.set(true);
    }
    Ok(stream)
}

/// Sends a client away with an error as Redis has it.
pub(super) fn turn_away(client: Stream, why: &str, farewells: &Rc<Cell<usize>>) {
    let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    say(client, format!("-ERR consentinel: {why}\r\n").into_bytes(), farewells);
}

/// Says a last word, and lets the client read it: what was sent and not read would undo that.
fn say(mut client: Stream, bytes: Vec<u8>, farewells: &Rc<Cell<usize>>) {
    if farewells.get() >= FAREWELLS {
        // Too many even for that: they see a connection that ends.
        return;
    }
    let farewells = farewells.clone();
    farewells.set(farewells.get() + 1);
    tokio::task::spawn_local(async move {
        let farewell = async {
            client.write_all(&bytes).await?;
            client.shutdown().await?;
            let mut rest = [0; 1024];
            while client.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        farewells.set(farewells.get() - 1);
    });
}
