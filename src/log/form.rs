//! What a line looks like: as Sentinel writes it, one JSON object, or logfmt.

use crate::clock;
use crate::config;
use crate::quoting::visible;
use consentinel_core::Level;
use serde_json::{Map, Value};
use std::fmt::{self, Write};
use tracing::field::{Field, Visit};

/// What marks an event of Sentinel: its words are its message, its fields only the parts of it.
pub(super) const EVENT: &str = "consentinel::event";

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `PID:X 21 Nov 2026 11:47:15.182 # +sdown master ...`
    Lines,
    /// `{"time":"...","level":"warning","message":"+sdown master ...","event":"+sdown",...}`
    Json,
    /// `pid=1 role=sentinel timestamp="21 Nov 2026 11:47:15.182" level=warning message="+sdown master ..."`
    Logfmt,
}

/// What a line says. It has no control characters but line breaks, whoever is quoted in it: each of them passes here.
#[derive(Debug)]
pub(super) struct Collected {
    /// Its words.
    pub message: String,
    /// What else there is: name and value.
    pub fields: Vec<(&'static str, Value)>,
    is_event: bool,
}

/// A span around a line: what it is called, and its fields.
pub(super) type SpanText = (&'static str, Vec<(&'static str, Value)>);

impl Collected {
    /// Nothing yet.
    pub(super) fn new(target: &str) -> Self {
        Collected { message: String::new(), fields: Vec::new(), is_event: target == EVENT }
    }

    /// A field, or the words.
    pub(super) fn push_text(&mut self, name: &'static str, text: &str) {
        match name {
            "message" => self.message.push_str(&visible(text)),
            name => self.fields.push((name, visible(text).into())),
        }
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push_text(field.name(), &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }
}

impl Form {
    /// A whole line, with its end.
    pub(super) fn line(self, level: Level, said: &Collected, spans: &[SpanText]) -> String {
        match self {
            Form::Lines => plain(level, said, spans),
            Form::Json => json(level, said, spans),
            Form::Logfmt => logfmt(level, said, spans),
        }
    }
}

fn plain(level: Level, said: &Collected, spans: &[SpanText]) -> String {
    let mark = match level {
        Level::Debug => '.',
        Level::Verbose => '-',
        Level::Notice => '*',
        Level::Warning => '#',
    };
    let mut line = format!("{}:X {} {mark} ", std::process::id(), clock::log_stamp());
    push_words(&mut line, said, spans);
    line.push('\n');
    line
}

fn push_words(line: &mut String, said: &Collected, spans: &[SpanText]) {
    push_one_line(line, &said.message);
    if !said.is_event {
        push_fields(line, &said.fields);
    }
    for (name, fields) in spans {
        write!(line, " ({name}").expect("writing to a string cannot fail");
        push_fields(line, fields);
        line.push(')');
    }
}

fn logfmt(level: Level, said: &Collected, spans: &[SpanText]) -> String {
    let mut words = String::new();
    push_words(&mut words, said, spans);
    let words = words.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "pid={} role=sentinel timestamp=\"{}\" level={} message=\"{words}\"\n",
        std::process::id(),
        clock::log_stamp(),
        config::level_name(level)
    )
}

fn push_fields(line: &mut String, fields: &[(&'static str, Value)]) {
    for (name, value) in fields {
        write!(line, " {name}=").expect("writing to a string cannot fail");
        match value {
            Value::String(text) => push_one_line(line, text),
            other => write!(line, "{other}").expect("writing to a string cannot fail"),
        }
    }
}

/// Nobody who is quoted in the log can write a line of their own.
fn push_one_line(line: &mut String, text: &str) {
    match text.contains(['\n', '\r']) {
        false => line.push_str(text),
        true => line.extend(text.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c })),
    }
}

fn json(level: Level, said: &Collected, spans: &[SpanText]) -> String {
    let mut object = Map::new();
    object.insert("time".into(), clock::rfc3339().into());
    object.insert("level".into(), config::level_name(level).into());
    object.insert("pid".into(), std::process::id().into());
    object.insert("message".into(), said.message.as_str().into());
    object.extend(said.fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    if !spans.is_empty() {
        let of = |(name, fields): &SpanText| {
            let mut span = Map::new();
            span.insert("name".into(), (*name).into());
            span.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            Value::from(span)
        };
        object.insert("spans".into(), spans.iter().map(of).collect());
    }
    let mut line = Value::from(object).to_string();
    line.push('\n');
    line
}
