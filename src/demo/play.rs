//! The performance: sees, shows, and does what the keys or `--auto` say.

use super::auto::{Auto, Order};
use super::ledger::Audit;
use super::pen::Look;
use super::scene::{Cast, Scene};
use super::stage::{COUNT, Hand, Stage};
use super::terminal::{Keys, Screen};
use super::timeline::Cause;
use super::view::{self, Paper};
use super::watch::{self, Eyes, Pace, Sight};
use super::writer::{self, Writer};
use super::{End, Signals, story};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::MissedTickBehavior;

/// Between two looks at what is to be drawn or done.
const TICK: Duration = Duration::from_millis(50);

/// How long the first look at everybody may take.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// How long replicas may take to have everything once nobody writes any more.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Where it is shown.
#[derive(Debug)]
enum Show {
    /// On a screen.
    Screen(Screen, Look),
    /// Line by line; so many are told.
    Lines(usize),
}

/// A performance.
pub(super) struct Play<'a> {
    stage: &'a mut Stage,
    /// What is seen so far.
    pub(super) scene: Scene,
    show: Show,
    auto: Option<Auto>,
    pace: Pace,
    resting: Rc<Cell<bool>>,
    sights: UnboundedReceiver<Sight>,
    tasks: Vec<AbortHandle>,
    audited: usize,
}

impl<'a> Play<'a> {
    /// Begins: the writer writes, and everybody is watched.
    pub(super) fn new(stage: &'a mut Stage, scene: Scene, on_screen: bool, auto: Option<Auto>) -> Self {
        let (sender, sights) = unbounded_channel();
        let (pace, resting) = (Pace::default(), Rc::new(Cell::new(false)));
        let eyes = Eyes::new(sender, pace.clone());
        let mut tasks = vec![
            spawn_local(eyes.clone().watch_dns(stage.dns())).abort_handle(),
            spawn_local(Writer::new(stage.dns(), eyes.clone(), resting.clone()).run()).abort_handle(),
        ];
        for number in 0..COUNT {
            let Cast { servers, daemons, .. } = &scene.cast;
            tasks.push(spawn_local(eyes.clone().watch_server(number, servers[number])).abort_handle());
            tasks.push(spawn_local(eyes.clone().watch_daemon(number, daemons[number])).abort_handle());
            tasks.push(spawn_local(eyes.clone().listen(number, daemons[number])).abort_handle());
        }
        let screen = if on_screen { Screen::enter() } else { None };
        stage.on_screen(screen.is_some());
        let show = match screen {
            Some(screen) => Show::Screen(screen, Look::from_environment()),
            None => Show::Lines(0),
        };
        Play { stage, scene, show, auto, pace, resting, sights, tasks, audited: 0 }
    }

    /// Plays until somebody ends it.
    pub(super) async fn run(
        &mut self,
        keys: &mut Option<Keys>,
        signals: &mut Signals,
    ) -> Result<End, String> {
        let end = self.play(keys, signals).await?;
        if self.auto.is_none() && self.scene.under_way().is_none() {
            self.audit().await;
        }
        Ok(end)
    }

