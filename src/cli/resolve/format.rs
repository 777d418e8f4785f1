//! The formats of an answer: one line, JSON, a URL or shell variables.

use clap::ValueEnum;
use consentinel_resolver::{Epoch, Freshness, Master, Peer, Replica};
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

/// The ways that need no template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Plain,
    Json,
    Url,
    Env,
}

/// Somebody who was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    role: &'static str,
    addr: SocketAddr,
    name: String,
    epoch: Option<Epoch>,
    /// What only JSON tells.
    more: Map<String, Value>,
}

impl Found {
    pub(super) fn master(master: &Master) -> Found {
        let mut found = Found::new("master", master.addr, &master.host);
        found.epoch = master.epoch;
        if let Some(epoch) = master.epoch {
            found.more.insert("epoch".into(), epoch.0.into());
        }
        let is_fresh = matches!(master.freshness, Freshness::Fresh);
        found.more.insert("fresh".into(), is_fresh.into());
        found
    }

    pub(super) fn replica(replica: &Replica) -> Found {
        let mut found = Found::new("replica", replica.addr, &replica.host);
        found.more.insert("priority".into(), replica.priority.into());
        found.more.insert("weight".into(), replica.weight.into());
        found
    }

    pub(super) fn sentinel(peer: &Peer) -> Found {
        Found::new("sentinel", peer.addr, &peer.host)
    }

    fn new(role: &'static str, addr: SocketAddr, name: &str) -> Found {
        Found { role, addr, name: name.to_owned(), epoch: None, more: Map::new() }
    }

    /// What stands for a word in braces.
    fn value(&self, field: Field) -> String {
        match field {
            Field::Host => self.addr.ip().to_string(),
            Field::Port => self.addr.port().to_string(),
            Field::Name => self.name.clone(),
            Field::Epoch => self.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
        }
    }

    /// For the environment of a command, or of a shell.
    pub(super) fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("REDIS_HOST", self.value(Field::Host)),
            ("REDIS_PORT", self.value(Field::Port)),
            ("REDIS_URL", Format::Url.write(self)),
            ("REDIS_EPOCH", self.value(Field::Epoch)),
        ]
    }
}

impl Format {
    pub(super) fn write(self, found: &Found) -> String {
        match self {
            Format::Plain => format!("{} {}", found.addr.ip(), found.addr.port()),
            Format::Url => format!("redis://{}", found.addr),
            // Digits, dots and colons alone: nothing that a shell would take for its own.
            Format::Env => {
                let lines: Vec<_> =
                    found.variables().iter().map(|(name, value)| format!("{name}={value}")).collect();
                lines.join("\n")
            }
            Format::Json => {
                let mut fields = found.more.clone();
                let own = json!({ "role": found.role, "host": found.addr.ip().to_string(),
                    "port": found.addr.port(), "name": found.name });
                fields.extend(own.as_object().cloned().unwrap_or_default());
                Value::Object(fields).to_string()
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Host,
    Port,
    Name,
    Epoch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

/// A text with words in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
            } else {
                let (field, after) = field(brace, rest)?;
                pieces.extend((!plain.is_empty()).then(|| Piece::Text(std::mem::take(&mut plain))));
                pieces.push(Piece::Field(field));
                rest = after;
            }
        }
        plain.push_str(rest);
        pieces.extend((!plain.is_empty()).then_some(Piece::Text(plain)));
        Ok(Template(pieces))
    }

    pub(super) fn fill(&self, found: &Found) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Field(field) => found.value(*field),
        };
        self.0.iter().map(piece).collect()
    }
}

fn field<'a>(brace: &str, rest: &'a str) -> Result<(Field, &'a str), String> {
    let known = "{host}, {port}, {name} and {epoch} are known; a brace itself is written twice";
    let (word, after) =
        rest.split_once('}').filter(|_| brace == "{").ok_or_else(|| format!("a lone {brace:?}: {known}"))?;
    let field = match word {
        "host" => Field::Host,
        "port" => Field::Port,
        "name" => Field::Name,
        "epoch" => Field::Epoch,
        _ => return Err(format!("{{{word}}} stands for nothing: {known}")),
    };
    Ok((field, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addr: &str) -> Found {
        let mut found = Found::new("master", addr.parse().expect("an address"), "redis.lan");
        found.epoch = Some(Epoch(7));
        found
    }

    #[test]
    fn every_format_can_be_used_as_it_is() {
        let four = found("10.0.0.1:6379");
        assert_eq!(Format::Plain.write(&four), "10.0.0.1 6379");
        assert_eq!(Format::Url.write(&four), "redis://10.0.0.1:6379");
        assert_eq!(
            Format::Env.write(&four),
            "REDIS_HOST=10.0.0.1\nREDIS_PORT=6379\nREDIS_URL=redis://10.0.0.1:6379\nREDIS_EPOCH=7"
        );
        let six = found("[2001:db8::1]:6379");
        assert_eq!(Format::Plain.write(&six), "2001:db8::1 6379");
        assert_eq!(Format::Url.write(&six), "redis://[2001:db8::1]:6379");
        let json: Value = serde_json::from_str(&Format::Json.write(&six)).expect("it is JSON");
        assert_eq!(
            json,
            json!({ "role": "master", "host": "2001:db8::1", "port": 6379, "name": "redis.lan" })
        );
    }

    #[test]
    fn a_template_is_filled_in() {
        let fill = |text: &str| Template::parse(text).map(|template| template.fill(&found("10.0.0.1:6379")));
        assert_eq!(
            fill("server {host}:{port} # {epoch}, {name}"),
            Ok("server 10.0.0.1:6379 # 7, redis.lan".into())
        );
        assert_eq!(fill("{{{host}}}"), Ok("{10.0.0.1}".into()));
        assert_eq!(fill("nothing"), Ok("nothing".into()));
        for (text, what) in
            [("{hots}", "{hots} stands"), ("{host", "a lone"), ("}", "a lone"), ("{", "a lone")]
        {
            let error = fill(text).expect_err(text);
            assert!(error.contains(what) && error.contains("{port}"), "{error}");
        }
    }
}
