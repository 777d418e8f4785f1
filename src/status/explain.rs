//! Why there is no failover, or what would happen now: the core's answer, in sentences that somebody can act on at
//! night, and as JSON.

use super::draw::{entry, millis, phase_words, span_words};
use super::{Entry, Phase, words};
use consentinel_core as core;
use consentinel_core::{Doubt, FailoverPhase, Obstacle, Opinion, Suitability, Unfit, Voter, Worse};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Why there is no failover of a master, or what would happen if it went down now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Explanation {
    /// The master's name.
    pub master: String,
    /// What clients are told.
    pub address: String,
    /// The epoch of the failover that made it master.
    pub epoch: u64,
    /// The whole answer in sentences. A line that begins with two spaces belongs to the one before.
    pub lines: Vec<String>,
    /// What stands in the way of a failover led by this sentinel: `observes`, `tilt`, `disk`, `master-answers`,
    /// `quorum`, `blocked`, `votes`, `no-candidate`.
    pub obstacles: Vec<words::Obstacle>,
    /// For how long the master has been silent, or otherwise suspect.
    pub suspect_ms: Option<u64>,
    /// For how long this sentinel has taken it for down.
    pub sdown_ms: Option<u64>,
    /// For how long the quorum has agreed.
    pub odown_ms: Option<u64>,
    /// Sentinels that take it for down.
    pub say_down: u64,
    /// Sentinels that must.
    pub quorum: u32,
    /// Sentinels that could be asked for their vote, this one included.
    pub reachable: u64,
    /// Votes that a leader needs.
    pub votes_needed: u64,
    /// When the next attempt may begin; zero is now.
    pub next_attempt_in_ms: u64,
    /// All sentinels, this one first.
    pub sentinels: Vec<Witness>,
    /// The replicas, the one that would be promoted first.
    pub candidates: Vec<Candidate>,
    /// A failover that this sentinel leads, or wants to lead.
    pub failover: Option<Phase>,
    /// What Consul would be given; nothing where nothing is published, or nobody could be promoted.
    pub consul_after: Vec<Entry>,
}

/// A sentinel, and what it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Witness {
    /// Who it is.
    pub id: String,
    /// Where it is; nothing for the one that was asked.
    pub address: Option<String>,
    /// Whether it takes the master for down.
    pub says_down: bool,
    /// For how long nothing was heard of it, when it cannot be asked.
    pub unreachable_ms: Option<u64>,
}

/// A replica in the choice of the next master.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Candidate {
    /// Where it is.
    pub address: String,
    /// `chosen`, `behind` another one, or `unfit`.
    pub standing: words::Suitability,
    /// Why it is not chosen.
    pub reason: Option<String>,
    /// Its priority.
    pub priority: u32,
    /// How far it has come.
    pub offset: u64,
}

/// What the core says, for people and programs.
pub(crate) fn explain(told: &core::Explanation) -> Explanation {
    let ms = |span: Option<Duration>| span.map(millis);
    let blocked = told.obstacles.iter().find_map(|obstacle| match obstacle {
        Obstacle::Blocked(span) => Some(millis(*span)),
        _ => None,
    });
    let (phase, since) = told.failover;
    Explanation {
        master: told.name.to_string(),
        address: told.master.joined(),
        epoch: told.epoch.0,
        lines: sentences(told),
        obstacles: told.obstacles.iter().map(words::Obstacle::from).collect(),
        suspect_ms: told.suspicion.map(|suspicion| millis(suspicion.for_long)),
        sdown_ms: ms(told.sdown),
        odown_ms: ms(told.odown),
        say_down: told.say_down as u64,
        quorum: told.quorum.0,
        reachable: told.reachable as u64,
        votes_needed: told.votes_needed as u64,
        next_attempt_in_ms: blocked.unwrap_or(0),
        sentinels: told.voters.iter().map(witness).collect(),
        candidates: told.candidates.iter().map(candidate).collect(),
        failover: (phase != FailoverPhase::None).then(|| Phase {
            phase: phase.as_str().to_owned(),
            words: phase_words(phase).to_owned(),
            since_ms: millis(since),
            promoting: None,
        }),
        consul_after: told.entries_after.iter().map(entry).collect(),
    }
}

