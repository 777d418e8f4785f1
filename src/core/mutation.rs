//! Deliberate defects. Each line on which safety or recovery hangs can be broken on purpose, to prove that the
//! simulator notices. Without the feature `mutations` none of this is compiled in: `active` is then always false.

/// A way to be wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(
    not(feature = "mutations"),
    allow(dead_code, unreachable_pub, reason = "only the feature can switch them on")
)]
pub enum Mutation {
    /// A vote changes memory only; nothing asks for it to be written.
    VoteNotSaved,
    /// A vote is answered without waiting for the disk.
    VoteSaidBeforeSaved,
    /// A second candidate gets a vote in the same epoch.
    VoteGivenTwice,
    /// After a restart the last vote is forgotten.
    VoteForgottenByRestart,
    /// After a restart the epoch begins from zero.
    EpochForgottenByRestart,
    /// An election takes place in an epoch that was used before.
    EpochReused,
    /// A candidate whose epoch is long over gets a vote.
    StaleEpochAccepted,
    /// One vote too few elects a leader.
    MajorityOffByOne,
    /// A candidate leads before anybody has voted.
    PromotionBeforeElection,
    /// The candidate asks for votes before its own is written.
    ElectionBeforeSave,
    /// A failover by order does not wait until the replica has all that the master had accepted.
    HandoverWithoutHold,
    /// The clients of a master that holds writes back are cut off before it has answered them.
    HeldWritesCut,
    /// What another fleet has published under the same names is written over.
    PublishedOverOthers,
    /// What a hello says of a master is believed without asking the sentinel that it names.
    HelloUnconfirmed,
    /// Any epoch is taken over, so that one message can leave none for an election.
    AnyEpochTaken,
    /// Hellos say what is in memory, not what is on disk.
    HelloBeforeSave,
    /// One's own opinion makes a master objectively down.
    OdownByOwnOpinion,
    /// What peers said long ago still counts.
    OpinionsNeverExpire,
    /// What peers said of the old master counts against the new one.
    OpinionsOutliveTheMaster,
    /// The clock is trusted, whatever it does.
    TiltIgnored,
    /// A hello of an older failover wins over a newer one.
    OlderConfigAccepted,
    /// A hello of the same epoch with another master is believed.
    EqualConfigAccepted,
    /// Hellos of newer failovers are not believed.
    NewerConfigIgnored,
    /// The replica with the least data is promoted.
    OffsetOrderReversed,
    /// The replica that should be promoted last is promoted first.
    PriorityOrderReversed,
    /// A replica that must never be promoted is.
    PriorityZeroPromoted,
    /// A promotion does not bring a new configuration epoch.
    PromotionWithoutEpoch,
    /// The disk has failed, and votes are given all the same.
    VoteWithoutDisk,
    /// A stray master stays one.
    StrayMasterTolerated,
    /// Whoever says that it is master is demoted at sight, however new it may be.
    DemotionWithoutSurvey,
    /// Replicas of the old master are left with it.
    ReplicasNotTurned,
    /// A server that is known by two addresses is told to follow itself.
    MasterTurnedToItself,
    /// A link that was lost is never opened again.
    LinksStayLost,
    /// A chosen replica that vanished is waited for, forever.
    PromotionNeverGivenUp,
    /// A master that came back without its data is welcome.
    EmptyMasterTrusted,
    /// A newer record in Consul is written over.
    PublishedOverNewer,
    /// A master is published before it has answered as one.
    PublishedWithoutGate,
    /// A configuration is published that is not on disk.
    PublishedBeforeSaved,
    /// The health of servers is written by sentinels that do not hold the lock.
    HealthWithoutLock,
    /// What others change in Consul stays changed.
    DriftTolerated,
    /// DNS names a new master that is not on disk.
    DnsBeforeSaved,
    /// DNS is not told of changes.
    DnsNotTold,
}

#[cfg(feature = "mutations")]
impl Mutation {
    /// All of them.
    pub const ALL: &'static [Mutation] = &[
        Mutation::VoteNotSaved,
        Mutation::HelloUnconfirmed,
        Mutation::AnyEpochTaken,
        Mutation::VoteSaidBeforeSaved,
        Mutation::VoteGivenTwice,
        Mutation::VoteForgottenByRestart,
        Mutation::EpochForgottenByRestart,
        Mutation::EpochReused,
        Mutation::StaleEpochAccepted,
        Mutation::MajorityOffByOne,
        Mutation::PromotionBeforeElection,
        Mutation::ElectionBeforeSave,
        Mutation::HandoverWithoutHold,
        Mutation::HeldWritesCut,
        Mutation::PublishedOverOthers,
        Mutation::HelloBeforeSave,
        Mutation::OdownByOwnOpinion,
        Mutation::OpinionsNeverExpire,
        Mutation::OpinionsOutliveTheMaster,
        Mutation::TiltIgnored,
        Mutation::OlderConfigAccepted,
        Mutation::EqualConfigAccepted,
        Mutation::NewerConfigIgnored,
        Mutation::OffsetOrderReversed,
        Mutation::PriorityOrderReversed,
        Mutation::PriorityZeroPromoted,
        Mutation::PromotionWithoutEpoch,
        Mutation::VoteWithoutDisk,
        Mutation::StrayMasterTolerated,
        Mutation::DemotionWithoutSurvey,
        Mutation::ReplicasNotTurned,
        Mutation::MasterTurnedToItself,
        Mutation::LinksStayLost,
        Mutation::PromotionNeverGivenUp,
        Mutation::EmptyMasterTrusted,
        Mutation::PublishedOverNewer,
        Mutation::PublishedWithoutGate,
        Mutation::PublishedBeforeSaved,
        Mutation::HealthWithoutLock,
        Mutation::DriftTolerated,
        Mutation::DnsBeforeSaved,
        Mutation::DnsNotTold,
    ];
}

#[cfg(feature = "mutations")]
mod switch {
    use super::Mutation;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// The place of the active one in `ALL`, plus one; zero for none.
    static ACTIVE: AtomicUsize = AtomicUsize::new(0);

    /// Breaks every sentinel in this process in that way, until `clear`.
    pub fn set(mutation: Mutation) {
        ACTIVE.store(mutation as usize + 1, Ordering::SeqCst);
    }

    /// Heals every sentinel in this process.
    pub fn clear() {
        ACTIVE.store(0, Ordering::SeqCst);
    }

    pub(crate) fn active(mutation: Mutation) -> bool {
        ACTIVE.load(Ordering::Relaxed) == mutation as usize + 1
    }
}

#[cfg(feature = "mutations")]
pub use switch::{clear, set};

#[cfg(feature = "mutations")]
pub(crate) use switch::active;

#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub(crate) const fn active(_: Mutation) -> bool {
    false
}
