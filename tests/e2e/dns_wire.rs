//! The embedded DNS and those who ask: rightly, wrongly, too much at once, or nothing at all.

use super::dns::{is_named, local, named};
use crate::{PATIENCE, ours};
use consentinel_lab::{
    Extra, Fleet, Folder, GROUP, Kind, Redis, Sentinel, Serving, dig, dns_question, eventually,
};
use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

const MASTER: &str = "redis.service.consul";

/// Longer than an answer takes, on a machine that does other things.
const A_WHILE: Duration = Duration::from_secs(5);

/// One daemon that answers DNS, and the master that it names.
struct Stage {
    address: SocketAddr,
    sentinel: Sentinel,
    redis: Redis,
    _folder: Folder,
}

fn stage() -> Stage {
    let folder = Folder::new();
    let redis = Redis::start_new(&folder, &Serving::default(), None);
    let (address, sentinel) = watching(&folder, redis.port);
    is_named(address, redis.port);
    Stage { address, sentinel, redis, _folder: folder }
}

fn watching(folder: &Folder, master: u16) -> (SocketAddr, Sentinel) {
    let address = local();
    let config = format!(
        "sentinel monitor {GROUP} 127.0.0.1 {master} 1\nsentinel down-after-milliseconds {GROUP} 1000\n"
    );
    let extra = Extra::default().args(&["--dns", &address.to_string()]);
    (address, Sentinel::start_new(folder, ours(), &config, extra))
}

fn udp(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    socket.connect(to).expect("a UDP socket connects to anything");
    socket.set_read_timeout(Some(A_WHILE)).expect("not zero");
    socket
}

/// What is answered to these bytes.
fn exchange(socket: &UdpSocket, bytes: &[u8]) -> Vec<u8> {
    socket.send(bytes).expect("it goes out");
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
    buffer[..length].to_vec()
}

fn tcp(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(A_WHILE * 4)).expect("not zero");
    stream
}

fn framed(question: &[u8]) -> Vec<u8> {
    let length = u16::try_from(question.len()).expect("a question is short");
    [&length.to_be_bytes()[..], question].concat()
}

fn read_framed(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Whether the other side closes, and says nothing before.
fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 16]), Ok(0)) || stream.take_error().is_ok_and(|error| error.is_some())
}

#[test]
fn what_is_not_ours_is_refused() {
    let Stage { address, .. } = &stage();
    for question in ["example.com A", "com NS", ". NS", "1.0.0.127.in-addr.arpa PTR", "consul.example SRV"] {
        let dig = dig(*address, question);
        assert_eq!(
            (dig.status.as_str(), dig.answer.len(), dig.authority.len()),
            ("REFUSED", 0, 0),
            "{question}"
        );
        assert!(!dig.flags.contains("ra"), "it asks nobody else: {}", dig.text);
        assert_eq!(dig.reasons, ["20 (Not Authoritative): (only names in consul are answered here)"]);
    }
    assert_eq!(dig(*address, "consul AXFR +tcp").status, "REFUSED");
    assert_eq!(dig(*address, "version.bind TXT CH").status, "REFUSED");
    assert_eq!(dig(*address, "redis.service.consul A +edns=7 +noednsneg").status, "BADVERS");
    assert_eq!(dig(*address, "redis.service.consul A +opcode=UPDATE").status, "NOTIMP");
    let plain = dig(*address, "redis.service.consul A +noedns");
    assert!(plain.status == "NOERROR" && !plain.text.contains("EDNS"), "{}", plain.text);
}

#[test]
fn the_name_comes_back_as_it_was_written() {
    let Stage { address, .. } = &stage();
    let socket = udp(*address);
    for name in ["rEdIs.SeRvIcE.cOnSuL", "REDIS.SERVICE.CONSUL", "_ReDis._TcP.SERVICE.Dc1.cOnsul"] {
        let question = dns_question(name, Kind::Srv);
        let answer = exchange(&socket, &question);
        let end = 12 + name.len() + 2 + 4;
        assert_eq!(answer[12..end], question[12..end], "{name}");
        assert_eq!((answer[3] & 15, answer[7]), (0, 1), "one answer: {name}");
        // The answer's owner is the question's name, by a pointer to where it stands.
        assert_eq!(answer[end..end + 2], [0xc0, 12], "{name}");
    }
}

#[test]
fn no_bytes_do_any_harm() {
    let Stage { address, redis, sentinel, .. } = &mut stage();
    let socket = udp(*address);
    let good = dns_question(MASTER, Kind::Srv);
    // Cut off anywhere behind its header: it is malformed, and told so.
    for length in 12..good.len() {
        let answer = exchange(&socket, &good[..length]);
        assert_eq!((answer.len(), answer[3] & 15), (12, 1), "{length} bytes");
    }
    // What may not be answered: what is shorter than a header, and answers. What comes back next belongs to what follows.
    for length in 0..12 {
        socket.send(&good[..length]).expect("it goes out");
    }
    let mut answer = good.clone();
    answer[2] |= 0x80;
    socket.send(&answer).expect("it goes out");
    let end = dns_question(MASTER, Kind::A);
    assert_eq!(exchange(&socket, &end)[..2], end[..2]);
    // Every byte turned, one after the other, and every length from nothing to far too long.
    let mut pending = 0;
    for at in 12..good.len() {
        for turn in [0x01, 0x40, 0x80, 0xc0, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= turn;
            socket.send(&bytes).expect("it goes out");
            pending += 1;
            if pending == 32 {
                drain(&socket, &mut pending);
            }
        }
    }
    drain(&socket, &mut pending);
    for length in [1000, 4096, 9000, 60_000] {
        let answer = exchange(&socket, &[&good[..], &vec![0xc0; length]].concat());
        assert!(matches!(answer[3] & 15, 0 | 1), "{length} bytes more");
    }
    assert_eq!(named(*address), Some(redis.port));
    assert!(!sentinel.has_exited() && !sentinel.log().contains("a defect"), "{}", sentinel.log());
}

