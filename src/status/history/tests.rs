use super::*;
use consentinel_core::{Endpoint, Epoch, InstanceKind, SentinelId, Time};

fn at(last: u8, port: u16) -> Endpoint {
    Endpoint::parse(&format!("10.0.0.{last}"), &port.to_string()).expect("an address")
}

fn instance(kind: InstanceKind, last: u8, port: u16) -> Detail {
    Detail::instance(kind, GroupName::new("shop"), at(last, port), at(1, 6379))
}

fn old() -> Detail {
    instance(InstanceKind::Master, 1, 6379)
}

fn new() -> Detail {
    instance(InstanceKind::Master, 2, 6379)
}

fn chosen() -> Detail {
    instance(InstanceKind::Replica, 2, 6379)
}

fn other_sentinel() -> Detail {
    instance(InstanceKind::Sentinel(SentinelId::new("other")), 9, 26379)
}

fn vote(candidate: &str, epoch: u64) -> Detail {
    Detail::Vote { candidate: SentinelId::new(candidate), epoch: Epoch(epoch) }
}

fn switch() -> Detail {
    Detail::Switch { group: GroupName::new("shop"), from: at(1, 6379), to: at(2, 6379) }
}

/// A history, told a story event by event.
struct Story {
    history: History,
    now: u64,
    facts: Facts,
}

impl Story {
    fn new() -> Self {
        Story { history: History::new(true), now: 1_000_000, facts: Facts::default() }
    }

    fn moment(&self) -> Moment {
        Moment { now: Time::from_millis(self.now), unix_ms: 1_700_000_000_000 + self.now }
    }

    fn hear(&mut self, after: u64, event: Event, detail: Detail) {
        self.now += after;
        let group = GroupName::new("shop");
        self.history.handle_event(self.moment(), event, &detail, Some(&group), self.facts);
        self.facts = Facts::default();
    }

    /// The master has been silent for a second, and is taken for down.
    fn sdown(&mut self) {
        self.facts.silence = Some(Duration::from_secs(1));
        self.hear(0, Event::Sdown, old());
    }

    fn switch(&mut self, after: u64, epoch: u64) {
        self.facts.epoch = Some(epoch);
        self.hear(after, Event::SwitchMaster, switch());
    }

    fn elected(&mut self) {
        self.hear(3, Event::NewEpoch, Detail::Epoch(Epoch(7)));
        self.hear(0, Event::TryFailover, old());
        self.hear(0, Event::VoteForLeader, vote("me", 7));
        self.hear(4, Event::ElectedLeader, old());
        self.hear(1, Event::SelectedReplica, chosen());
    }

    fn publish(&mut self, after: u64, epoch: u64) {
        self.now += after;
        let facts = Facts { epoch: None, silence: None, published: Some((epoch, Duration::ZERO)) };
        self.history.handle_registry(self.moment(), &GroupName::new("shop"), facts);
    }

    fn all(&self) -> Vec<Failover> {
        self.history.failovers(None)
    }

    fn only(&self) -> Failover {
        let all = self.all();
        assert_eq!(all.len(), 1, "{all:#?}");
        all.into_iter().next().expect("there is one")
    }
}