fn witness(voter: &Voter) -> Witness {
    Witness {
        id: voter.id.to_string(),
        address: voter.addr.as_ref().map(|addr| addr.joined()),
        says_down: voter.opinion == Opinion::Down,
        unreachable_ms: voter.unreachable.map(millis),
    }
}

fn candidate(candidate: &core::Candidate) -> Candidate {
    let (standing, reason) = match candidate.suitability {
        Suitability::Chosen => (words::Suitability::Chosen, None),
        Suitability::Behind(worse) => (words::Suitability::Behind, Some(why_behind(worse))),
        Suitability::Unfit(unfit) => (words::Suitability::Unfit, Some(why_unfit(unfit))),
    };
    Candidate {
        address: candidate.addr.joined(),
        standing,
        reason,
        priority: candidate.priority,
        offset: candidate.offset.0,
    }
}

fn sentences(told: &core::Explanation) -> Vec<String> {
    let mut lines = vec![headline(told)];
    if told.suspicion.is_some() || told.sdown.is_some() {
        lines.extend(opinions(told));
    }
    let obstacles = told.obstacles.iter().filter_map(|obstacle| in_the_way(obstacle, told));
    let before = lines.len();
    lines.extend(obstacles);
    let well = told.obstacles == [Obstacle::MasterAnswers];
    if lines.len() == before && well {
        lines.push("Nothing would stand in the way of a failover.".to_owned());
    }
    lines.extend(votes(told));
    lines.extend(choice(told));
    lines.extend(past(told));
    lines.extend(publication(told));
    lines
}

fn headline(told: &core::Explanation) -> String {
    let (name, at) = (&told.name, told.master.joined());
    let (phase, since) = told.failover;
    if !matches!(phase, FailoverPhase::None | FailoverPhase::WaitStart) {
        let (words, span) = (phase_words(phase), span_words(since));
        return format!("A failover of {name} is under way, led by this sentinel: for {span} it {words}.");
    }
    match (told.odown, told.sdown, told.suspicion) {
        (Some(span), ..) => {
            let span = span_words(span);
            let then = match told.obstacles.is_empty() {
                true => "this sentinel is about to stand for election",
                false => "this sentinel does not fail over, for the reasons below",
            };
            format!("{name} at {at} has been down for {span}, and enough sentinels agree; {then}.")
        }
        (None, Some(span), suspicion) => {
            let why = suspicion.map_or("it is silent", |suspicion| doubt_words(suspicion.doubt));
            let span = span_words(span);
            format!("{name} at {at} has been down for {span}, but only for some sentinels: {why}.")
        }
        (None, None, Some(suspicion)) => {
            let (why, span) = (doubt_words(suspicion.doubt), span_words(suspicion.for_long));
            let left = span_words(suspicion.enough_in);
            format!("{name} at {at} is suspect: for {span} {why}. If nothing changes, it is down in {left}.")
        }
        (None, None, None) => {
            format!("{name} at {at} answers this sentinel: there is no reason for a failover.")
        }
    }
}

fn doubt_words(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::Silent => "it has not answered",
        Doubt::SaysReplica => "it has been saying that it is a replica",
        Doubt::Loading => "it has been reading its data after a restart",
        Doubt::Emptied => "it has been back without the data that its replicas have",
    }
}

