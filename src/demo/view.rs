//! The screen, drawn from the scene into rows of a given width.

mod failover;

use super::dns::Answer;
use super::pen::{Look, Row};
use super::scene::{Scene, Server, port_of};
use super::stage::{COUNT, Hand, letter};
use crate::ink::Ink;
use crate::status::Master;
use std::time::{Duration, Instant};

/// The column at which the daemons begin.
const DAEMONS: usize = 41;

/// Rows without which there is no demo.
const LEAST: usize = 24;

/// What is drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paper {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// What it can show.
    pub look: Look,
}

/// Draws the scene: as many lines as the paper has rows, at most.
pub(super) fn draw(scene: &Scene, now: Instant, paper: Paper) -> Vec<String> {
    let look = paper.look;
    let airy = paper.height > LEAST + 3;
    let mut rows = vec![title(scene, now, paper)];
    let gap = |rows: &mut Vec<Row>, wanted: bool| rows.extend(wanted.then(Row::new));
    gap(&mut rows, airy);
    topology(scene, look, &mut rows);
    gap(&mut rows, true);
    answer(scene, now, paper, &mut rows);
    rows.push(writer(scene, now));
    gap(&mut rows, true);
    failover::draw(scene, now, paper, &mut rows);
    let below = [message(scene), keys()];
    let room = paper.height.saturating_sub(rows.len() + below.len());
    if room > 2 {
        story(scene, room - 2, &mut rows);
    }
    rows.truncate(paper.height.saturating_sub(below.len()));
    rows.resize(paper.height.saturating_sub(below.len()), Row::new());
    rows.extend(below);
    rows.truncate(paper.height);
    rows.iter().map(|row| row.render(paper.width, look)).collect()
}

fn title(scene: &Scene, now: Instant, paper: Paper) -> Row {
    let since = now.saturating_duration_since(scene.began).as_secs();
    let (cast, dot) = (&scene.cast, paper.look.choose("·", "|"));
    let right =
        format!("down-after {} ms {dot} {:02}:{:02}", cast.down_after.as_millis(), since / 60, since % 60);
    Row::new()
        .put(Ink::Strong, "Consentinel demo")
        .put(Ink::Faint, format!(" {dot} everything on 127.0.0.1"))
        .right(paper.width, Ink::Faint, &right)
}

/// The servers on the left, the daemons on the right.
fn topology(scene: &Scene, look: Look, rows: &mut Vec<Row>) {
    let epoch = (0..COUNT).filter_map(|daemon| Some(scene.seen_by(daemon)?.epoch)).max();
    let epoch = epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    let head = Row::new().put(Ink::Strong, "Redis servers").to(DAEMONS).put(Ink::Strong, "Daemons");
    rows.push(head.put(Ink::Faint, format!(" (quorum 2 of {COUNT}{epoch})")));
    let master = scene.master();
    for number in 0..COUNT {
        let row = server(&scene.servers[number], scene, look).to(DAEMONS);
        rows.push(daemon(scene, number, master, look, row));
    }
}

fn server(server: &Server, scene: &Scene, look: Look) -> Row {
    let (up, down) = (look.choose("●", "*"), look.choose("✗", "x"));
    let row = |ink, mark: &str| {
        Row::new().put(ink, format!(" {mark} ")).put(Ink::Plain, format!("{} ", server.port))
    };
    match (server.hand, &server.said) {
        (Hand::Killed, _) => row(Ink::Bad, down).put(Ink::Bad, "killed"),
        (Hand::Stopped, None) => row(Ink::Bad, down).put(Ink::Bad, "stopped: it hangs, silent"),
        (_, None) => row(Ink::Warning, down).put(Ink::Warning, "does not answer"),
        (_, Some(said)) if said.is_master => row(Ink::Good, up)
            .put(Ink::Good, "MASTER ")
            .put(Ink::Faint, format!(" offset {}", grouped(said.offset))),
        (_, Some(said)) if !said.linked => {
            row(Ink::Warning, up).put(Ink::Warning, "replica").put(Ink::Faint, "  no link to its master")
        }
        (_, Some(said)) => {
            let whom = said.follows.map(|port| format!("of {port}")).unwrap_or_default();
            row(Ink::Good, up)
                .put(Ink::Plain, "replica")
                .put(Ink::Faint, format!(" {whom}, {}", lag(server, scene)))
        }
    }
}