/// The phases with their milliseconds: `sdown@1000 odown@1002`.
fn phases(failover: &Failover) -> String {
    let phases = failover.phases.iter().map(|mark| format!("{}@{}", mark.phase, mark.at_ms));
    phases.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_leader_remembers_every_phase_from_the_silence_to_the_last_replica() {
    let mut story = Story::new();
    story.sdown();
    story.hear(2, Event::Odown, old());
    story.elected();
    assert_eq!(story.only().outcome.as_str(), "under-way");
    story.hear(5, Event::PromotedReplica, chosen());
    story.switch(1, 7);
    story.publish(6, 7);
    story.hear(40, Event::ReconfDone, instance(InstanceKind::Replica, 3, 6379));
    story.hear(0, Event::FailoverEnd, new());
    let failover = story.only();
    assert_eq!(
        phases(&failover),
        "silent@0 sdown@1000 odown@1002 standing@1005 voted@1005 elected@1009 selected@1010 promoted@1015 \
         switched@1016 published@1022 reconfigured@1062 end@1062"
    );
    assert_eq!((failover.epoch, failover.led, failover.ordered), (Some(7), true, false));
    assert_eq!((failover.outcome.as_str(), failover.from.as_str()), ("done", "10.0.0.1:6379"));
    assert_eq!(failover.to.as_deref(), Some("10.0.0.2:6379"));
    assert_eq!(failover.began_unix_ms, 1_700_000_000_000 + 999_000);
}

#[test]
fn a_follower_who_noticed_late_counts_from_the_silence_all_the_same() {
    let mut story = Story::new();
    story.hear(0, Event::VoteForLeader, vote("other", 7));
    story.now += 5;
    story.sdown();
    story.hear(10, Event::ConfigUpdateFrom, other_sentinel());
    story.switch(1, 7);
    let failover = story.only();
    assert_eq!(phases(&failover), "silent@0 voted@995 sdown@1000 heard@1010 switched@1011");
    assert_eq!((failover.outcome.as_str(), failover.led), ("done", false));
    // Consul names it later, when this sentinel has long ceased to care for the failover itself.
    story.publish(4, 6);
    assert!(!phases(&story.only()).contains("published"), "an older record is not it");
    story.publish(4, 7);
    story.publish(9, 7);
    assert!(phases(&story.only()).ends_with("switched@1011 published@1019"), "{}", phases(&story.only()));
    assert!(!story.history.awaits_publication(&GroupName::new("shop")));
}

#[test]
fn what_consul_knew_first_stands_first() {
    let mut story = Story::new();
    story.sdown();
    story.hear(10, Event::VoteForLeader, vote("other", 7));
    story.facts.published = Some((7, Duration::from_millis(3)));
    story.switch(10, 7);
    assert_eq!(phases(&story.only()), "silent@0 sdown@1000 voted@1010 published@1017 switched@1020");
}

#[test]
fn a_master_that_comes_back_by_itself_is_no_failover_unless_a_quorum_saw_it() {
    let mut story = Story::new();
    story.sdown();
    story.hear(50, Event::SdownOver, old());
    assert_eq!(story.all(), []);
    story.sdown();
    story.hear(1, Event::Odown, old());
    story.hear(5, Event::OdownOver, old());
    story.hear(5, Event::SdownOver, old());
    assert_eq!(story.only().outcome.as_str(), "over");
}

#[test]
fn attempts_in_vain_are_one_story_until_the_master_is_replaced() {
    let mut story = Story::new();
    story.sdown();
    story.hear(1, Event::Odown, old());
    for _ in 0..100 {
        story.elected();
        story.hear(1, Event::AbortNoGoodReplica, old());
    }
    let failover = story.only();
    assert_eq!((failover.outcome.as_str(), failover.attempts), ("aborted", 100));
    assert_eq!(failover.reason.as_deref(), Some("no replica could be promoted"));
    assert!(failover.phases.len() <= 48, "{}", failover.phases.len());
    assert_eq!(failover.phases[1].phase.as_str(), "sdown", "the beginning is kept");
    assert_eq!(failover.phases.last().map(|mark| mark.phase.as_str()), Some("aborted"), "and the end is");
    story.switch(5, 200);
    assert_eq!((story.only().outcome.as_str(), story.only().reason), ("done", None));
}

#[test]
fn an_order_is_a_failover_without_a_silence() {
    let mut story = Story::new();
    story.elected();
    story.hear(5, Event::PromotedReplica, chosen());
    story.switch(1, 7);
    story.hear(1, Event::FailoverEnd, new());
    assert!(story.only().ordered);
    assert!(phases(&story.only()).starts_with("standing@0 "));
    story.elected();
    story.hear(5, Event::AbortReplicaTimeout, old());
    let all = story.all();
    assert_eq!((all[0].outcome.as_str(), all[1].outcome.as_str()), ("aborted", "done"));
}

#[test]
fn with_no_other_replica_the_end_may_come_before_the_switch_is_told() {
    let mut story = Story::new();
    story.sdown();
    story.elected();
    story.hear(5, Event::PromotedReplica, chosen());
    story.hear(0, Event::FailoverEnd, old());
    assert_eq!(story.only().outcome.as_str(), "under-way");
    story.switch(2, 7);
    assert_eq!((story.only().outcome.as_str(), story.only().led), ("done", true));
    assert!(phases(&story.only()).ends_with("promoted@1013 end@1013 switched@1015"));
    assert!(story.history.open.is_empty());
}

#[test]
fn the_end_of_the_new_master_begins_the_next_one() {
    let mut story = Story::new();
    story.sdown();
    story.elected();
    story.switch(1, 7);
    story.facts.silence = Some(Duration::from_secs(1));
    story.hear(1500, Event::Sdown, new());
    story.hear(1, Event::Odown, new());
    let all = story.all();
    assert_eq!(
        all.iter().map(|failover| failover.outcome.as_str()).collect::<Vec<_>>(),
        ["under-way", "done"]
    );
    assert_eq!(all[0].from, "10.0.0.2:6379");
    assert_eq!(phases(&all[0]), "silent@0 sdown@1000 odown@1001");
}

#[test]
fn replicas_and_sentinels_that_go_down_are_none_of_it() {
    let mut story = Story::new();
    story.facts.silence = Some(Duration::from_secs(1));
    story.hear(0, Event::Sdown, chosen());
    story.hear(0, Event::Sdown, other_sentinel());
    assert_eq!(story.all(), []);
    assert!(story.history.open.is_empty());
}

#[test]
fn the_memory_is_bounded_and_the_newest_stand_first() {
    let mut story = Story::new();
    for epoch in 0..200 {
        story.sdown();
        story.hear(1, Event::Odown, old());
        story.switch(1, epoch);
        story.now += 5000;
    }
    let all = story.all();
    assert_eq!(all.len(), FAILOVERS);
    assert_eq!((all[0].epoch, all[1].epoch), (Some(199), Some(198)));
    assert_eq!((all[0].number, story.history.happenings_after(0).len()), (200, HAPPENINGS));
    assert!(story.history.failovers(Some("other")).is_empty());
    assert!(story.history.open.is_empty() && story.history.unpublished.len() == 1);
}

#[test]
fn whoever_was_away_gets_what_came_after_the_last_that_it_has() {
    let mut story = Story::new();
    let numbers = |story: &Story, after| -> Vec<u64> {
        story.history.happenings_after(after).map(|happening| happening.number).collect()
    };
    assert!(numbers(&story, 0).is_empty());
    let waiting = story.history.numbers();
    story.sdown();
    story.hear(1, Event::Odown, old());
    assert!(waiting.has_changed().expect("the history is there"));
    assert_eq!((numbers(&story, 0), numbers(&story, 1), numbers(&story, 2)), (vec![1, 2], vec![2], vec![]));
    assert_eq!(numbers(&story, 99), [1, 2], "from before a restart");
    for _ in 0..HAPPENINGS {
        story.hear(1, Event::Set, old());
    }
    assert_eq!(numbers(&story, 0).first(), Some(&3));
    assert_eq!(numbers(&story, 513), [514]);
    let last = story.history.happenings_after(513).next().expect("one").clone();
    assert_eq!((last.event.as_str(), last.master.as_deref()), ("+set", Some("shop")));
}
