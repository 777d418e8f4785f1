//! Draws the status as a page for a terminal.

use super::gather::{Gathered, Kind, Other};
use super::problems::{self, Difference, Kind as Differs};
use super::sheet::{Piece, Row, Sheet};
use crate::ink::Ink;
use crate::status::{
    Failover, Health, MarkPhase, Master, Outcome, Picture, Publication, PublicationState, Sentinel, Server,
    StateKind, span_words,
};
use std::time::Duration;

/// Where more masters are watched, each gets one line, unless it is named.
const MOST_IN_FULL: usize = 5;

/// Failovers that are shown of each master.
const FAILOVERS: usize = 3;

/// Draws everything.
pub(super) fn draw(gathered: &Gathered, named: bool, sheet: &mut Sheet) {
    head(gathered, sheet);
    let masters = &gathered.picture.masters;
    sheet.blank();
    for problem in &gathered.problems {
        sheet.line(0, &[Piece::new("! ", Ink::Bad), Piece::new(problem, Ink::Bad)]);
    }
    if masters.is_empty() {
        sheet.line(0, &["No master is watched.".into()]);
    } else if gathered.problems.is_empty() {
        sheet.line(0, &[Piece::new("All is well.", Ink::Good)]);
    }
    if masters.len() > MOST_IN_FULL && !named {
        sheet.blank();
        summary(masters, sheet);
        return;
    }
    for master in masters {
        sheet.blank();
        one(gathered, master, sheet);
    }
}

fn head(gathered: &Gathered, sheet: &mut Sheet) {
    let Picture { version, myid, uptime_ms, current_epoch, .. } = &gathered.picture;
    let up = span(*uptime_ms);
    let short = short_id(myid);
    match gathered.kind {
        Kind::Consentinel => {
            let mut text =
                format!(" {version} at {}, up {up}, epoch {current_epoch}, id {short}", gathered.at);
            if gathered.picture.observes {
                text += ", only looking on";
            }
            sheet.line(0, &[Piece::new("consentinel", Ink::Strong), text.into()]);
        }
        Kind::RedisSentinel => {
            let text = format!(" {version} at {}, up {up}, id {short}", gathered.at);
            sheet.line(0, &[Piece::new("redis-sentinel", Ink::Strong), text.into()]);
            let text = "This is no consentinel: what follows is what SENTINEL MASTERS, REPLICAS and SENTINELS tell. It \
                        has no history, does not know of Consul, and cannot explain itself.";
            sheet.line(0, &[Piece::new(text, Ink::Warning)]);
        }
    }
}

/// One line a master.
fn summary(masters: &[Master], sheet: &mut Sheet) {
    let mut rows = vec![heading(&["MASTER", "ADDRESS", "EPOCH", "REPLICAS", "SENTINELS", "CONSUL", "STATE"])];
    for master in masters {
        let well = master.replicas.iter().filter(|replica| replica.health != Health::Critical).count();
        rows.push(vec![
            Piece::new(&master.name, Ink::Strong),
            master.address.clone().into(),
            master.epoch.to_string().into(),
            format!("{well}/{}", master.replicas.len()).into(),
            format!("{}/{}", master.usable_sentinels, master.all_sentinels).into(),
            master.publication.as_ref().map_or("-", |publication| publication.state.as_str()).into(),
            state_of(master),
        ]);
    }
    sheet.table(0, &rows, &[2]);
}

/// The master in a few words.
pub(super) fn words_of(master: &Master) -> String {
    match &master.failover {
        Some(phase) => format!("failover: {}", phase.words),
        None => master.server.state.clone(),
    }
}

fn state_of(master: &Master) -> Piece {
    let ink = match (&master.failover, is_down(master)) {
        (_, true) => Ink::Bad,
        (Some(_), _) => Ink::Warning,
        (None, false) => Ink::Good,
    };
    Piece::new(words_of(master), ink)
}

