//! Clients that write to the master, each over one connection.

use consentinel_lab::{Client, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// An answer that takes longer was held back by the server.
const HELD: Duration = Duration::from_millis(20);
/// For one answer. Longer than a write is held.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one client has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// READONLY at once, as the first answer of a connection: the client was sent to the wrong server.
    pub(crate) misled: usize,
    /// READONLY to a write that was held, or on a connection that had taken writes before: the server was demoted.
    pub(crate) demoted: usize,
    /// The times of accepted writes.
    pub(crate) accepted: Vec<Instant>,
    /// When a connection was lost for the first time.
    pub(crate) first_cut: Option<Instant>,
    /// The time of the last READONLY.
    pub(crate) last_refused: Option<Instant>,
}

impl Seen {
    /// The longest time between two accepted writes.
    pub(crate) fn pause(&self) -> Duration {
        self.accepted.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Whether the client has only been refused lately.
    pub(crate) fn is_stuck(&self, for_at_least: Duration) -> bool {
        let is_refused = self.last_refused.is_some_and(|at| at.elapsed() < for_at_least);
        is_refused && self.accepted.last().is_none_or(|at| at.elapsed() > for_at_least)
    }
}

/// Which port to connect to now; nothing when nobody knows.
pub(crate) type Guide = Arc<dyn Fn(usize) -> Option<u16> + Send + Sync>;

/// What a client does about READONLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// It asks its guide again and connects anew.
    AskAgain,
    /// It keeps its connection until somebody cuts it.
    Stay,
}

/// Threads that write until they are dropped.
pub(crate) struct Applications {
    seen: Vec<Arc<Mutex<Seen>>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Applications {
    /// Starts so many, with so much time between two writes of each and between two tries to connect.
    pub(crate) fn start(
        count: usize,
        guide: &Guide,
        on_refusal: OnRefusal,
        period: Duration,
    ) -> Applications {
        let seen: Vec<_> = (0..count).map(|_| Arc::new(Mutex::new(Seen::default()))).collect();
        let over = Arc::new(AtomicBool::new(false));
        let start = |(number, seen): (usize, &Arc<Mutex<Seen>>)| {
            let (seen, over, guide) = (seen.clone(), over.clone(), guide.clone());
            let mut client = Application { number, guide, on_refusal, seen, connection: None, next: 0 };
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    client.write();
                    std::thread::sleep(period); // between two writes
                }
            })
        };
        let threads = seen.iter().enumerate().map(start).collect();
        Applications { seen, over, threads }
    }

    /// What all of them have seen so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.iter().map(|seen| seen.lock().expect("the client does not panic").clone()).collect()
    }

    /// Ends the writing.
    pub(crate) fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The list to which a client adds the numbers 0, 1, 2 and so on. Only an accepted number is followed by the next.
pub(crate) fn list_of(number: usize) -> String {
    format!("application:{number}")
}

struct Application {
    number: usize,
    guide: Guide,
    on_refusal: OnRefusal,
    seen: Arc<Mutex<Seen>>,
    /// The connection, and whether it has taken a write.
    connection: Option<(Client, bool)>,
    next: usize,
}

impl Application {
    /// Tries to write the next number.
    fn write(&mut self) {
        if self.connection.is_none() {
            let client = (self.guide)(self.number).and_then(|port| Client::connect(port, PATIENCE).ok());
            self.connection = client.map(|client| (client, false));
        }
        let Some((client, has_written)) = &mut self.connection else { return };
        let begin = Instant::now();
        let reply = client.call(&["RPUSH", &list_of(self.number), &self.next.to_string()]);
        let at = Instant::now();
        let mut seen = self.seen.lock().expect("nobody panics while holding it");
        match reply {
            Ok(Value::Int(_)) => {
                seen.accepted.push(at);
                (*has_written, self.next) = (true, self.next + 1);
            }
            Ok(Value::Error(text)) if text.starts_with("READONLY") => {
                seen.last_refused = Some(at);
                if *has_written || at - begin > HELD {
                    seen.demoted += 1;
                } else {
                    seen.misled += 1;
                }
                if self.on_refusal == OnRefusal::AskAgain {
                    self.connection = None;
                }
            }
            Ok(_) | Err(_) => {
                seen.first_cut.get_or_insert(at);
                self.connection = None;
            }
        }
    }
}

impl Drop for Applications {
    fn drop(&mut self) {
        self.stop();
    }
}
