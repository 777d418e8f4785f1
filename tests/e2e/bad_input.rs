//! Clients that mean no good, or know no better.

use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Client, Cluster, Extra, Program, Sentinel, Setup, eventually};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How much more memory bad clients may cost, in kilobytes.
const MUCH: u64 = 100 << 10;
/// Longer than anybody else waits for an answer, on a busy machine.
const LONG: Duration = Duration::from_secs(3);
/// What a failover takes with a down-after of one second.
const PROMPT: Duration = Duration::from_secs(4);

fn connect(sentinel: &Sentinel) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, sentinel.port)).expect("the sentinel listens");
    stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a socket takes a time-out");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time-out");
    stream
}

/// Whoever asks a sentinel for its master while others do harm.
struct Bystander {
    slowest: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Bystander {
    fn of(sentinel: &Sentinel) -> Bystander {
        let (slowest, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (noted, ends, port) = (slowest.clone(), over.clone(), sentinel.port);
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let mut client = Client::connect(port, PATIENCE).expect("the sentinel listens");
                let address = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
                assert!(client.call(&address).expect("it answers").items().len() == 2);
                let took = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
                noted.fetch_max(took, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5)); // between two questions
            }
        });
        Bystander { slowest, over, thread: Some(thread) }
    }

    fn was_never_kept_waiting(mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("it was always answered");
        let slowest = Duration::from_millis(self.slowest.load(Ordering::Relaxed));
        assert!(slowest < LONG, "somebody waited for {slowest:?}");
    }
}

fn one_daemon() -> Cluster {
    let mut setup = Setup::new(vec![ours()]);
    (setup.replicas, setup.quorum) = (1, 1);
    Cluster::start(&setup)
}

/// What it still says before it closes the connection.
fn last_words(stream: &mut TcpStream) -> String {
    let mut words = Vec::new();
    match stream.read_to_end(&mut words) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("it does not close the connection: {error}"),
    }
    String::from_utf8_lossy(&words).into_owned()
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_and_nothing_else() {
    let cluster = one_daemon();
    let sentinel = &cluster.sentinels[0];
    let before = sentinel.memory();
    let bystander = Bystander::of(sentinel);
    let endless = vec![b'x'; 1 << 20];
    let nested = "*1\r\n".repeat(100_000);
    let tls =
        [&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03][..], &[7; 512], b"\r\n*x\r\n"]
            .concat();
    let broken: [(&str, &[u8]); 14] = [
        ("a negative length", b"*1\r\n$-7\r\n"),
        ("a length of a gigabyte", b"*1\r\n$1073741824\r\n"),
        ("a length beyond all numbers", b"*1\r\n$99999999999999999999999\r\n"),
        ("a length with a sign", b"*1\r\n$+4\r\nPING\r\n"),
        ("as many words as there are numbers", b"*2147483648\r\n"),
        ("too many words", b"*1048577\r\n"),
        ("a number that is none", b"*12a\r\n"),
        ("no length at all", b"*\r\n$\r\n"),
        ("an array in an array", nested.as_bytes()),
        ("a line without an end", &endless),
        ("a length without an end", &[b"*1\r\n$".as_slice(), &[b'1'; 1 << 17]].concat()),
        ("an open quote", b"PING \"x\r\n"),
        ("a greeting of TLS, and what follows", &tls),
        ("a web page's form", b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSHUTDOWN\r\n"),
    ];
    for (what, bytes) in broken {
        let mut stream = connect(sentinel);
        let _ = stream.write_all(bytes); // it may have closed the connection before it has all
        let words = last_words(&mut stream);
        let is_plain = what.starts_with("a web") || words.contains("-ERR") || words.is_empty();
        assert!(is_plain && words.len() < 10_000, "{what}: {words}");
    }
    assert!(sentinel.memory() < before + MUCH, "{} kB, {before} before", sentinel.memory());
    bystander.was_never_kept_waiting();
}

#[test]
fn random_bytes_do_no_harm() {
    let cluster = one_daemon();
    let sentinel = &cluster.sentinels[0];
    let before = sentinel.memory();
    let bystander = Bystander::of(sentinel);
    let seed = std::env::var("BAD_INPUT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    eprintln!("replay with BAD_INPUT_SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..400 {
        let mut stream = connect(sentinel);
        let bytes = random.bytes();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        last_words(&mut stream);
    }
    assert!(sentinel.memory() < before + MUCH, "{} kB, {before} before", sentinel.memory());
    bystander.was_never_kept_waiting();
    assert_eq!(sentinel.master_port(), Some(cluster.redis[0].port));
}

/// A generator of numbers that repeats itself.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % bound
    }

    /// Nonsense, or commands in which a few bytes are wrong. None of them is a command that changes anything.
    fn bytes(&mut self) -> Vec<u8> {
        const ALPHABET: &[u8] = b"*$:+-_,#(!=%~>0123456789\r\n\r\n PINGx\"'\\\0\xff";
        const SEEDS: [&str; 5] = [
            "*1\r\n$4\r\nPING\r\n",
            "*3\r\n$8\r\nSENTINEL\r\n$6\r\nMASTER\r\n$8\r\nmymaster\r\n",
            "*2\r\n$10\r\nPSUBSCRIBE\r\n$1\r\n*\r\n",
            "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
            "*2\r\n$4\r\nINFO\r\n$3\r\nall\r\nPING\r\n",
        ];
        if self.below(3) == 0 {
            return (0..self.below(4096)).map(|_| self.below(256) as u8).collect();
        }
        let pieces = self.below(20) + 1;
        let mut bytes: Vec<u8> = (0..pieces).flat_map(|_| SEEDS[self.below(5)].bytes()).collect();
        for _ in 0..self.below(6) {
            let at = self.below(bytes.len());
            let byte = ALPHABET[self.below(ALPHABET.len())];
            match self.below(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    }
}

/// Clients that never read, never finish, or never say anything.
struct Crowd {
    /// Kept open.
    idle: Vec<TcpStream>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn gather(sentinel: &Sentinel) -> Crowd {
        consentinel_lab::raise_file_limit();
        let over = Arc::new(AtomicBool::new(false));
        let mut idle: Vec<_> = (0..2000).map(|_| connect(sentinel)).collect();
        let mut begun = |bytes: &[u8]| {
            let mut stream = connect(sentinel);
            stream.write_all(bytes).expect("it reads the beginning");
            idle.push(stream);
        };
        // Each promises much, and keeps it not.
        (0..200).for_each(|_| begun(b"*1024\r\n$1048576\r\nx"));
        (0..50).for_each(|_| begun(b"PSUBSCRIBE *\r\n"));
        let dripping = (0..20).map(|_| drip(connect(sentinel), over.clone()));
        let flooding = (0..10).map(|_| flood(connect(sentinel), over.clone()));
        let threads = dripping.chain(flooding).collect();
        Crowd { idle, over, threads }
    }

    fn leave(self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.idle);
        self.threads.into_iter().for_each(|thread| thread.join().expect("it did its harm"));
    }
}