    async fn play(&mut self, keys: &mut Option<Keys>, signals: &mut Signals) -> Result<End, String> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (from, mut complete) = (Instant::now(), false);
        loop {
            tokio::select! {
                biased;
                signal = signals.recv() => return Ok(End::Signal(signal)),
                Some(sight) = self.sights.recv() => self.scene.handle(sight),
                key = next_key(keys) => {
                    if let Some(end) = self.on_key(key).await {
                        return Ok(end);
                    }
                }
                _ = ticks.tick() => {
                    self.stage.look_after()?;
                    self.on_settled().await;
                    let order = self.auto.as_mut().and_then(|auto| auto.poll(&self.scene, Instant::now()));
                    if let Some(end) = self.obey(order).await? {
                        return Ok(end);
                    }
                    self.pace.set_busy(self.scene.is_busy());
                    // A first picture with nothing on it would frighten.
                    complete |= self.scene.is_complete() || from.elapsed() > FIRST_LOOK;
                    if complete && self.draw().is_err() {
                        return Ok(End::NobodyLooks);
                    }
                }
            }
        }
    }

    async fn on_key(&mut self, key: u8) -> Option<End> {
        if key.is_ascii_whitespace() {
            return None;
        }
        self.scene.message.clear();
        match key.to_ascii_lowercase() {
            b'q' => return Some(End::Quit),
            _ if self.auto.is_some() => self.scene.message = "--auto presses the keys itself; q quits".into(),
            b'k' => self.strike_down(Cause::Killed).await,
            b's' => self.strike_down(Cause::Stopped).await,
            b'p' => self.order().await,
            b'r' => self.bring_back(),
            _ => {
                self.scene.message = "k kills the master, s stops it, r brings back, p plans, q quits".into()
            }
        }
        None
    }

    async fn obey(&mut self, order: Option<Order>) -> Result<Option<End>, String> {
        match order {
            None => {}
            Some(Order::Kill) => self.strike_down(Cause::Killed).await,
            Some(Order::BringBack) => self.bring_back(),
            Some(Order::Audit) => {
                self.resting.set(true);
                self.audit_everywhere().await;
            }
            Some(Order::Finish(wrong)) => return Ok(Some(End::Judged(wrong))),
        }
        Ok(None)
    }

    /// The master, when there is one to do something to, and somebody to take its place.
    fn victim(&mut self) -> Option<usize> {
        let up = self.scene.servers.iter().filter(|server| server.hand == Hand::Up).count();
        let master = self.scene.master().and_then(|port| self.scene.server(port));
        let reason = match master {
            _ if self.scene.under_way().is_some() => {
                "the failover is not over yet: wait, or bring it back with r"
            }
            None => "nobody knows of a master just now",
            Some(master) if self.scene.servers[master].hand != Hand::Up => {
                "the master is down already: r brings it back"
            }
            Some(_) if up < 2 => "nobody is left to take its place: bring one back with r",
            Some(master) => return Some(master),
        };
        self.scene.message = reason.into();
        None
    }

    async fn strike_down(&mut self, cause: Cause) {
        let Some(master) = self.victim() else { return };
        let port = self.scene.servers[master].port;
        self.pace.set_busy(true);
        // The moment before: what is seen of it comes later.
        let now = Instant::now();
        let hand = match cause {
            Cause::Stopped => {
                self.stage.stop(master);
                Hand::Stopped
            }
            _ => {
                self.stage.kill(master).await;
                Hand::Killed
            }
        };
        self.scene.servers[master].hand = hand;
        self.scene.on_cause(now, cause, port);
    }

    async fn order(&mut self) {
        let Some(master) = self.victim() else { return };
        self.pace.set_busy(true);
        let now = Instant::now();
        match watch::order_failover(self.scene.cast.daemons[0]).await {
            Ok(()) => self.scene.on_cause(now, Cause::Ordered, self.scene.servers[master].port),
            Err(text) => self.scene.message = format!("the daemon refuses: {text}"),
        }
    }

    fn bring_back(&mut self) {
        let now = Instant::now();
        let down: Vec<_> = (0..COUNT).filter(|number| self.stage.hand(*number) != Hand::Up).collect();
        if down.is_empty() {
            self.scene.message = "everybody is there: k kills the master".into();
        }
        for number in down {
            match self.stage.bring_back(number) {
                Ok(()) => {
                    self.scene.servers[number].hand = Hand::Up;
                    self.scene.on_return(now, self.scene.servers[number].port);
                }
                Err(text) => self.scene.message = text,
            }
        }
    }

    /// After each failover, once, whether the new master has what was promised.
    async fn on_settled(&mut self) {
        let over = self.scene.failovers.iter().filter(|failover| failover.is_over()).count();
        if over > self.audited && self.auto.is_none() {
            self.audited = over;
            self.audit().await;
        }
    }

    async fn audit(&mut self) {
        let ledger = self.scene.writing.ledger.clone();
        if let Some(port) = self.scene.master()
            && let Ok(found) = writer::read(port).await
        {
            self.scene.audit = Some(ledger.audit(&found));
        }
    }

    /// Whether every server has what was promised, once those that follow have caught up.
    async fn audit_everywhere(&mut self) {
        // The writer's last write may be under way.
        let last = Instant::now() + TICK;
        while let Ok(Some(sight)) = tokio::time::timeout_at(last.into(), self.sights.recv()).await {
            self.scene.handle(sight);
        }
        let deadline = Instant::now() + CATCH_UP;
        let mut worst = None;
        for port in self.scene.cast.servers {
            worst = loop {
                let audit =
                    writer::read(port).await.ok().map(|found| self.scene.writing.ledger.audit(&found));
                match audit {
                    Some(Audit { lost: 0, .. }) => break worst.or(audit),
                    _ if Instant::now() < deadline => tokio::time::sleep(TICK).await,
                    Some(_) => break audit,
                    None => return,
                }
            };
        }
        self.scene.audit = worst;
    }

    fn draw(&mut self) -> std::io::Result<()> {
        match &mut self.show {
            Show::Screen(screen, look) => {
                let (width, height) = Screen::size();
                let lines = view::draw(&self.scene, Instant::now(), Paper { width, height, look: *look });
                screen.show(lines, (width, height))
            }
            Show::Lines(told) => {
                let new = &self.scene.story[*told..];
                *told += new.len();
                story::print(new)
            }
        }
    }

    /// Ends it: the screen goes away, and nobody watches or writes any more.
    pub(super) fn end(mut self) -> Scene {
        let _ = self.draw();
        self.tasks.iter().for_each(AbortHandle::abort);
        if let Show::Screen(screen, _) = self.show {
            drop(screen);
            self.stage.on_screen(false);
        }
        self.scene
    }
}

async fn next_key(keys: &mut Option<Keys>) -> u8 {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}