fn is_down(master: &Master) -> bool {
    master.odown_ms.is_some() || master.server.sdown_ms.is_some()
}

fn one(gathered: &Gathered, master: &Master, sheet: &mut Sheet) {
    let Master { name, address, epoch, quorum, usable_sentinels, all_sentinels, .. } = master;
    sheet.line(
        0,
        &[Piece::new(name, Ink::Strong), format!("  {address}  epoch {epoch}  ").into(), state_of(master)],
    );
    let settings = format!(
        "{usable_sentinels} of {all_sentinels} sentinels answer, {quorum} must agree that it is down, after {} of silence",
        span(master.down_after_ms)
    );
    sheet.line(2, &[Piece::new(settings, Ink::Faint)]);
    if let Some(phase) = &master.failover {
        let promoting = phase.promoting.as_ref().map(|at| format!(", promoting {at}")).unwrap_or_default();
        let text = format!("failover, for {}: {}{promoting}", span(phase.since_ms), phase.words);
        sheet.line(2, &[Piece::new(text, Ink::Warning)]);
    }
    if master.next_attempt_in_ms > 0 {
        let text =
            format!("the last attempt blocks the next one for {} more", span(master.next_attempt_in_ms));
        sheet.line(2, &[Piece::new(text, Ink::Warning)]);
    }
    if let (Some(silence), false) = (&master.answer.silence, gathered.picture.dns.is_empty()) {
        sheet.line(2, &[Piece::new(format!("DNS names no master: {silence}"), Ink::Bad)]);
    }
    sheet.blank();
    servers(master, sheet);
    sheet.blank();
    sentinels(gathered, master, sheet);
    if let Some(publication) = &master.publication {
        sheet.blank();
        consul(gathered, publication, sheet);
    }
    let failovers: Vec<&Failover> =
        gathered.history.iter().filter(|failover| failover.master == *name).take(FAILOVERS).collect();
    if !failovers.is_empty() {
        sheet.blank();
        sheet.line(2, &[Piece::new("LAST FAILOVERS", Ink::Faint)]);
        failovers.into_iter().for_each(|failover| history(failover, sheet));
    }
}

fn heading(words: &[&str]) -> Row {
    words.iter().map(|word| Piece::new(*word, Ink::Faint)).collect()
}

fn servers(master: &Master, sheet: &mut Sheet) {
    let mut rows = vec![heading(&["SERVER", "ROLE", "LAG", "OFFSET", "PRIO", "STATE"])];
    let all = std::iter::once(("master", &master.server));
    let all = all.chain(master.replicas.iter().map(|replica| ("replica", replica)));
    for (role, server) in all {
        let is_master = role == "master";
        rows.push(vec![
            server.address.clone().into(),
            role.into(),
            if is_master { "-".into() } else { lag(server, master).into() },
            server.offset.to_string().into(),
            if is_master { "-".into() } else { server.priority.to_string().into() },
            Piece::new(server_state(server), health_ink(server)),
        ]);
    }
    sheet.table(2, &rows, &[2, 3, 4]);
}

/// By the master's own word; where that is not known, nothing.
fn lag(server: &Server, master: &Master) -> String {
    match server.lag_bytes {
        Some(bytes) if !is_down(master) => bytes_words(bytes),
        _ => "?".to_owned(),
    }
}