/// Who says that it is down, and who does not.
fn opinions(told: &core::Explanation) -> Vec<String> {
    let named = |wanted: Opinion| {
        // Those who cannot be asked are told of with the votes.
        let asked = told.voters.iter().filter(|voter| voter.unreachable.is_none());
        let those = asked.filter(move |voter| voter.opinion == wanted);
        those.map(name_of).collect::<Vec<_>>().join(", ")
    };
    let (say, quorum) = (told.say_down, told.quorum);
    let mut lines = vec![format!("{} for down; {quorum} must (the quorum).", sentinels_take(say))];
    for (opinion, head) in
        [(Opinion::Down, "Down, says"), (Opinion::NotDown, "Not down, or nothing lately, says")]
    {
        let names = named(opinion);
        if !names.is_empty() {
            lines.push(format!("  {head}: {names}"));
        }
    }
    lines
}

fn sentinels_take(count: usize) -> String {
    match count {
        0 => "No sentinel takes it".to_owned(),
        1 => "1 sentinel takes it".to_owned(),
        many => format!("{many} sentinels take it"),
    }
}

fn name_of(voter: &Voter) -> String {
    match &voter.addr {
        Some(addr) => addr.joined(),
        None => "this one".to_owned(),
    }
}

/// What stands in the way, and what to do about it.
fn in_the_way(obstacle: &Obstacle, told: &core::Explanation) -> Option<String> {
    let name = &told.name;
    Some(match obstacle {
        Obstacle::MasterAnswers => return None,
        Obstacle::Observes => {
            "This sentinel only looks on (sentinel observe yes) and never fails over: ask one of those \
             that do."
                .to_owned()
        }
        Obstacle::Tilt(span) => format!(
            "This sentinel distrusts the clock (TILT) and does nothing for {} more: the machine slept, was \
             overloaded, or its clock jumped.",
            span_words(*span)
        ),
        Obstacle::Disk(error) => format!(
            "This sentinel cannot write its state, so it neither votes nor leads: {error}. Make room, or the folder of \
             its configuration writable; it tries again every second."
        ),
        Obstacle::Quorum => {
            let disagrees = |voter: &&Voter| {
                voter.addr.is_some() && voter.unreachable.is_none() && voter.opinion == Opinion::NotDown
            };
            let why = match told.voters.iter().any(|voter| disagrees(&voter)) {
                true => format!(
                    "Whoever does not agree reaches the master: look at the network between this machine and {}",
                    told.master.joined()
                ),
                false => "There is nobody else who could be asked".to_owned(),
            };
            format!("{} of {} sentinels needed agree. {why}.", told.say_down, told.quorum)
        }
        Obstacle::Blocked(span) => {
            let by = match &told.last_vote {
                Some((leader, _)) => match told.voters.iter().find(|voter| voter.id == *leader) {
                    Some(Voter { addr: None, .. }) => ", by this sentinel",
                    _ => ", by another one that has this one's vote",
                },
                None => "",
            };
            format!(
                "The last attempt was {} ago{by}; this sentinel may try again in {}. SENTINEL FAILOVER {name} does not \
                 wait, and needs nobody's agreement: only where you know that no other failover is under way.",
                span_words(told.last_attempt.unwrap_or_default()),
                span_words(*span)
            )
        }
        Obstacle::Votes => {
            let missing = told.voters.iter().filter(|voter| voter.unreachable.is_some());
            let missing: Vec<String> = missing.map(name_of).collect();
            let what = match missing.as_slice() {
                [] => "there are too few sentinels: start more of them, or lower the quorum".to_owned(),
                some => {
                    format!("start these sentinels again, or repair the way to them: {}", some.join(", "))
                }
            };
            format!(
                "A leader needs {} votes, and only {} can be had: {what}.",
                told.votes_needed,
                sentinels(told.reachable)
            )
        }
        Obstacle::NoCandidate if told.candidates.is_empty() => {
            "This sentinel knows of no replica: there is nobody to be promoted.".to_owned()
        }
        Obstacle::NoCandidate => "No replica may be promoted: the reasons are below.".to_owned(),
    })
}

fn sentinels(count: usize) -> String {
    match count {
        1 => "1 sentinel's".to_owned(),
        count => format!("{count} sentinels'"),
    }
}