/// One byte of a command at a time.
fn drip(mut stream: TcpStream, over: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let command = b"*2\r\n$4\r\nPING\r\n$5\r\nhello\r\n";
        for byte in command.iter().cycle() {
            if over.load(Ordering::Relaxed) || stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50)); // one byte at a time
        }
    })
}

/// As many questions as are taken, and no answer read.
fn flood(mut stream: TcpStream, over: Arc<AtomicBool>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let questions = "SENTINEL MASTERS\r\nINFO\r\n".repeat(1000);
        stream.set_write_timeout(Some(Duration::from_millis(50))).expect("a socket takes a time-out");
        while !over.load(Ordering::Relaxed) {
            match stream.write(questions.as_bytes()) {
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
                _ => {}
            }
        }
    })
}

#[test]
fn a_crowd_of_bad_clients_neither_delays_a_failover_nor_those_who_ask() {
    let mut cluster = Cluster::start(&three_daemons());
    let sentinel = &cluster.sentinels[0];
    let before = sentinel.memory();
    let files: Vec<_> = cluster.sentinels.iter().map(Sentinel::open_files).collect();
    let crowds: Vec<_> = cluster.sentinels.iter().map(Crowd::gather).collect();
    let connected = |sentinel: &Sentinel| {
        let info = eventually("it tells of its clients", PATIENCE, || sentinel.call(&["INFO", "clients"]));
        let text = info.text().unwrap_or_default().to_owned();
        let number =
            text.lines().find_map(|line| line.strip_prefix("connected_clients:")?.trim().parse::<u32>().ok());
        number.expect("it counts its clients")
    };
    assert!(connected(sentinel) > 2200);
    let bystander = Bystander::of(sentinel);
    let killed = Instant::now();
    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    assert!(killed.elapsed() < PROMPT, "the failover took {:?}", killed.elapsed());
    for sentinel in &cluster.sentinels {
        let now = sentinel.memory();
        assert!(now < before + MUCH, "{now} kB, {before} before");
    }
    bystander.was_never_kept_waiting();
    crowds.into_iter().for_each(Crowd::leave);
    for sentinel in &cluster.sentinels {
        eventually("those who have left are forgotten", PATIENCE, || {
            (connected(sentinel) < 20).then_some(())
        });
    }
    cluster.redis[0].start();
    cluster.wait_until_settled(new);
    for (sentinel, files) in cluster.sentinels.iter().zip(files) {
        // Somebody of the test may be connected at either time.
        eventually("no more files are open than before", PATIENCE, || {
            (sentinel.open_files() <= files + 8).then_some(())
        });
    }
}

#[test]
fn more_clients_than_files_leave_enough_to_fail_over_and_to_save() {
    let program: Program = ours();
    let mut cluster =
        Cluster::start(&Setup::new(vec![program; 3]).with(&Extra { files: Some(256), ..Extra::default() }));
    let crowd: Vec<Vec<_>> =
        cluster.sentinels.iter().map(|sentinel| (0..600).map(|_| connect(sentinel)).collect()).collect();
    let events = cluster.sentinels.iter().map(|sentinel| sentinel.log().len()).collect::<Vec<_>>();
    cluster.redis[0].kill();
    let port = cluster.redis[0].port;
    for (sentinel, from) in cluster.sentinels.iter().zip(events) {
        eventually("the failover is known and saved", PATIENCE, || {
            let text = sentinel.config_text();
            let moved = sentinel.log()[from..].contains(&format!("+switch-master mymaster 127.0.0.1 {port}"));
            (moved && !text.contains(&format!("sentinel monitor mymaster 127.0.0.1 {port} "))).then_some(())
        });
        assert!(!sentinel.log().contains("cannot save"), "there are files left to save with");
    }
    drop(crowd);
    let new = cluster.wait_for_new_master(0, PATIENCE);
    cluster.redis[0].start();
    cluster.wait_until_settled(new);
}