fn bytes_words(bytes: u64) -> String {
    match bytes {
        0..=9_999 => bytes.to_string(),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        10_000_000..=9_999_999_999 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

fn server_state(server: &Server) -> String {
    let mut state = match server.state_kind == Some(StateKind::Linked) {
        true => "linked".to_owned(),
        false => server.state.clone(),
    };
    if !server.announced {
        state += ", not announced";
    }
    state
}

fn health_ink(server: &Server) -> Ink {
    match (server.sdown_ms, server.health) {
        (Some(_), _) | (_, Health::Critical) => Ink::Bad,
        (None, Health::Passing) => Ink::Good,
        _ => Ink::Warning,
    }
}

/// Who sees whom: one line a sentinel, by its own word.
fn sentinels(gathered: &Gathered, master: &Master, sheet: &mut Sheet) {
    let mut rows = vec![heading(&["SENTINEL", "MASTER", "EPOCH", "SEES"])];
    let own = match gathered.picture.address.as_str() {
        "" => gathered.at.clone(),
        address => address.to_owned(),
    };
    rows.push(view_of(&format!("{own} *"), master));
    let mut others: Vec<&Sentinel> = master.sentinels.iter().collect();
    others.sort_by_key(|other| (&other.address, &other.id));
    for sentinel in others {
        let told = gathered.others.iter().find(|other| other.id == sentinel.id);
        let view = told.and_then(|other| view_from(other, &master.name));
        rows.push(view.unwrap_or_else(|| unseen(sentinel, told)));
    }
    sheet.table(2, &rows, &[2]);
}

/// What a sentinel that was asked sees.
fn view_from(other: &Other, name: &str) -> Option<Row> {
    let picture = other.picture.as_ref()?;
    let theirs = picture.masters.iter().find(|master| master.name == name)?;
    Some(view_of(&other.address, theirs))
}

fn view_of(at: &str, master: &Master) -> Row {
    let down = |sentinel: &&Sentinel| sentinel.sdown_ms.is_some();
    let missing: Vec<&str> =
        master.sentinels.iter().filter(down).map(|other| other.address.as_str()).collect();
    let (all, seen) = (master.sentinels.len(), master.sentinels.len() - missing.len());
    let others = match missing.as_slice() {
        [] if all == 0 => Piece::new("no other sentinel", Ink::Warning),
        [] => Piece::new(format!("all {all} others"), Ink::Good),
        some => Piece::new(format!("{seen} of {all} others, not {}", some.join(", ")), Ink::Bad),
    };
    let opinion = match is_down(master) {
        true => Piece::new(format!("{} is down", master.address), Ink::Bad),
        false => master.address.clone().into(),
    };
    vec![at.into(), opinion, master.epoch.to_string().into(), others]
}

/// A sentinel that could not be asked: what is heard of it.
fn unseen(sentinel: &Sentinel, told: Option<&Other>) -> Row {
    let text = match (sentinel.sdown_ms, told.and_then(|other| other.error.as_ref())) {
        (Some(since), _) => {
            return vec![
                sentinel.address.clone().into(),
                Piece::new(format!("down for {}", span(since)), Ink::Bad),
            ];
        }
        (None, Some(error)) => format!("answers the others, but not us: {error}"),
        (None, None) => "was not asked".to_owned(),
    };
    vec![sentinel.address.clone().into(), Piece::new(text, Ink::Warning)]
}

fn consul(gathered: &Gathered, publication: &Publication, sheet: &mut Sheet) {
    let at = gathered.picture.consul.as_ref().map(|consul| consul.address.as_str()).unwrap_or_default();
    let Publication { state, service, .. } = publication;
    let ink = if *state == PublicationState::Published { Ink::Good } else { Ink::Bad };
    let mut facts = Vec::new();
    if let Some(epoch) = publication.record_epoch {
        facts.push(format!("record of epoch {epoch}"));
    }
    if let Some(lock) = &publication.lock {
        facts.push(format!("lock {lock}"));
    }
    if gathered.picture.consul.as_ref().is_some_and(|consul| consul.dry_run) {
        facts.push("dry run".to_owned());
    }
    if let Some(seen) = publication.seen_ms {
        facts.push(format!("seen {} ago", span(seen)));
    }
    sheet.line(
        2,
        &[
            Piece::new("CONSUL ", Ink::Faint),
            format!(" {service} at {at}: ").into(),
            Piece::new(format!("{state} "), ink),
            if facts.is_empty() { "".into() } else { format!("({})", facts.join(", ")).into() },
        ],
    );
    let trouble = gathered.picture.consul.as_ref().and_then(|consul| consul.trouble.as_ref());
    if let Some(error) = publication.error.as_ref().filter(|error| Some(*error) != trouble) {
        sheet.line(4, &[Piece::new(error, Ink::Bad)]);
    }
    if publication.seen_ms.is_none() {
        return;
    }
    let rows: Vec<Row> = problems::differences(publication).iter().map(entry).collect();
    sheet.table(2, &rows, &[]);
    for damaged in &publication.damaged {
        sheet.line(2, &[Piece::new(format!("! altered by somebody else: {damaged}"), Ink::Bad)]);
    }
    for foreign in &publication.foreign {
        sheet.line(
            2,
            &[Piece::new(format!("! somebody else's, and answered by DNS, too: {foreign}"), Ink::Bad)],
        );
    }
}

fn entry(difference: &Difference) -> Row {
    let Difference { entry, kind } = difference;
    let (mark, ink, text) = match kind {
        Differs::Same => ("=", Ink::Plain, entry.sentence.clone()),
        Differs::Missing => {
            ("-", Ink::Bad, format!("missing; should be {}: {}", entry.health, entry.sentence))
        }
        Differs::Surplus => ("+", Ink::Bad, "should not be there".to_owned()),
        Differs::Other(should) => (
            "!",
            Ink::Warning,
            format!("{}; should be {}: {}", entry.sentence, should.health, should.sentence),
        ),
    };
    vec![
        Piece::new(mark, ink),
        entry.role.as_str().into(),
        entry.address.clone().into(),
        Piece::new(entry.health.as_str(), ink),
        Piece::new(text, ink),
    ]
}

fn history(failover: &Failover, sheet: &mut Sheet) {
    let Failover { from, outcome, .. } = failover;
    let to = failover.to.as_deref().unwrap_or("nobody");
    let ink = match outcome {
        Outcome::Done => Ink::Good,
        Outcome::Over => Ink::Plain,
        _ => Ink::Warning,
    };
    let mut facts = Vec::new();
    if let Some(epoch) = failover.epoch {
        facts.push(format!("epoch {epoch}"));
    }
    if failover.led {
        facts.push("led here".to_owned());
    }
    if failover.ordered {
        facts.push("by order".to_owned());
    }
    if let Some(reason) = &failover.reason {
        facts.push(reason.clone());
    }
    let when = local_time(failover.began_unix_ms);
    let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
    sheet.line(
        2,
        &[format!("{when}  {from} -> {to}  ").into(), Piece::new(outcome.as_str(), ink), facts.into()],
    );
    let row = vec![Piece::new("ms:", Ink::Faint), Piece::new(phases(failover).join(", "), Ink::Faint)];
    sheet.table(4, &[row], &[]);
}

/// The phases, each with the milliseconds since the beginning; what happened to several replicas is told once.
fn phases(failover: &Failover) -> Vec<String> {
    let mut told: Vec<(MarkPhase, f64, usize)> = Vec::new();
    for mark in &failover.phases {
        match told.last_mut() {
            Some((phase, at, count)) if *phase == mark.phase => (*at, *count) = (mark.at_ms, *count + 1),
            _ => told.push((mark.phase, mark.at_ms, 1)),
        }
    }
    let words = |(phase, at, count): (MarkPhase, f64, usize)| {
        let times = if count > 1 { format!(" x{count}") } else { String::new() };
        let at = if at == 0.0 { "0".to_owned() } else { format!("{at:.1}") };
        format!("{phase}{times} {at}")
    };
    told.into_iter().map(words).collect()
}

fn local_time(unix_ms: u64) -> String {
    let stamp = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    stamp.map_or_else(
        || "?".to_owned(),
        |stamp| stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%d %b %H:%M:%S").to_string(),
    )
}

fn span(ms: u64) -> String {
    span_words(Duration::from_millis(ms))
}

/// As far as it takes to tell sentinels apart.
fn short_id(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[cfg(test)]
mod tests;
