//! What operators and subscribers are told, in the original's exact words.

use crate::{Detail, GroupName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How loud something is. Events of level warning also run the notification script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// For whoever looks for a defect.
    Debug,
    /// Details of normal life.
    Verbose,
    /// Normal life.
    Notice,
    /// Somebody should know.
    Warning,
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// An event: published on the channel of its name and logged as `<name> <detail>`. Level debug is not published.
    Event {
        /// How loud.
        level: Level,
        /// The event.
        event: Event,
        /// What it is about.
        detail: Detail,
        /// The group that it concerns.
        group: Option<GroupName>,
    },
    /// A line for the log alone.
    Log {
        /// How loud.
        level: Level,
        /// The line.
        text: String,
    },
}

macro_rules! events {
    ($($name:ident = $text:literal,)*) => {
        /// The events' names. As text they are the names of the channels.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Event { $(#[doc = concat!("`", $text, "`")] $name,)* }

        impl Event {
            /// All of them.
            pub const ALL: &'static [Event] = &[$(Event::$name,)*];

            /// The name of the channel.
            pub const fn as_str(self) -> &'static str {
                match self { $(Event::$name => $text,)* }
            }
        }
    };
}

events! {
    Monitor = "+monitor",
    Unmonitor = "-monitor",
    Set = "+set",
    ResetMaster = "+reset-master",
    NewReplica = "+slave",
    NewSentinel = "+sentinel",
    SentinelAddressSwitch = "+sentinel-address-switch",
    SentinelInvalidAddr = "+sentinel-invalid-addr",
    Reboot = "+reboot",
    RoleAsExpected = "+role-change",
    RoleUnexpected = "-role-change",
    Sdown = "+sdown",
    SdownOver = "-sdown",
    Odown = "+odown",
    OdownOver = "-odown",
    NewEpoch = "+new-epoch",
    VoteForLeader = "+vote-for-leader",
    ConfigUpdateFrom = "+config-update-from",
    TryFailover = "+try-failover",
    ElectedLeader = "+elected-leader",
    SelectReplica = "+failover-state-select-slave",
    SelectedReplica = "+selected-slave",
    SendReplicaOfNoOne = "+failover-state-send-slaveof-noone",
    WaitPromotion = "+failover-state-wait-promotion",
    PromotedReplica = "+promoted-slave",
    ReconfReplicas = "+failover-state-reconf-slaves",
    ReconfSent = "+slave-reconf-sent",
    ReconfInProgress = "+slave-reconf-inprog",
    ReconfDone = "+slave-reconf-done",
    ReconfSentBestEffort = "+slave-reconf-sent-be",
    ReconfSentTimeout = "-slave-reconf-sent-timeout",
    FailoverEnd = "+failover-end",
    FailoverEndForTimeout = "+failover-end-for-timeout",
    SwitchMaster = "+switch-master",
    AbortNotElected = "-failover-abort-not-elected",
    AbortNoGoodReplica = "-failover-abort-no-good-slave",
    AbortReplicaTimeout = "-failover-abort-slave-timeout",
    ConvertToReplica = "+convert-to-slave",
    FixReplicaConfig = "+fix-slave-config",
    Tilt = "+tilt",
    TiltOver = "-tilt",
    ScriptError = "-script-error",
    ScriptTimeout = "-script-timeout",
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Event {
    /// How loud it is, as in the original.
    pub const fn level(self) -> Level {
        match self {
            Event::RoleAsExpected | Event::RoleUnexpected => Level::Verbose,
            Event::NewReplica
            | Event::NewSentinel
            | Event::SentinelAddressSwitch
            | Event::Reboot
            | Event::SendReplicaOfNoOne
            | Event::WaitPromotion
            | Event::ReconfSent
            | Event::ReconfInProgress
            | Event::ReconfDone
            | Event::ReconfSentBestEffort
            | Event::ReconfSentTimeout
            | Event::ConvertToReplica
            | Event::FixReplicaConfig => Level::Notice,
            _ => Level::Warning,
        }
    }
}
