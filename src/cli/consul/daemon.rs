//! Asking a running daemon what should be published.

use crate::driver::wire::{self, Frame};
use bytes::BytesMut;
use consentinel_core::Secret;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the daemon may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a daemon says of a master: fields, and lists of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// `state`, `error`, `lock`, ...
    pub fields: BTreeMap<String, String>,
    /// What should be published.
    pub desired: Vec<BTreeMap<String, String>>,
}

/// Asks for one master.
pub(super) async fn ask(at: &str, password: Option<&Secret>, master: &str) -> Result<Told, String> {
    let conversation = converse(at, password, master);
    match tokio::time::timeout(PATIENCE, conversation).await {
        Ok(result) => result,
        Err(_) => Err(format!("the daemon at {at} does not answer")),
    }
}

async fn converse(at: &str, password: Option<&Secret>, master: &str) -> Result<Told, String> {
    let unreachable = |error: std::io::Error| format!("the daemon at {at} cannot be reached: {error}");
    let mut stream = TcpStream::connect(at).await.map_err(unreachable)?;
    let (mut out, mut buf) = (BytesMut::new(), BytesMut::new());
    if let Some(password) = password {
        wire::write_command(&mut out, &["AUTH", password.reveal()]);
        stream.write_all(&out.split()).await.map_err(unreachable)?;
        if let Frame::Error(text) =
            read(&mut stream, &mut buf).await.map_err(|error| format!("{at}: {error}"))?
        {
            return Err(format!(
                "the daemon at {at} refuses the password: {}",
                String::from_utf8_lossy(text)
            ));
        }
        buf.clear();
    }
    wire::write_command(&mut out, &["SENTINEL", "CONSUL", master]);
    stream.write_all(&out).await.map_err(unreachable)?;
    match read(&mut stream, &mut buf).await.map_err(|error| format!("{at}: {error}"))? {
        Frame::Error(text) => Err(format!("the daemon at {at}: {}", String::from_utf8_lossy(text))),
        frame => understood(&frame).ok_or_else(|| format!("what answers at {at} is no consentinel")),
    }
}

/// The next answer. The buffer holds nothing else.
async fn read<'a>(stream: &mut TcpStream, buf: &'a mut BytesMut) -> Result<Frame<'a>, String> {
    loop {
        match wire::reply(buf) {
            Ok(Some(_)) => break,
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
        if stream.read_buf(buf).await.map_err(|error| error.to_string())? == 0 {
            return Err("the connection was closed".into());
        }
    }
    match wire::reply(buf) {
        Ok(Some((frame, _))) => Ok(frame),
        _ => Err("no answer".into()),
    }
}

fn understood(frame: &Frame<'_>) -> Option<Told> {
    let mut told = Told::default();
    for (field, value) in pairs(frame)? {
        match value {
            Frame::Array(items) if field == "desired" => {
                told.desired = items.iter().map(texts).collect::<Option<_>>()?;
            }
            Frame::Array(_) => {}
            value => drop(told.fields.insert(field, text(value)?)),
        }
    }
    told.fields.contains_key("state").then_some(told)
}

fn texts(frame: &Frame<'_>) -> Option<BTreeMap<String, String>> {
    pairs(frame)?.into_iter().map(|(field, value)| Some((field, text(value)?))).collect()
}

fn pairs<'a>(frame: &'a Frame<'a>) -> Option<Vec<(String, &'a Frame<'a>)>> {
    let Frame::Array(items) = frame else { return None };
    items.chunks(2).map(|pair| Some((text(pair.first()?)?, pair.get(1)?))).collect()
}

fn text(frame: &Frame<'_>) -> Option<String> {
    match frame {
        Frame::Bulk(text) | Frame::Simple(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Frame::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}
