//! A name server over UDP and TCP that is told what to do with each question. It runs in threads, so that the tasks of a
//! test are those of the resolver.

use consentinel_resolver::{Builder, Resolver};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Between two looks at whether the test is over.
const PERIOD: Duration = Duration::from_millis(2);

pub(crate) const A: u16 = 1;
pub(crate) const CNAME: u16 = 5;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const SRV: u16 = 33;

pub(crate) const NAME: &str = "redis.service.consul";

/// Limits for a test: a question, and everything.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(200);
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub name: String,
    pub kind: u16,
    pub tcp: bool,
    /// The same when a question is put again because the answer is late.
    pub id: u16,
    section: Vec<u8>,
}

/// What becomes of a question.
pub(crate) enum Act {
    /// Nothing; over TCP the connection stays open.
    Silence,
    /// These bytes, one datagram or one message each.
    Say(Vec<Vec<u8>>),
    /// The first from another port, then the second from the right one.
    Forge(Vec<u8>, Option<Vec<u8>>),
    /// Says it after a while.
    Late(Duration, Vec<u8>),
}

impl From<Reply> for Act {
    fn from(reply: Reply) -> Act {
        Act::Say(vec![reply.bytes()])
    }
}

type Script = Box<dyn FnMut(&Question) -> Act + Send>;

pub(crate) struct NameServer {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

struct Shared {
    script: Mutex<Script>,
    questions: Mutex<Vec<Question>>,
    over: AtomicBool,
}

impl NameServer {
    pub(crate) fn start(script: impl FnMut(&Question) -> Act + Send + 'static) -> NameServer {
        NameServer::on(IpAddr::V4(Ipv4Addr::LOCALHOST), script)
    }

    pub(crate) fn on(ip: IpAddr, script: impl FnMut(&Question) -> Act + Send + 'static) -> NameServer {
        // A port that is free for both.
        let (udp, tcp) = (0..100)
            .find_map(|_| {
                let tcp = TcpListener::bind((ip, 0)).ok()?;
                Some((UdpSocket::bind(tcp.local_addr().ok()?).ok()?, tcp))
            })
            .expect("there is a free port");
        let addr = udp.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(script)),
            questions: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let threads = vec![
            std::thread::spawn({
                let shared = shared.clone();
                move || shared.datagrams(&udp)
            }),
            std::thread::spawn({
                let shared = shared.clone();
                move || shared.connections(&tcp)
            }),
        ];
        NameServer { addr, shared, threads }
    }

    /// It answers this master from now on, and nothing else.
    pub(crate) fn says(&self, script: impl FnMut(&Question) -> Act + Send + 'static) {
        *lock(&self.shared.script) = Box::new(script);
    }

    pub(crate) fn questions(&self) -> Vec<Question> {
        lock(&self.shared.questions).clone()
    }

    /// How many questions for SRV records there were; one that is put again, for the answer is late, counts once.
    pub(crate) fn looks(&self) -> usize {
        let questions = self.questions().into_iter().filter(|question| question.kind == SRV);
        questions.map(|question| (question.id, question.tcp)).collect::<BTreeSet<_>>().len()
    }

    /// A resolver that asks it, with short limits, and that asks anew each time.
    pub(crate) fn builder(&self) -> Builder {
        Resolver::builder(NAME).name_server(self.addr).timeout(TIMEOUT).reuse(Duration::ZERO)
    }

    pub(crate) fn resolver(&self) -> Resolver {
        self.builder().build().expect("nothing is wrong with it")
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let outcome = thread.join();
            assert!(outcome.is_ok() || std::thread::panicking(), "the script panicked");
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn act(&self, bytes: &[u8], tcp: bool) -> Act {
        let Some(question) = parse(bytes, tcp) else { return Act::Silence };
        lock(&self.questions).push(question.clone());
        lock(&self.script)(&question)
    }

    fn datagrams(&self, socket: &UdpSocket) {
        socket.set_read_timeout(Some(PERIOD)).expect("a socket takes a limit");
        let mut bytes = [0; 4096];
        while !self.is_over() {
            let Ok((length, from)) = socket.recv_from(&mut bytes) else { continue };
            let say = |bytes: &[u8]| drop(socket.send_to(bytes, from));
            match self.act(&bytes[..length], false) {
                Act::Silence => {}
                Act::Say(all) => all.iter().for_each(|bytes| say(bytes)),
                Act::Forge(forged, real) => {
                    let other =
                        UdpSocket::bind((socket.local_addr().expect("bound").ip(), 0)).expect("a free port");
                    other.send_to(&forged, from).expect("loopback takes it");
                    real.iter().for_each(|bytes| say(bytes));
                }
                Act::Late(after, bytes) => {
                    let socket = socket.try_clone().expect("a socket can be cloned");
                    std::thread::spawn(move || {
                        std::thread::sleep(after); // what the script wants
                        drop(socket.send_to(&bytes, from));
                    });
                }
            }
        }
    }

    fn connections(self: Arc<Self>, listener: &TcpListener) {
        listener.set_nonblocking(true).expect("a listener can be told not to block");
        while !self.is_over() {
            match listener.accept() {
                Ok((stream, _)) => {
                    let shared = self.clone();
                    std::thread::spawn(move || shared.connection(stream));
                }
                Err(_) => std::thread::sleep(PERIOD),
            }
        }
    }

    fn connection(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_nonblocking(false).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let mut length = [0; 2];
        while !self.is_over() {
            stream.read_exact(&mut length).ok()?;
            let mut bytes = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut bytes).ok()?;
            let mut say = |bytes: &[u8]| {
                let mut whole = (bytes.len() as u16).to_be_bytes().to_vec();
                whole.extend(bytes);
                stream.write_all(&whole)
            };
            match self.act(&bytes, true) {
                Act::Silence => {}
                Act::Say(all) => all.iter().try_for_each(|bytes| say(bytes)).ok()?,
                Act::Forge(bytes, _) | Act::Late(_, bytes) => say(&bytes).ok()?,
            }
        }
        Some(())
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn parse(bytes: &[u8], tcp: bool) -> Option<Question> {
    let id = u16::from_be_bytes(*bytes.first_chunk()?);
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(bytes.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]);
    let section = bytes.get(12..at + 4)?.to_vec();
    Some(Question { name: labels.join("."), kind, tcp, id, section })
}

/// An answer, well formed unless it is told otherwise.
#[derive(Clone)]
pub(crate) struct Reply {
    id: u16,
    code: u8,
    truncated: bool,
    section: Vec<u8>,
    answers: Vec<Vec<u8>>,
    extras: Vec<Vec<u8>>,
    ttl: u32,
    name: String,
}

impl Reply {
    pub(crate) fn to(question: &Question) -> Reply {
        let Question { id, section, name, .. } = question.clone();
        Reply { id, code: 0, truncated: false, section, answers: vec![], extras: vec![], ttl: 0, name }
    }

