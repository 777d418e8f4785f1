//! Messages as bytes. The only file that knows the crate which reads and writes them.
//!
//! What comes in is looked at by hand first, as far as the header goes: whatever cannot be a question of ours gets its answer, or
//! none, before anything is taken apart.

use super::answer_types::{Code, Data, Note, Owner, Record, Reply};
use super::question::{Kind, Question};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record as Wired, RecordType};

/// The longest answer over UDP: more than that would be cut into pieces on the way.
pub(super) const MOST_UDP: u16 = 1232;

/// What somebody who says nothing of it can take over UDP.
const USUAL_UDP: u16 = 512;

/// What can be said over TCP.
pub(super) const MOST_TCP: usize = u16::MAX as usize;

const HEADER: usize = 12;

/// The number of the option for Extended DNS Errors.
const EXTENDED_ERROR: u16 = 15;

/// A text longer than this helps nobody.
const LONGEST_NOTE: usize = 250;

/// What came in.
pub(super) enum Heard {
    /// Nothing that may be answered: too short, or an answer itself.
    Noise,
    /// Something that gets this answer, whatever it asks.
    Wrong(Code, [u8; HEADER]),
    /// A question.
    Ask(Box<Ask>),
}

/// A question, and what must be said back with its answer.
pub(super) struct Ask {
    /// The question.
    pub question: Question,
    id: u16,
    recursion_desired: bool,
    checking_disabled: bool,
    query: Query,
    edns: Option<Edns>,
}

/// Reads a message.
pub(super) fn read(bytes: &[u8]) -> Heard {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Heard::Noise };
    let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (flags, [questions, answers, authorities, additionals]) =
        (number(2), [number(4), number(6), number(8), number(10)]);
    if flags & RESPONSE != 0 {
        return Heard::Noise;
    }
    let wrong = |code: Code| {
        let mut answer = [0; HEADER];
        answer[..2].copy_from_slice(&header[..2]);
        let kept = flags & (OPERATION | RECURSION_DESIRED);
        answer[2..4].copy_from_slice(&(RESPONSE | kept | u16::from(number_of(code).low())).to_be_bytes());
        Heard::Wrong(code, answer)
    };
    if flags & OPERATION != 0 {
        return wrong(Code::NotKnown);
    }
    // One question, and behind it at most what EDNS and signatures need.
    if questions != 1 || answers != 0 || authorities > 1 || additionals > 2 {
        return wrong(Code::Malformed);
    }
    let Ok(Message { metadata, mut queries, edns, .. }) = Message::from_vec(bytes) else {
        return wrong(Code::Malformed);
    };
    let Some(query) = queries.pop() else { return wrong(Code::Malformed) };
    let label = |label: &[u8]| String::from_utf8_lossy(label).into_owned();
    let question = Question::new(query.name().iter().map(label).collect(), kind(query.query_type()));
    Heard::Ask(Box::new(Ask {
        question,
        id: metadata.id,
        recursion_desired: metadata.recursion_desired,
        checking_disabled: metadata.checking_disabled,
        query,
        edns,
    }))
}

impl Ask {
    /// How long an answer over UDP may be.
    pub(super) fn limit(&self) -> usize {
        usize::from(
            self.edns.as_ref().map_or(USUAL_UDP, |edns| edns.max_payload().clamp(USUAL_UDP, MOST_UDP)),
        )
    }

