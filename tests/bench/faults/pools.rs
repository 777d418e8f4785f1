//! Pools of connections whose threads write, as client libraries have them.

use super::applications::{Seen, list_of};
use consentinel_lab::{Client, Events, GROUP, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// For one answer. Longer than a write is held.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks for an announcement.
const A_LOOK: Duration = Duration::from_millis(5);
/// When the process goes on, the thread that takes announcements in is the last.
const LAST_OF_ALL: Duration = Duration::from_millis(50);

/// What a pool does about a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It is told by `+switch-master`, and hands out no connection that leads elsewhere. After READONLY it drops the
    /// connection and asks a sentinel.
    Follows,
    /// It has one address for all, which `+switch-master` changes; idle connections are closed then. One that is in use
    /// then goes back into the pool, also after READONLY: where it leads is looked up in the address of all.
    SharedAddress,
}

/// Threads that share connections, until it is dropped.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    seen: Vec<Arc<Mutex<Seen>>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    habit: Habit,
    sentinels: Vec<u16>,
    /// Where new connections lead.
    address: Mutex<u16>,
    idle: Mutex<Vec<(u16, Client)>>,
    /// The process stands still until then.
    still_until: Mutex<Option<Instant>>,
    over: AtomicBool,
}

impl Pool {
    /// Starts so many threads, with so much time between two writes of each.
    pub(crate) fn start(
        threads: usize,
        habit: Habit,
        sentinels: &[u16],
        events: Vec<Events>,
        period: Duration,
    ) -> Pool {
        let address = ask(sentinels).expect("the sentinels name the master");
        let shared = Arc::new(Shared {
            habit,
            sentinels: sentinels.to_vec(),
            address: Mutex::new(address),
            idle: Mutex::default(),
            still_until: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let seen: Vec<_> = (0..threads).map(|_| Arc::new(Mutex::new(Seen::default()))).collect();
        let listener = std::thread::spawn({
            let shared = shared.clone();
            move || shared.listen(&events)
        });
        let start = |(number, seen): (usize, &Arc<Mutex<Seen>>)| {
            let (shared, seen) = (shared.clone(), seen.clone());
            std::thread::spawn(move || {
                while !shared.is_over() {
                    shared.wait_while_still();
                    shared.write(number, &seen, period);
                }
            })
        };
        let mut threads: Vec<_> = seen.iter().enumerate().map(start).collect();
        threads.push(listener);
        Pool { shared, seen, threads }
    }

    /// Nothing happens in this process from now on for so long.
    pub(crate) fn stand_still(&self, span: Duration) {
        *lock(&self.shared.still_until) = Some(Instant::now() + span);
    }

    /// What the threads have seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.iter().map(|seen| lock(seen).clone()).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Says whether it stood still.
    fn wait_while_still(&self) -> bool {
        let until = *lock(&self.still_until);
        let left = until.map(|until| until.saturating_duration_since(Instant::now())).unwrap_or_default();
        std::thread::sleep(left); // the process stands still
        !left.is_zero()
    }

    /// Takes announcements in.
    fn listen(&self, events: &[Events]) {
        let mut known = vec![0; events.len()];
        while !self.is_over() {
            std::thread::sleep(A_LOOK); // between two looks
            if self.wait_while_still() {
                std::thread::sleep(LAST_OF_ALL);
            }
            for (events, known) in events.iter().zip(&mut known) {
                let all = events.all();
                for event in all.iter().skip(*known).filter(|event| event.name == "+switch-master") {
                    if let Some(port) = event.payload.split(' ').nth(4).and_then(|port| port.parse().ok()) {
                        self.lead_to(port);
                    }
                }
                *known = all.len();
            }
        }
    }

    fn lead_to(&self, port: u16) {
        let before = std::mem::replace(&mut *lock(&self.address), port);
        if before != port {
            lock(&self.idle).clear();
        }
    }

    fn borrow(&self) -> Option<(u16, Client)> {
        loop {
            let address = *lock(&self.address);
            let idle = lock(&self.idle).pop();
            let (port, client) = match idle {
                Some(idle) => idle,
                None => (address, Client::connect(address, PATIENCE).ok()?),
            };
            if self.habit == Habit::SharedAddress || port == *lock(&self.address) {
                return Some((port, client));
            }
        }
    }

    /// Writes, and tries again at once when the connection was lost.
    fn write(&self, number: usize, seen: &Mutex<Seen>, period: Duration) {
        let Some((port, mut client)) = self.borrow() else { return std::thread::sleep(period) };
        let reply = client.call(&["RPUSH", &list_of(number), "1"]);
        // What has arrived is looked at when the process goes on.
        self.wait_while_still();
        let at = Instant::now();
        match reply {
            Ok(Value::Int(_)) => lock(seen).accepted.push(at),
            Ok(Value::Error(text)) if text.starts_with("READONLY") => {
                lock(seen).last_refused = Some(at);
                if self.habit == Habit::Follows {
                    if let Some(port) = ask(&self.sentinels) {
                        self.lead_to(port);
                    }
                    return;
                }
            }
            Ok(_) | Err(_) => return,
        }
        match self.habit {
            Habit::Follows => {
                lock(&self.idle).push((port, client));
                std::thread::sleep(period); // between two writes
            }
            // It is in use meanwhile.
            Habit::SharedAddress => {
                std::thread::sleep(period); // between two writes
                lock(&self.idle).push((port, client));
            }
        }
    }
}

fn ask(sentinels: &[u16]) -> Option<u16> {
    sentinels.iter().find_map(|port| {
        let mut client = Client::connect(*port, PATIENCE).ok()?;
        let address = client.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]).ok()?;
        address.items().get(1)?.text()?.parse().ok()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics while holding it")
}