    /// The usual answer for a master of that epoch on that port, as Consul gives it; nothing for other questions.
    pub(crate) fn master(question: &Question, port: u16, epoch: u64) -> Reply {
        let text = format!("epoch={epoch}");
        match question.kind {
            SRV => Reply::to(question)
                .server("7f000001.addr.dc1.consul", port, "127.0.0.1")
                .text("n.node.consul", &text),
            _ => Reply::to(question),
        }
    }

    pub(crate) fn code(mut self, code: u8) -> Reply {
        self.code = code;
        self
    }

    pub(crate) fn id(mut self, change: u16) -> Reply {
        self.id = self.id.wrapping_add(change);
        self
    }

    pub(crate) fn ttl(mut self, ttl: u32) -> Reply {
        self.ttl = ttl;
        self
    }

    pub(crate) fn truncated(mut self) -> Reply {
        self.truncated = true;
        self
    }

    /// An SRV record.
    pub(crate) fn srv(mut self, target: &str, port: u16, priority: u16, weight: u16) -> Reply {
        let mut data = [priority.to_be_bytes(), weight.to_be_bytes(), port.to_be_bytes()].concat();
        data.extend(name(target));
        let record = self.record(&self.name, SRV, &data);
        self.answers.push(record);
        self
    }

    /// An SRV record, and the target's address along with it.
    pub(crate) fn server(self, target: &str, port: u16, address: &str) -> Reply {
        self.srv(target, port, 1, 1).address(target, address)
    }

    /// An address that comes along.
    pub(crate) fn address(mut self, owner: &str, address: &str) -> Reply {
        let (kind, data) = address_data(address);
        let record = self.record(owner, kind, &data);
        self.extras.push(record);
        self
    }

    /// A text that comes along.
    pub(crate) fn text(mut self, owner: &str, text: &str) -> Reply {
        let record = self.record(owner, TXT, &text_data(text));
        self.extras.push(record);
        self
    }

    /// The text that was asked for.
    pub(crate) fn answer_text(mut self, text: &str) -> Reply {
        let record = self.record(&self.name, TXT, &text_data(text));
        self.answers.push(record);
        self
    }

    /// The address that was asked for.
    pub(crate) fn answer_address(mut self, address: &str) -> Reply {
        let (kind, data) = address_data(address);
        let record = self.record(&self.name, kind, &data);
        self.answers.push(record);
        self
    }

    pub(crate) fn cname(mut self, owner: &str, target: &str) -> Reply {
        let record = self.record(owner, CNAME, &name(target));
        self.answers.push(record);
        self
    }

    /// And what another answer says.
    pub(crate) fn with_answers_of(mut self, other: &Reply) -> Reply {
        self.answers.extend(other.answers.iter().cloned());
        self
    }

    fn record(&self, owner: &str, kind: u16, data: &[u8]) -> Vec<u8> {
        let mut record = name(owner);
        record.extend(kind.to_be_bytes());
        record.extend(1_u16.to_be_bytes());
        record.extend(self.ttl.to_be_bytes());
        record.extend((data.len() as u16).to_be_bytes());
        record.extend(data);
        record
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let flags = 0x8580 | u16::from(self.code) | if self.truncated { 0x0200 } else { 0 };
        let counts = [1, self.answers.len() as u16, 0, self.extras.len() as u16];
        let mut bytes = [self.id.to_be_bytes(), flags.to_be_bytes()].concat();
        bytes.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        bytes.extend(&self.section);
        bytes.extend(self.answers.iter().chain(&self.extras).flatten());
        bytes
    }
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn address_data(address: &str) -> (u16, Vec<u8>) {
    match address.parse().expect("it is an address") {
        IpAddr::V4(address) => (A, address.octets().to_vec()),
        IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
    }
}

fn text_data(text: &str) -> Vec<u8> {
    let mut bytes = vec![text.len() as u8];
    bytes.extend(text.as_bytes());
    bytes
}

/// What the future gives, which must not take longer than that.
pub(crate) async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let outcome = tokio::time::timeout(PATIENCE, what).await.expect("it ends");
    let took = begin.elapsed();
    assert!(took < limit, "it took {took:?}");
    outcome
}

/// Waits until that is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(PERIOD).await; // between two looks
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}
