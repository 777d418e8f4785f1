//! The main thread, from the first client to the last: signals, draining, and the hot restart.

use super::hot_restart::{Inheritance, Origin};
use super::http::{self, Handler};
use super::options::{Arguments, Outward};
use super::route_watch::{self, Phase, RouteSenders};
use super::worker::{self, Common};
use super::{Changes, follow};
use crate::config::Settings;
use crate::log;
use crate::process;
use consentinel_core::Role;
use consentinel_resolver::Resolver;
use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing::{info, warn};

/// Between two looks whether the last client has gone.
const LOOK: Duration = Duration::from_millis(20);

/// All that the main thread has.
pub(super) struct MainThread<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) origin: Origin,
    pub(super) inheritance: Inheritance,
    pub(super) settings: Settings,
    pub(super) common: Arc<Common>,
    pub(super) http: Option<TcpListener>,
    pub(super) outward: Option<Outward>,
    pub(super) resolver: Resolver,
}

/// The signals that are obeyed.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    reopen: Signal,
    renew: Signal,
}

/// Whether another process goes on in our place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Alone,
    Replaced,
}

/// What a signal wants.
enum Wish {
    End(&'static str),
    Reload,
    Renew,
}

impl MainThread<'_> {
    /// Runs until the last client has gone.
    pub(super) async fn run(mut self) -> io::Result<ExitCode> {
        let mut signals = Signals::new()?;
        let again = Arc::new(Notify::new());
        let doubt = {
            let (resolver, again) = (self.resolver.clone(), again.clone());
            move || {
                resolver.invalidate();
                again.notify_one();
            }
        };
        let (watch, senders) = route_watch::channels(doubt);
        let RouteSenders { master, replicas, phase } = senders;
        let changes = Changes::default();
        tokio::task::spawn_local(follow::master(
            self.resolver.clone(),
            master,
            changes.clone(),
            again.clone(),
        ));
        if self.common.sockets().iter().any(|socket| socket.role == Role::Replica) {
            tokio::task::spawn_local(follow::replicas(self.resolver.clone(), replicas, again));
        }
        worker::start(&self.common, &watch)?;
        let mut serving = None;
        if let Some(socket) = &self.http {
            let (common, name) = (self.common.clone(), self.resolver.name().to_owned());
            let handler = Rc::new(Handler { common, watch, name, changes });
            serving = Some(tokio::task::spawn_local(http::serve(http::listener(socket)?, handler)));
        }
        // systemd must know its new main process before the old one ends: otherwise it takes the unit for ended.
        process::ready(&self.settings);
        self.inheritance.ready()?;
        process::watchdog();
        info!("ready");
        if self.until_the_end(&mut signals).await == Ending::Replaced {
            // Only one of us answers there.
            self.http = None;
            serving.iter().for_each(tokio::task::JoinHandle::abort);
        }
        phase.send_replace(Phase::Drain);
        // Whoever comes now is refused, and does not wait for somebody who never lets him in.
        self.common.sockets().clear();
        self.drain(&mut signals).await;
        Ok(ExitCode::SUCCESS)
    }

    async fn until_the_end(&self, signals: &mut Signals) -> Ending {
        loop {
            match signals.next().await {
                Wish::Reload => self.reload(),
                Wish::Renew => match self.renew().await {
                    Ok(pid) => {
                        self.common.sockets().iter().for_each(super::sockets::Socket::give_away);
                        warn!("process {pid} has taken over");
                        return Ending::Replaced;
                    }
                    Err(why) => warn!("nobody takes over, all stays as it was: {why}"),
                },
                Wish::End(name) => {
                    warn!("received {name}: nobody is let in any more");
                    process::notify("STOPPING=1");
                    return Ending::Alone;
                }
            }
        }
    }

    /// Waits for the last client, but not for ever.
    async fn drain(&self, signals: &mut Signals) {
        let (drain, open) = (self.arguments.drain, self.common.open());
        if open > 0 {
            info!("{open} connections are open; they may stay for {} s", drain.as_secs_f64());
        }
        let deadline = Instant::now() + drain;
        let gone = async {
            while self.common.open() > 0 && Instant::now() < deadline {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::pin!(gone);
        loop {
            tokio::select! {
                () = &mut gone => break,
                wish = signals.next() => match wish {
                    Wish::End(name) => {
                        warn!("received {name} again");
                        break;
                    }
                    Wish::Reload => self.reload(),
                    Wish::Renew => {}
                },
            }
        }
        match self.common.open() {
            0 => info!("the last client has gone, bye"),
            open => warn!("{open} connections are ended with the process"),
        }
    }

    fn reload(&self) {
        let Some(outward) = &self.outward else { return };
        match outward.load() {
            Ok(asker) => {
                self.common.dialer.replace_tls(asker);
                info!("the certificates were read again; new connections use them");
            }
            Err(text) => warn!("the certificates stay as they were: {}", text.trim_end()),
        }
    }

    async fn renew(&self) -> Result<u32, String> {
        let http = self.http.iter().zip(self.arguments.http);
        let http = http.map(|(socket, address)| (http::label(address), std::os::fd::AsFd::as_fd(socket)));
        // Nothing else wants them meanwhile, but they need not be held until it is ready.
        let successor = {
            let sockets = self.common.sockets();
            let named = sockets.iter().map(|socket| (socket.label.clone(), socket.fd()));
            self.origin.start(&named.chain(http).collect::<Vec<_>>())?
        };
        successor.ready().await
    }
}

impl Signals {
    fn new() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            renew: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Wish {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Wish::End("SIGTERM"),
                _ = self.interrupt.recv() => return Wish::End("SIGINT"),
                _ = self.renew.recv() => return Wish::Renew,
                _ = self.reopen.recv() => log::reopen(),
                _ = self.hangup.recv() => {
                    log::reopen();
                    return Wish::Reload;
                }
            }
        }
    }
}
