//! Applications that write, and remember what they were promised.

use crate::resp::{Client, Value};
use crate::{GROUP, Redis, Sentinel};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two writes of one application.
const PERIOD: Duration = Duration::from_millis(2);
/// For one answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long an application waits for its replicas, in milliseconds.
const REPLICATION: &str = "200";

/// Threads that ask the sentinels for the master, write to it, and note what so many replicas have confirmed.
pub struct Ledger {
    kept: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Ledger {
    /// Starts so many writers. A write counts when so many replicas have it.
    pub fn start(sentinels: &[Sentinel], writers: usize, replicas: usize) -> Ledger {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let ports: Vec<_> = sentinels.iter().map(|sentinel| sentinel.port).collect();
        let start = |writer: usize| {
            let (kept, over, mut ports) = (kept.clone(), over.clone(), ports.clone());
            ports.rotate_left(writer % sentinels.len());
            std::thread::spawn(move || {
                let promised = i64::try_from(replicas).expect("a few");
                write_on(writer, &ports, promised, &kept, &over);
            })
        };
        let threads = (0..writers).map(start).collect();
        Ledger { kept, over, threads }
    }

    /// How many writes were acknowledged by the master and by the replicas.
    pub fn len(&self) -> usize {
        self.kept.lock().expect("the writers do not panic").len()
    }

    /// Whether nothing was acknowledged yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the writing.
    pub fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }

    /// The keys that were promised, and that the server does not have.
    pub fn missing_on(&self, redis: &Redis) -> Vec<String> {
        let kept = self.kept.lock().expect("the writers do not panic");
        let mut client = redis.client().expect("the server answers");
        let mut is_missing = |key: &&String| {
            let reply = client.call(&["EXISTS", key]).expect("the server answers");
            reply != Value::Int(1)
        };
        kept.iter().filter(|key| is_missing(key)).cloned().collect()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_on(writer: usize, sentinels: &[u16], replicas: i64, kept: &Mutex<Vec<String>>, over: &AtomicBool) {
    let mut client = None;
    let mut count = 0_u64;
    while !over.load(Ordering::Relaxed) {
        if client.is_none() {
            client = sentinels.iter().find_map(|port| connect_by(*port));
        }
        let key = format!("kept:{writer}:{count}");
        count += 1;
        match client.as_mut().map(|client| write(client, &key, replicas)) {
            Some(Ok(confirmed)) if confirmed >= replicas => {
                kept.lock().expect("nobody panics while holding it").push(key);
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => client = None,
        }
        std::thread::sleep(PERIOD); // between two writes
    }
}

/// A connection to the master that this sentinel names.
fn connect_by(sentinel: u16) -> Option<Client> {
    let mut asked = Client::connect(sentinel, PATIENCE).ok()?;
    let address = asked.call(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]).ok()?;
    let port = address.items().get(1)?.text()?.parse().ok()?;
    Client::connect(port, PATIENCE).ok()
}

/// How many replicas have confirmed the write.
fn write(client: &mut Client, key: &str, replicas: i64) -> std::io::Result<i64> {
    let refused = |value: Value| std::io::Error::other(format!("{value:?}"));
    match client.call(&["SET", key, "x"])? {
        Value::Simple(_) => {}
        other => return Err(refused(other)),
    }
    match client.call(&["WAIT", &replicas.to_string(), REPLICATION])? {
        Value::Int(confirmed) => Ok(confirmed),
        other => Err(refused(other)),
    }
}
