//! What one sentinel answers about the master, as it changes.

use crate::GROUP;
use crate::resp::Client;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two questions.
const PERIOD: Duration = Duration::from_millis(2);
/// For one answer. A sentinel that writes its file may be silent for a while.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers to questions that arrived together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The port in SENTINEL GET-MASTER-ADDR-BY-NAME.
    pub named: Option<u16>,
    /// The port in SENTINEL MASTER.
    pub port: Option<u16>,
    /// The flags in SENTINEL MASTER.
    pub flags: String,
    /// The flags of each replica in SENTINEL REPLICAS.
    pub replicas: Vec<String>,
}

/// A view, or no answer, and the time from which on it was so.
pub type Sight = (Instant, Option<View>);

/// A thread that asks one sentinel about every two milliseconds.
pub struct Views {
    sights: Arc<Mutex<Vec<Sight>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Views {
    /// Starts. The sentinel need not run yet.
    pub fn start(port: u16) -> Views {
        let sights = Arc::new(Mutex::new(Vec::<Sight>::new()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (sights, over) = (sights.clone(), over.clone());
            move || {
                let mut client = None;
                while !over.load(Ordering::Relaxed) {
                    let view = ask(port, &mut client);
                    let mut sights = sights.lock().expect("nobody panics while holding it");
                    if sights.last().is_none_or(|(_, last)| *last != view) {
                        sights.push((Instant::now(), view));
                    }
                    drop(sights);
                    std::thread::sleep(PERIOD); // between two polls
                }
            }
        });
        Views { sights, over, thread: Some(thread) }
    }

    /// All changes so far, the first view among them.
    pub fn all(&self) -> Vec<Sight> {
        self.sights.lock().expect("the thread does not panic").clone()
    }

    /// The time of the first answer.
    pub fn first_answer(&self) -> Option<Instant> {
        self.all().iter().find(|(_, view)| view.is_some()).map(|(at, _)| *at)
    }

    /// Which port it names now, and since when without a break. Times without an answer do not count as a break.
    pub fn named(&self) -> Option<(u16, Instant)> {
        let mut named = None;
        for (at, view) in self.all() {
            let Some(View { named: port, .. }) = view else { continue };
            match (named, port) {
                (Some((before, _)), Some(now)) if before == now => {}
                (_, now) => named = now.map(|port| (port, at)),
            }
        }
        named
    }
}

fn ask(port: u16, client: &mut Option<Client>) -> Option<View> {
    if client.is_none() {
        *client = Client::connect(port, PATIENCE).ok();
    }
    let asked = client.as_mut()?;
    let questions: [&[&str]; 3] = [
        &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP],
        &["SENTINEL", "MASTER", GROUP],
        &["SENTINEL", "REPLICAS", GROUP],
    ];
    let answers = asked.send_all(&questions).and_then(|()| Ok((asked.read()?, asked.read()?, asked.read()?)));
    let Ok((address, master, replicas)) = answers else {
        *client = None;
        return None;
    };
    let mut master = master.fields();
    Some(View {
        named: address.items().get(1).and_then(|port| port.text()?.parse().ok()),
        port: master.get("port").and_then(|port| port.parse().ok()),
        flags: master.remove("flags").unwrap_or_default(),
        replicas: replicas.items().iter().filter_map(|it| it.fields().remove("flags")).collect(),
    })
}

impl Drop for Views {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