/// How far a replica is behind, by its master's word.
fn lag(server: &Server, scene: &Scene) -> String {
    let masters =
        scene.servers.iter().filter_map(|server| server.said.as_ref()).filter(|said| said.is_master);
    let of = |port: u16, replicas: &[(u16, u64)]| {
        replicas.iter().find(|(other, _)| *other == port).map(|(_, at)| *at)
    };
    let behind =
        masters.filter_map(|said| Some(said.offset.saturating_sub(of(server.port, &said.replicas)?))).min();
    behind.map_or_else(|| "lag unknown".into(), |bytes| format!("lag {} B", grouped(bytes)))
}

fn daemon(scene: &Scene, number: usize, master: Option<u16>, look: Look, row: Row) -> Row {
    let name = format!("{} {}  ", letter(number), scene.cast.daemons[number]);
    let Some(seen) = scene.seen_by(number) else {
        return row.put(Ink::Warning, name).put(Ink::Warning, "does not answer");
    };
    let port = port_of(&seen.address);
    let (ink, word) = opinion(seen);
    let ours = if port == master { Ink::Plain } else { Ink::Warning };
    let row = row.put(Ink::Plain, name).put(ours, port.map(|port| port.to_string()).unwrap_or_default());
    let row = row.put(ink, format!(" {word}"));
    // Whom of the other daemons it hears.
    let hears = |other: &usize| {
        let listens = |sentinel: &&crate::status::Sentinel| {
            port_of(&sentinel.address) == Some(scene.cast.daemons[*other])
        };
        seen.sentinels
            .iter()
            .find(listens)
            .is_some_and(|sentinel| sentinel.linked && sentinel.sdown_ms.is_none())
    };
    let others: String = (0..COUNT).filter(hears).map(|other| format!(" {}", letter(other))).collect();
    row.to(DAEMONS + 26).put(Ink::Faint, look.choose("hears", "hears")).put(Ink::Plain, others)
}

fn opinion(seen: &Master) -> (Ink, &'static str) {
    match (&seen.failover, seen.odown_ms, seen.server.sdown_ms) {
        (Some(_), ..) => (Ink::Warning, "failing over"),
        (None, Some(_), _) => (Ink::Bad, "down: agreed"),
        (None, None, Some(_)) => (Ink::Bad, "down"),
        (None, None, None) => (Ink::Good, "is well"),
    }
}

/// What DNS says, and how to ask it.
fn answer(scene: &Scene, now: Instant, paper: Paper, rows: &mut Vec<Row>) {
    let cast = &scene.cast;
    let head = Row::new()
        .put(Ink::Strong, "DNS")
        .put(Ink::Faint, format!(" of {}; ask it yourself in another terminal:", cast.dns_of));
    rows.push(match &cast.page {
        Some(page) if paper.width >= 100 => head.right(paper.width, Ink::Faint, page),
        _ => head,
    });
    rows.push(Row::new().put(Ink::Plain, "   ").put(Ink::Key, &cast.dig));
    let row = Row::new().put(Ink::Plain, "   ");
    let Some((answer, since)) = &scene.answer else {
        rows.push(row.put(Ink::Faint, "..."));
        return;
    };
    let since = lasting(now.saturating_duration_since(*since));
    match answer {
        Answer::Records(records) => {
            let shown = records.iter().take(2).map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("   ");
            let ink = if answer.port() == scene.master() { Ink::Good } else { Ink::Warning };
            rows.push(row.put(ink, shown).right(paper.width, Ink::Faint, &format!("for {since}")));
        }
        Answer::Nothing(code) => {
            let text = format!("(nothing: {code}; no master is better than a dead one)");
            rows.push(row.put(Ink::Bad, text).right(paper.width, Ink::Faint, &format!("for {since}")));
        }
        Answer::Silence => rows.push(row.put(Ink::Bad, "(no answer)").right(
            paper.width,
            Ink::Faint,
            &format!("for {since}"),
        )),
    }
}