/// Takes in so many answers: each of those questions gets one.
fn drain(socket: &UdpSocket, pending: &mut usize) {
    let mut buffer = [0; 4096];
    for _ in 0..std::mem::take(pending) {
        socket.recv(&mut buffer).expect("each question gets an answer");
    }
}

#[test]
fn many_questions_over_one_connection_and_in_pieces() {
    let Stage { address, redis, .. } = &stage();
    let mut stream = tcp(*address);
    // All at once.
    let questions: Vec<_> = (0..50).map(|_| dns_question(MASTER, Kind::Srv)).collect();
    let all: Vec<u8> = questions.iter().flat_map(|question| framed(question)).collect();
    stream.write_all(&all).expect("it is taken");
    for question in &questions {
        let answer = read_framed(&mut stream).expect("an answer");
        assert_eq!((&answer[..2], answer[3] & 15, answer[7]), (&question[..2], 0, 1));
    }
    // Byte by byte.
    let question = dns_question(MASTER, Kind::Srv);
    for byte in framed(&question) {
        stream.write_all(&[byte]).expect("it is taken");
        stream.flush().expect("it is taken");
    }
    assert_eq!(read_framed(&mut stream).expect("an answer")[..2], question[..2]);
    // Nothing in it, or more than any question has: that ends it.
    for length in [[0, 0], [0xff, 0xff]] {
        let mut stream = tcp(*address);
        stream.write_all(&length).expect("it is taken");
        assert!(is_closed(&mut stream), "{length:?}");
    }
    let mut half = tcp(*address);
    half.write_all(&framed(&question)[..9]).expect("it is taken");
    half.shutdown(Shutdown::Write).expect("it is open");
    assert!(is_closed(&mut half));
    assert_eq!(dig(*address, &format!("+tcp {MASTER} SRV")).answer.len(), 1);
    assert_eq!(named(*address), Some(redis.port));
}

#[test]
fn a_connection_that_is_of_no_use_is_closed() {
    let Stage { address, .. } = &stage();
    let mut silent = tcp(*address);
    let mut slow = tcp(*address);
    slow.write_all(&framed(&dns_question(MASTER, Kind::A))[..20]).expect("it is taken");
    assert!(is_closed(&mut silent) && is_closed(&mut slow));
}

#[test]
fn who_comes_in_crowds_keeps_nobody_out() {
    let Stage { address, sentinel, redis, .. } = &stage();
    let before = sentinel.open_files();
    let crowd: Vec<TcpStream> = (0..600).map(|_| tcp(*address)).collect();
    eventually("no more are kept than there is room for", PATIENCE, || {
        (sentinel.open_files() <= before + 256 + 16).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(dig(*address, &format!("+tcp {MASTER} SRV")).answer.len(), 1);
    }
    assert_eq!(named(*address), Some(redis.port));
    drop(crowd);
    eventually("all have gone", PATIENCE, || (sentinel.open_files() <= before).then_some(()));
}

#[test]
fn what_does_not_fit_into_a_datagram_is_had_over_tcp() {
    let (folder, fleet) = (Folder::new(), Fleet::start(60));
    let (address, _sentinel) = watching(&folder, fleet.ports[0]);
    const REPLICAS: &str = "redis-replica.service.consul SRV";
    eventually("all replicas are named", PATIENCE, || {
        (dig(address, &format!("+tcp {REPLICAS}")).answer.len() == 60).then_some(())
    });
    let whole = dig(address, &format!("+tcp {REPLICAS}"));
    assert!(!whole.flags.contains("tc"));
    assert!(whole.additional.contains("7f000001.addr.dc1.consul. 0 IN A 127.0.0.1"), "{}", whole.text);
    for (words, bound) in [("+noedns", 512), ("+bufsize=700", 700), ("+bufsize=4096", 1232)] {
        let cut = dig(address, &format!("+ignore {words} {REPLICAS}"));
        assert!(cut.flags.contains("tc"), "{}", cut.text);
        // An SRV record of ours has 44 bytes.
        let most = bound / 44;
        assert!((most - 3..=most).contains(&cut.answer.len()), "{words}: {}", cut.answer.len());
        assert!(cut.answer.is_subset(&whole.answer), "{}", cut.text);
    }
    // As everybody does it: dig goes on over TCP by itself.
    assert_eq!(dig(address, REPLICAS).answer, whole.answer);
    // All replicas are at one address: that fits.
    let addresses = dig(address, "redis-replica.service.consul A");
    assert!(!addresses.flags.contains("tc") && addresses.answer.len() == 1, "{}", addresses.text);
}
