//! The types of an answer, before it becomes bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// How the question was taken.
    pub code: Code,
    /// What was asked for.
    pub answers: Vec<Record>,
    /// Who is in charge, where there is no answer.
    pub authority: Vec<Record>,
    /// What will be asked next.
    pub additional: Vec<Record>,
    /// Why it is as it is.
    pub note: Option<Note>,
}

/// How a question was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Code {
    /// NOERROR
    #[default]
    Good,
    /// FORMERR
    Malformed,
    /// SERVFAIL
    Failed,
    /// NXDOMAIN
    NoSuchName,
    /// NOTIMP
    NotKnown,
    /// REFUSED
    Refused,
    /// BADVERS
    BadVersion,
}

/// Whose a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The name that was asked for, as it was written.
    Asked,
    /// That name.
    Name(String),
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Whose it is.
    pub owner: Owner,
    /// For how many seconds it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says. Names have no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name.
    Cname(String),
    /// A host and a port.
    Srv {
        /// The share of the questions that it should get.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: String,
    },
    /// A text.
    Txt(String),
    /// Where the zone begins: its domain.
    Soa(String),
    /// Who answers for the zone.
    Ns(String),
}

/// An Extended DNS Error (RFC 8914): why it is as it is, for machines and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Its number.
    pub code: u16,
    /// The same in words.
    pub text: String,
}

/// Something of which the standard has no word.
pub(super) const OTHER: u16 = 0;
/// What is answered was so some time ago.
pub(super) const STALE_ANSWER: u16 = 3;
/// It cannot be told yet.
pub(super) const NOT_READY: u16 = 14;
/// We do not answer for that name.
pub(super) const NOT_AUTHORITATIVE: u16 = 20;
/// Those who would know cannot be heard.
pub(super) const NO_REACHABLE_AUTHORITY: u16 = 22;

impl Reply {
    /// Nothing but that.
    pub(super) fn only(code: Code) -> Reply {
        Reply { code, ..Reply::default() }
    }

    /// With the reason.
    pub(super) fn because(mut self, code: u16, text: impl Into<String>) -> Reply {
        self.note = Some(Note { code, text: text.into() });
        self
    }
}

impl Data {
    /// The record of an address.
    pub(super) fn address(ip: IpAddr) -> Data {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Data::A(ip),
            IpAddr::V6(ip) => Data::Aaaa(ip),
        }
    }
}