    /// What is said to it whatever it asks: it wants a version of EDNS that nobody knows yet, or is not about the
    /// Internet.
    pub(super) fn fault(&self) -> Option<Code> {
        if self.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Some(Code::BadVersion);
        }
        (self.query.query_class() != DNSClass::IN).then_some(Code::Refused)
    }

    /// That it should be asked over TCP, and nothing more.
    pub(super) fn come_again(&self) -> Vec<u8> {
        let mut message = self.message(&Reply::default());
        message.metadata.truncation = true;
        self.bytes(&message)
    }

    /// The answer, as long as it may be, and whether something had to be left out.
    pub(super) fn write(&self, reply: &Reply, limit: usize) -> (Vec<u8>, bool) {
        let mut message = self.message(reply);
        let bytes = self.bytes(&message);
        if bytes.len() <= limit {
            return (bytes, false);
        }
        // What was not asked for goes first, and need not be missed.
        message.additionals.clear();
        let mut bytes = self.bytes(&message);
        let whole = bytes.len() <= limit;
        while bytes.len() > limit && !message.answers.is_empty() {
            message.metadata.truncation = true;
            // Near enough to what fits that a few rounds do.
            let fits = message.answers.len() * limit / bytes.len();
            message.answers.truncate(fits.min(message.answers.len() - 1));
            bytes = self.bytes(&message);
        }
        (bytes, !whole)
    }

    fn message(&self, reply: &Reply) -> Message {
        let mut message = Message::new(self.id, MessageType::Response, OpCode::Query);
        message.metadata.authoritative = matches!(reply.code, Code::Good | Code::NoSuchName);
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.checking_disabled = self.checking_disabled;
        message.metadata.response_code = number_of(reply.code);
        message.add_query(self.query.clone());
        let wired = |records: &[Record]| records.iter().filter_map(|record| self.record(record)).collect();
        message.answers = wired(&reply.answers);
        message.authorities = wired(&reply.authority);
        message.additionals = wired(&reply.additional);
        if let Some(theirs) = &self.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(MOST_UDP).set_dnssec_ok(theirs.flags().dnssec_ok);
            if let Some(note) = &reply.note {
                edns.options_mut().insert(extended_error(note));
            }
            message.set_edns(edns);
        }
        message
    }

    /// What cannot be written is a defect of ours: the asker gets to know, and nobody is the worse for it.
    fn bytes(&self, message: &Message) -> Vec<u8> {
        message.to_vec().unwrap_or_else(|_| {
            let failed = Message::error_msg(self.id, OpCode::Query, ResponseCode::ServFail);
            failed.to_vec().unwrap_or_default()
        })
    }

    /// Nothing when a name is too long for DNS: a master may be called as it likes.
    fn record(&self, record: &Record) -> Option<Wired> {
        let owner = match &record.owner {
            Owner::Asked => self.query.name().clone(),
            Owner::Name(name) => wired_name(name)?,
        };
        let data = match &record.data {
            Data::A(ip) => RData::A(A(*ip)),
            Data::Aaaa(ip) => RData::AAAA(AAAA(*ip)),
            Data::Cname(name) => RData::CNAME(CNAME(wired_name(name)?)),
            Data::Srv { weight, port, target } => {
                RData::SRV(SRV::new(PRIORITY, *weight, *port, wired_name(target)?))
            }
            // A text is in pieces of 255 bytes.
            Data::Txt(text) => RData::TXT(TXT::from_bytes(text.as_bytes().chunks(255).collect())),
            Data::Soa(domain) => {
                let (ns, master) = (wired_name(&format!("ns.{domain}"))?, format!("hostmaster.{domain}"));
                let serial = crate::clock::since_epoch().as_secs() as u32;
                RData::SOA(SOA::new(ns, wired_name(&master)?, serial, 3600, 600, 86_400, 0))
            }
            Data::Ns(name) => RData::NS(NS(wired_name(name)?)),
        };
        Some(Wired::from_rdata(owner, record.ttl, data))
    }
}

/// As Consul has it.
const PRIORITY: u16 = 1;

const RESPONSE: u16 = 0x8000;
const OPERATION: u16 = 0x7800;
const RECURSION_DESIRED: u16 = 0x0100;

fn wired_name(name: &str) -> Option<Name> {
    Name::from_labels(name.split('.').map(str::as_bytes)).ok()
}

fn extended_error(note: &Note) -> EdnsOption {
    let end =
        (0..=LONGEST_NOTE.min(note.text.len())).rfind(|at| note.text.is_char_boundary(*at)).unwrap_or(0);
    let bytes = [&note.code.to_be_bytes()[..], &note.text.as_bytes()[..end]].concat();
    EdnsOption::Unknown(EXTENDED_ERROR, bytes)
}

fn number_of(code: Code) -> ResponseCode {
    match code {
        Code::Good => ResponseCode::NoError,
        Code::Malformed => ResponseCode::FormErr,
        Code::Failed => ResponseCode::ServFail,
        Code::NoSuchName => ResponseCode::NXDomain,
        Code::NotKnown => ResponseCode::NotImp,
        Code::Refused => ResponseCode::Refused,
        Code::BadVersion => ResponseCode::BADVERS,
    }
}

fn kind(kind: RecordType) -> Kind {
    match kind {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::SRV => Kind::Srv,
        RecordType::TXT => Kind::Txt,
        RecordType::CNAME => Kind::Cname,
        RecordType::SOA => Kind::Soa,
        RecordType::NS => Kind::Ns,
        RecordType::ANY => Kind::Any,
        RecordType::AXFR | RecordType::IXFR => Kind::Transfer,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests;
