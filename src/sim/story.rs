//! The story of a run: one line for each notable thing, for people.

use consentinel_core::{Request, Time};
use std::fmt;

/// A line of a story.
#[derive(Clone, Debug)]
pub struct Line {
    /// When.
    pub at: Time,
    /// Who and what.
    pub text: String,
}

/// What happened so far, if anybody listens.
#[derive(Debug, Default)]
pub(crate) struct Story {
    listening: bool,
    lines: Vec<Line>,
}

impl Story {
    pub(crate) fn new(listening: bool) -> Self {
        Story { listening, lines: Vec::new() }
    }

    /// Adds a line. The text is made only when somebody listens.
    pub(crate) fn tell(&mut self, at: Time, text: impl FnOnce() -> String) {
        if self.listening {
            self.lines.push(Line { at, text: text() });
        }
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.listening
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// Seconds with milliseconds, so wide that lines stand below each other.
pub(crate) fn stamp(at: Time) -> String {
    format!("{:>8}.{:03}", at.as_millis() / 1000, at.as_millis() % 1000)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", stamp(self.at), self.text)
    }
}

/// What an operator types.
pub(crate) fn request(request: &Request) -> String {
    match request {
        Request::Failover { group } => format!("failover {group}"),
        Request::Reset { pattern } => format!("reset {pattern}"),
        Request::Monitor { group, master, quorum } => format!("monitor {group} {master} {quorum}"),
        Request::Remove { group } => format!("remove {group}"),
        Request::ForgetReplica { group, replica } => format!("forget {group} {replica}"),
        Request::ForgetSentinel { group, sentinel } => format!("forget {group} {sentinel}"),
        Request::FlushConfig => "flushconfig".into(),
        Request::Set { group, changes } => format!("set {group} {changes:?}"),
        other => format!("{other:?}"),
    }
}