fn writer(scene: &Scene, now: Instant) -> Row {
    let writing = &scene.writing;
    let (ledger, rate) = (&writing.ledger, writing.rate(now));
    let row = Row::new().put(Ink::Strong, "Writer").put(Ink::Faint, " goes where DNS says: ");
    let row = row.put(Ink::Plain, format!("{} writes", grouped(ledger.acknowledged)));
    let silent = writing.last.map(|(at, _)| now.saturating_duration_since(at));
    match silent {
        Some(silent) if silent > Duration::from_millis(150) => {
            row.put(Ink::Bad, format!(", none for {} ms", silent.as_millis()))
        }
        _ => {
            let pause = scene.failovers.last().and_then(|failover| failover.pause);
            let pause = pause.map(|pause| format!(", paused {} ms", pause.as_millis())).unwrap_or_default();
            let row = row.put(Ink::Plain, format!(", {rate} a second{pause}"));
            match scene.audit {
                Some(audit) if audit.lost > 0 => row.put(Ink::Bad, format!(", {} LOST", audit.lost)),
                Some(_) => row.put(Ink::Good, ", none lost"),
                None => row,
            }
        }
    }
}

/// What is to be said, or what could be done next.
fn message(scene: &Scene) -> Row {
    if !scene.message.is_empty() {
        return Row::new().put(Ink::Warning, &scene.message);
    }
    if let Some(back) = &scene.back {
        let told = back.told.map(|told| format!(", told to be a replica after {} ms", told.as_millis()));
        let linked = back.linked.map(|linked| format!(", is one after {} ms", linked.as_millis()));
        let text = format!("{} is back{}{}", back.port, told.unwrap_or_default(), linked.unwrap_or_default());
        return Row::new().put(if back.linked.is_some() { Ink::Good } else { Ink::Warning }, text);
    }
    let down: Vec<_> = scene.servers.iter().filter(|server| server.hand != Hand::Up).collect();
    match (scene.failovers.last(), &down[..]) {
        (Some(last), [one]) if last.is_over() => {
            let text = format!("r brings {} back: it must come back as a replica", one.port);
            Row::new().put(Ink::Warning, text)
        }
        (Some(last), [_, _, ..]) if last.is_over() => Row::new().put(Ink::Warning, "r brings them back"),
        (Some(last), []) if last.is_over() => Row::new().put(Ink::Good, "All is well. k, s or p: once more"),
        _ => Row::new(),
    }
}

fn keys() -> Row {
    let key = |row: Row, key: &str, text: &str| row.put(Ink::Key, key).put(Ink::Plain, format!(" {text}   "));
    [
        ("k", "kill the master"),
        ("s", "stop it"),
        ("r", "bring back"),
        ("p", "planned failover"),
        ("q", "quit"),
    ]
    .into_iter()
    .fold(Row::new(), |row, (letter, text)| key(row, letter, text))
}

/// The end of the story, where there is room.
fn story(scene: &Scene, room: usize, rows: &mut Vec<Row>) {
    rows.push(Row::new());
    rows.push(Row::new().put(Ink::Strong, "What happened"));
    let room = room.saturating_sub(1);
    for line in &scene.story[scene.story.len().saturating_sub(room)..] {
        let at = format!("{:>9.3} s  ", line.at.as_secs_f64());
        rows.push(Row::new().put(Ink::Faint, at).put(Ink::Plain, &line.text));
    }
}

/// `1,234,567`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `340 ms`, `12 s`, `3 min`
fn lasting(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests;
