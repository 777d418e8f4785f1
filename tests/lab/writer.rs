//! Somebody who keeps trying to write to one server.

use crate::resp::{Client, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two tries.
const PERIOD: Duration = Duration::from_millis(1);
/// For one answer.
const PATIENCE: Duration = Duration::from_millis(100);

/// What came of the tries so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// When the first write was accepted.
    pub first_accepted: Option<Instant>,
    /// When the last write was accepted.
    pub last_accepted: Option<Instant>,
    /// When a write was last refused because the server is a replica.
    pub last_refused: Option<Instant>,
    /// How many were accepted.
    pub accepted: u64,
}

impl Outcome {
    /// For how long the server has taken writes.
    pub fn writable_for(&self) -> Duration {
        match (self.first_accepted, self.last_accepted) {
            (Some(first), Some(last)) => last - first,
            _ => Duration::ZERO,
        }
    }

    /// Whether the server has said that it is a replica after the last write that it accepted.
    pub fn is_over(&self) -> bool {
        self.last_refused.is_some_and(|refused| self.last_accepted.is_none_or(|accepted| refused > accepted))
    }
}

/// From the first of a run of accepted writes to its last; a refusal or an error ends the run.
pub type Run = (Instant, Instant);

/// A thread that writes to one server about every millisecond, over a new connection whenever one is lost.
pub struct Writer {
    outcome: Arc<Mutex<Outcome>>,
    runs: Arc<Mutex<Vec<Run>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts.
    pub fn start(port: u16) -> Writer {
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let runs = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (outcome, runs, over) = (outcome.clone(), runs.clone(), over.clone());
            move || write_on(port, &outcome, &runs, &over)
        });
        Writer { outcome, runs, over, thread: Some(thread) }
    }

    /// What came of it so far.
    pub fn outcome(&self) -> Outcome {
        *self.outcome.lock().expect("the writer does not panic")
    }

    /// When the server took writes.
    pub fn runs(&self) -> Vec<Run> {
        self.runs.lock().expect("the writer does not panic").clone()
    }

    /// For how long two of the servers took writes at the same time.
    pub fn overlap(writers: &[Writer]) -> Duration {
        let runs: Vec<Vec<Run>> = writers.iter().map(Writer::runs).collect();
        let mut sum = Duration::ZERO;
        for (number, one) in runs.iter().enumerate() {
            let others = runs[number + 1..].iter().flatten();
            for (first, last) in others {
                let shared =
                    one.iter().map(|run| run.1.min(*last).saturating_duration_since(run.0.max(*first)));
                sum += shared.sum::<Duration>();
            }
        }
        sum
    }
}

fn write_on(port: u16, outcome: &Mutex<Outcome>, runs: &Mutex<Vec<Run>>, over: &AtomicBool) {
    let mut client = None;
    let mut is_running = false;
    while !over.load(Ordering::Relaxed) {
        if client.is_none() {
            client = Client::connect(port, PATIENCE).ok();
        }
        let reply = client.as_mut().map(|client| client.call(&["SET", "lab:writer", "x"]));
        let at = Instant::now();
        let is_accepted = matches!(reply, Some(Ok(Value::Simple(_))));
        if is_accepted {
            let mut runs = runs.lock().expect("nobody panics while holding it");
            match runs.last_mut() {
                Some(run) if is_running => run.1 = at,
                _ => runs.push((at, at)),
            }
        }
        is_running = is_accepted;
        let mut outcome = outcome.lock().expect("nobody panics while holding it");
        match reply {
            Some(Ok(Value::Simple(_))) => {
                outcome.first_accepted.get_or_insert(at);
                outcome.last_accepted = Some(at);
                outcome.accepted += 1;
            }
            Some(Ok(Value::Error(text))) if text.starts_with("READONLY") => outcome.last_refused = Some(at),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => client = None,
        }
        drop(outcome);
        std::thread::sleep(PERIOD); // between two polls
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
