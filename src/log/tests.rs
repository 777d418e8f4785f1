use super::*;
use serde_json::Value;
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("consentinel-log-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Folder(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn say(writer: &Writer, text: &str) {
    writer.write(format!("{text}\n"), text.to_owned(), Level::Notice);
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
    let folder = Folder::new("moved");
    let (path, moved) = (folder.join("log"), folder.join("log.1"));
    let writer = Writer::start(Output::file(path.clone()), None).expect("a thread");
    say(&writer, "one");
    writer.flush(LONG);
    std::fs::rename(&path, &moved).expect("the folder is ours");
    say(&writer, "two");
    writer.flush(LONG);
    writer.reopen();
    say(&writer, "three");
    writer.flush(LONG);
    assert_eq!((text(&moved).as_str(), text(&path).as_str()), ("one\n", "two\nthree\n"));
}

#[test]
fn nobody_waits_for_a_pipe_that_nobody_reads_and_what_was_dropped_is_told() {
    let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
    let file = std::os::fd::OwnedFd::from(near).into();
    let writer = Writer::start(Output::Stdout(file), None).expect("a thread");
    let begun = Instant::now();
    let line = "x".repeat(1000);
    for _ in 0..20_000 {
        say(&writer, &line);
    }
    writer.flush(Duration::from_millis(10));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        far.read_to_string(&mut all).expect("text");
        all
    });
    writer.flush(LONG);
    say(&writer, "the last");
    writer.flush(LONG);
    drop(writer);
    let all = reader.join().expect("it read");
    let told: u64 = all
        .lines()
        .filter_map(|line| {
            line.split(" # ")
                .nth(1)?
                .strip_suffix(" lines of the log were dropped here: they could not be written in time")
        })
        .map(|count| count.parse::<u64>().expect("a number"))
        .sum();
    let written = all.lines().filter(|line| line.starts_with('x')).count() as u64;
    assert!(told > 1000 && all.ends_with("the last\n"), "{told}");
    assert_eq!(told + written, 20_000);
}

#[test]
fn syslog_gets_a_datagram_a_line_and_may_come_later() {
    let folder = Folder::new("syslog");
    let path = folder.join("socket");
    let settings = crate::config::Syslog { enabled: true, ident: "shop".into(), facility: "local3".into() };
    let mut syslog = Syslog::open(&settings, &path);
    syslog.send(Level::Warning, "nobody hears this");
    let socket = UnixDatagram::bind(&path).expect("the folder is ours");
    socket.set_read_timeout(Some(LONG)).expect("a timeout");
    syslog.send(Level::Warning, "+sdown master a\nb");
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("a datagram");
    let got = String::from_utf8_lossy(&buffer[..length]).into_owned();
    // local3 is 19, and a warning 4.
    assert!(
        got.starts_with("<156>")
            && got.ends_with(&format!(" shop[{}]: +sdown master a b", std::process::id())),
        "{got}"
    );
    assert_eq!(&got[8..9], " ", "the month has three letters: {got}");
}

fn said(message: &str, fields: Vec<(&'static str, Value)>) -> Collected {
    let mut said = Collected::new(form::EVENT);
    (said.message, said.fields) = (message.into(), fields);
    said
}

#[test]
fn a_line_looks_as_the_originals_and_stays_one() {
    let line = Form::Lines.line(Level::Warning, &said("+sdown a\nb", vec![("master", "a".into())]), &[]);
    assert!(line.starts_with(&format!("{}:X ", std::process::id())), "{line}");
    assert!(line.ends_with(" # +sdown a b\n"), "{line}");
}

#[test]
fn an_object_has_the_parts_of_an_event() {
    let fields = vec![("event", "+sdown".into()), ("port", 6379.into())];
    let spans = [("failover", vec![("epoch", Value::from(4))])];
    let line = Form::Json.line(Level::Warning, &said("+sdown \"a\"\n", fields), &spans);
    assert_eq!(line.matches('\n').count(), 1);
    let object: Value = serde_json::from_str(&line).expect("an object");
    assert_eq!((&object["level"], &object["event"]), (&"warning".into(), &"+sdown".into()));
    assert_eq!((&object["port"], &object["message"]), (&6379.into(), &"+sdown \"a\"\n".into()));
    assert_eq!(object["spans"][0]["epoch"], 4);
}

#[test]
fn who_is_quoted_in_the_log_cannot_steer_the_terminal_that_shows_it() {
    let mut said = Collected::new("consentinel");
    let evil = "CONFIG \u{1b}[2J\u{9b}1A\u{7}\t\u{202e}fdp\r\n+odown master";
    said.push_text("message", evil);
    said.push_text("ip", evil);
    for form in [Form::Lines, Form::Json] {
        let line = form.line(Level::Notice, &said, &[]);
        let inside = line.strip_suffix('\n').expect("a whole line");
        assert!(!inside.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
        assert!(inside.contains("u{1b}[2J"), "{line}");
    }
    assert!(!said.message.contains('\u{1b}'), "syslog is told the same");
}
