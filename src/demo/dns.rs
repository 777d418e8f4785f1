//! Asking DNS, as `dig` does it.

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// What is asked for: the one current master.
pub(super) const NAME: &str = "redis.service.consul";

/// What an answer may be long.
const SIZE: u16 = 1232;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The records, as `dig +short` prints them, and the ports that they name.
    Records(Vec<(u16, String)>),
    /// The name is there no more, or has no such records: `NXDOMAIN`, `NODATA`, `SERVFAIL`.
    Nothing(String),
    /// Nobody answered.
    Silence,
}

impl Answer {
    /// The port of the one master that is named.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Answer::Records(records) => match records[..] {
                [(port, _)] => Some(port),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Records(records) => {
                let lines: Vec<_> = records.iter().map(|(_, line)| line.as_str()).collect();
                write!(f, "{}", lines.join(" and "))
            }
            Answer::Nothing(code) => write!(f, "nothing ({code})"),
            Answer::Silence => write!(f, "nothing (no answer)"),
        }
    }
}

/// A socket that asks one server.
#[derive(Debug)]
pub(super) struct Dns {
    socket: UdpSocket,
    patience: Duration,
}

impl Dns {
    /// Asks the server at that address, and waits so long for an answer.
    pub(super) async fn new(server: SocketAddr, patience: Duration) -> Result<Dns> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(server).await?;
        Ok(Dns { socket, patience })
    }

    /// Asks for the master.
    pub(super) async fn ask(&self) -> Answer {
        match tokio::time::timeout(self.patience, self.converse()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Answer::Silence,
        }
    }

    async fn converse(&self) -> Result<Answer> {
        let name = Name::from_ascii(format!("{NAME}.")).map_err(Error::other)?;
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(name, RecordType::SRV));
        let mut edns = Edns::new();
        edns.set_max_payload(SIZE);
        question.set_edns(edns);
        self.socket.send(&question.to_vec().map_err(Error::other)?).await?;
        let mut buffer = [0; SIZE as usize];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            let answer = Message::from_vec(&buffer[..length])
                .map_err(|error| Error::new(ErrorKind::InvalidData, error.to_string()))?;
            // What comes late for an earlier question is none for this one.
            if answer.metadata.id == question.metadata.id
                && answer.metadata.message_type == MessageType::Response
            {
                return Ok(understood(&answer));
            }
        }
    }
}

fn understood(answer: &Message) -> Answer {
    let records = answer.answers.iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => {
            Some((srv.port, format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target)))
        }
        _ => None,
    });
    let mut records: Vec<_> = records.collect();
    records.sort();
    match answer.metadata.response_code {
        ResponseCode::NoError if records.is_empty() => Answer::Nothing("NODATA".into()),
        ResponseCode::NoError => Answer::Records(records),
        ResponseCode::NXDomain => Answer::Nothing("NXDOMAIN".into()),
        ResponseCode::ServFail => Answer::Nothing("SERVFAIL".into()),
        other => Answer::Nothing(other.to_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::SRV;

    fn answer(code: ResponseCode, ports: &[u16]) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.response_code = code;
        let name = Name::from_ascii("redis.service.consul.").expect("a good name");
        let target = Name::from_ascii("7f000001.addr.dc1.consul.").expect("a good name");
        for port in ports {
            let data = RData::SRV(SRV::new(1, 1, *port, target.clone()));
            message.add_answer(Record::from_rdata(name.clone(), 0, data));
        }
        message
    }

    #[test]
    fn an_answer_reads_as_dig_prints_it() {
        let one = understood(&answer(ResponseCode::NoError, &[6379]));
        assert_eq!(one, Answer::Records(vec![(6379, "1 1 6379 7f000001.addr.dc1.consul.".into())]));
        assert_eq!(one.port(), Some(6379));
    }

    #[test]
    fn two_masters_are_no_master() {
        assert_eq!(understood(&answer(ResponseCode::NoError, &[6379, 6380])).port(), None);
    }

    #[test]
    fn nothing_has_a_name() {
        for (code, name) in [
            (ResponseCode::NXDomain, "NXDOMAIN"),
            (ResponseCode::ServFail, "SERVFAIL"),
            (ResponseCode::NoError, "NODATA"),
        ] {
            assert_eq!(understood(&answer(code, &[])), Answer::Nothing(name.into()));
        }
    }
}