fn votes(told: &core::Explanation) -> Vec<String> {
    if told.obstacles.contains(&Obstacle::Votes) {
        return Vec::new();
    }
    let all = told.voters.len();
    let mut lines = vec![format!(
        "{} of {all} sentinels can be asked for their vote; a leader needs {}, and the quorum is {}.",
        told.reachable, told.votes_needed, told.quorum
    )];
    for voter in &told.voters {
        if let Some(span) = voter.unreachable {
            lines.push(format!("  Not to be reached: {}, silent for {}", name_of(voter), span_words(span)));
        }
    }
    lines
}

fn choice(told: &core::Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    for candidate in &told.candidates {
        let (at, priority, offset) = (candidate.addr.joined(), candidate.priority, candidate.offset);
        lines.push(match candidate.suitability {
            Suitability::Chosen => format!("{at} would be promoted (priority {priority}, offset {offset})."),
            Suitability::Behind(worse) => format!("  {at} would not: {}.", why_behind(worse)),
            Suitability::Unfit(unfit) => format!("  {at} cannot be promoted: {}.", why_unfit(unfit)),
        });
    }
    lines
}

fn why_unfit(unfit: Unfit) -> String {
    match unfit {
        Unfit::Down(span) => format!("it has been down for {}", span_words(span)),
        Unfit::NoLink => "there is no connection to it".to_owned(),
        Unfit::Unseen => "it has told nothing of itself yet".to_owned(),
        Unfit::PriorityZero => "its replica-priority is 0, which means never".to_owned(),
        Unfit::Loading => "it is reading its data from disk".to_owned(),
        Unfit::Wiped => "it has already copied the emptiness of the master".to_owned(),
        Unfit::Silent(span) => format!("it has not answered a ping for {}", span_words(span)),
        Unfit::StaleInfo { age, limit } => {
            format!("what it last said of itself is {} old, more than {}", span_words(age), span_words(limit))
        }
        Unfit::Unlinked { span, limit } => {
            format!(
                "it has been without its master for {}, more than {}",
                span_words(span),
                span_words(limit)
            )
        }
    }
}

fn why_behind(worse: Worse) -> String {
    match worse {
        Worse::Syncing => "it is in the middle of copying data".to_owned(),
        Worse::Ousted => "it was replaced as the master, and still says that it is one".to_owned(),
        Worse::Priority { this, chosen } => {
            format!("its replica-priority is {this}, and {chosen} comes before it")
        }
        Worse::IsMaster => "it says that it is a master".to_owned(),
        Worse::OtherHistory => "its data are not of the master's history".to_owned(),
        Worse::Offset { behind } => format!("it has {behind} bytes less of the data"),
        Worse::RunId => "it is as good, but its run id is larger".to_owned(),
        Worse::NotMasterYet => "another one is master already, promoted by a leader that vanished".to_owned(),
    }
}

fn past(told: &core::Explanation) -> Option<String> {
    let (leader, epoch) = told.last_vote.as_ref()?;
    let who = match told.voters.iter().find(|voter| voter.id == *leader) {
        Some(Voter { addr: None, .. }) => "itself".to_owned(),
        Some(voter) => name_of(voter),
        None => leader.to_string(),
    };
    Some(format!(
        "This sentinel last voted for {who}, in epoch {epoch}; the master is the one of epoch {}.",
        told.epoch
    ))
}

fn publication(told: &core::Explanation) -> Vec<String> {
    if told.entries_after.is_empty() {
        return Vec::new();
    }
    let mut lines = vec!["After a failover now, Consul would be given:".to_owned()];
    for entry in told.entries_after.iter().map(entry) {
        let Entry { role, address, health, sentence, .. } = entry;
        lines.push(format!("  {role} {address}, {health}: {sentence}"));
    }
    lines
}

#[cfg(test)]
mod tests;
