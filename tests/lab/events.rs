//! What a sentinel says, with the time at which it said so.

use crate::resp::Client;
use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const A_GLANCE: Duration = Duration::from_micros(100);

/// An event that was heard.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it arrived here.
    pub at: Instant,
    /// `+switch-master`
    pub name: String,
    /// `mymaster 127.0.0.1 6379 127.0.0.1 6380`
    pub payload: String,
}

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Event>>,
    more: Condvar,
}

/// A subscription to all events of one sentinel; it ends when it is dropped or the sentinel goes away.
pub struct Events {
    heard: Arc<Heard>,
    socket: TcpStream,
    listener: Option<JoinHandle<()>>,
}

impl Events {
    /// Subscribes; returns when the subscription stands.
    pub(crate) fn subscribe(port: u16, password: Option<&str>) -> Events {
        let heard = Arc::new(Heard::default());
        let client = Client::connect(port, Duration::from_secs(5)).expect("the sentinel listens");
        let mut client = client.authenticated(password).expect("the password is right");
        client.call(&["PSUBSCRIBE", "*"]).expect("the sentinel lets us subscribe");
        let socket = client.wait_forever().expect("a socket can be duplicated");
        let listener = std::thread::spawn({
            let heard = heard.clone();
            move || listen(&mut client, &heard)
        });
        Events { heard, socket, listener: Some(listener) }
    }

    /// All that was heard so far.
    pub fn all(&self) -> Vec<Event> {
        self.heard.events.lock().expect("the listener does not panic").clone()
    }

    /// The names of all that was heard so far.
    pub fn names(&self) -> Vec<String> {
        self.all().into_iter().map(|event| event.name).collect()
    }

    /// Whether an event of that name was heard.
    pub fn has(&self, name: &str) -> bool {
        self.find(|event| event.name == name).is_some()
    }

    /// The first event that fits.
    pub fn find(&self, fits: impl Fn(&Event) -> bool) -> Option<Event> {
        self.heard
            .events
            .lock()
            .expect("the listener does not panic")
            .iter()
            .find(|event| fits(event))
            .cloned()
    }

    /// Waits for the first event of that name; nothing when it does not come in time.
    pub fn wait_for(&self, name: &str, within: Duration) -> Option<Event> {
        let deadline = Instant::now() + within;
        let mut events = self.heard.events.lock().expect("the listener does not panic");
        loop {
            if let Some(event) = events.iter().find(|event| event.name == name) {
                return Some(event.clone());
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            events = self.heard.more.wait_timeout(events, left).expect("the listener does not panic").0;
        }
    }

    /// The same; panics when it does not come.
    pub fn expect(&self, name: &str, within: Duration) -> Event {
        self.wait_for(name, within)
            .unwrap_or_else(|| panic!("waited {within:?} in vain for {name}; heard {:?}", self.names()))
    }

    /// Which of the sentinels is the first to say an event of that name. Looks so often that the sentinel can be stopped
    /// before it has done its next step.
    pub fn first_to_say(all: &[Events], name: &str, within: Duration) -> Option<usize> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(number) = all.iter().position(|events| events.has(name)) {
                return Some(number);
            }
            std::thread::sleep(A_GLANCE); // between two polls
        }
        None
    }

    /// How many sentinels were elected in each epoch.
    pub fn leaders(all: &[Events]) -> BTreeMap<String, usize> {
        let mut leaders = BTreeMap::new();
        for events in all {
            let mut epoch = String::new();
            for event in events.all() {
                match event.name.as_str() {
                    "+new-epoch" => epoch = event.payload,
                    "+elected-leader" => *leaders.entry(epoch.clone()).or_default() += 1,
                    _ => {}
                }
            }
        }
        leaders
    }

    /// Forgets what was heard so far.
    pub fn clear(&self) {
        self.heard.events.lock().expect("the listener does not panic").clear();
    }
}

fn listen(client: &mut Client, heard: &Heard) {
    while let Ok(message) = client.read() {
        let at = Instant::now();
        let words: Vec<_> = message.items().iter().filter_map(|item| item.text()).collect();
        if let ["pmessage", _, name, payload] = words[..] {
            let event = Event { at, name: name.to_owned(), payload: payload.to_owned() };
            heard.events.lock().expect("nobody panics while holding it").push(event);
            heard.more.notify_all();
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}
