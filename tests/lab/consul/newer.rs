//! An agent that refuses what newer releases of Consul refuse: it stands before one of 1.8, which does the rest.

use super::Consul;
use crate::{free_port, http};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// For what is asked on the way.
const MOMENT: Duration = Duration::from_secs(5);

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As Consul 2.0: a service keeps its name for as long as it has its ID, and neither knows big letters from small.
    Newest,
    /// As Consul 1.21.5: a key with `..` in it is refused.
    WithoutDots,
    /// Every request is one too many.
    Limiting,
    /// Its servers have lost their leader.
    Leaderless,
}

/// The agent that is asked.
pub struct NewerConsul {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: SocketAddr,
    mood: Mutex<Mood>,
    refused: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl NewerConsul {
    /// Starts one before that agent.
    pub fn before(consul: &Consul, mood: Mood) -> NewerConsul {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port was free");
        let (mood, refused, is_over) = (Mutex::new(mood), Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { to: consul.http(), mood, refused, is_over });
        std::thread::spawn({
            let shared = shared.clone();
            move || {
                for near in listener.incoming().flatten() {
                    if shared.is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let shared = shared.clone();
                    std::thread::spawn(move || while serve(&near, &shared).is_ok_and(|more| more) {});
                }
            }
        });
        NewerConsul { port, shared }
    }

    /// As CONSUL_HTTP_ADDR.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on it behaves so.
    pub fn becomes(&self, mood: Mood) {
        *self.shared.mood.lock().expect("nobody panics while holding it") = mood;
    }

    /// What it has refused, in its words.
    pub fn refused(&self) -> Vec<String> {
        self.shared.refused.lock().expect("nobody panics while holding it").clone()
    }
}

impl Drop for NewerConsul {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)); // it is told by that
    }
}

/// Answers one request; whether another one may come.
fn serve(near: &TcpStream, shared: &Shared) -> Result<bool> {
    let Some(request) = read(&mut BufReader::new(near))? else { return Ok(false) };
    let mood = *shared.mood.lock().expect("nobody panics while holding it");
    let (head, body) = match refusal(&request, mood, shared.to) {
        Some((status, text)) => {
            shared.refused.lock().expect("nobody panics while holding it").push(text.clone());
            (format!("HTTP/1.1 {status} Refused\r\n"), text.into_bytes())
        }
        None => forward(&request, shared.to)?,
    };
    let mut near = near;
    near.write_all(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes())?;
    near.write_all(&body)?;
    Ok(true)
}

fn read(from: &mut impl BufRead) -> Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap_or(0);
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(Request { method, path, headers, body }))
}

/// Status and text, if the release would refuse it.
fn refusal(request: &Request, mood: Mood, to: SocketAddr) -> Option<(u16, String)> {
    let operations = || serde_json::from_slice::<Vec<Value>>(&request.body).unwrap_or_default();
    let failed = |at: usize, what: &str| {
        Some((409, json!({ "Results": null, "Errors": [{ "OpIndex": at, "What": what }] }).to_string()))
    };
    match mood {
        Mood::Limiting => Some((
            503,
            "rate limit exceeded for operation that can only be performed by the leader, try again later"
                .into(),
        )),
        Mood::Leaderless => Some((500, "Raft leader not found in server lookup mapping".into())),
        Mood::WithoutDots if request.path.starts_with("/v1/kv/") => {
            request.path.contains("..").then(|| (400, "Invalid key. Key must not contain \"..\"".into()))
        }
        _ if !request.path.starts_with("/v1/txn") => None,
        Mood::WithoutDots => {
            let operations = operations();
            let key =
                |operation: &Value| operation["KV"]["Key"].as_str().is_some_and(|key| key.contains(".."));
            failed(operations.iter().position(key)?, "key must not contain \"..\"")
        }
        Mood::Newest => {
            let operations = operations();
            let renames = |operation: &Value| {
                let (set, node) = (&operation["Service"], operation["Service"]["Node"].as_str());
                let service = &set["Service"];
                node.is_some_and(|node| set["Verb"] == "set" && has_other_name(request, to, node, service))
            };
            failed(
                operations.iter().position(renames)?,
                "service name does not match existing service name for service ID",
            )
        }
    }
}

/// Whether the node has that service under another name.
fn has_other_name(request: &Request, to: SocketAddr, node: &str, service: &Value) -> bool {
    let named = |name: &str| request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let token = named("x-consul-token").map(|(_, token)| token.as_str());
    let path = format!("/v1/catalog/node/{}", http::escape(node));
    let answer = http::request(to, MOMENT, "GET", &path, token, "").ok();
    let known: Value = answer.and_then(|it| serde_json::from_str(&it.body).ok()).unwrap_or_default();
    let id = service["ID"].as_str().unwrap_or_default();
    let mut known = known["Services"].as_object().into_iter().flatten();
    known.any(|(known, it)| known.eq_ignore_ascii_case(id) && it["Service"] != service["Service"])
}

/// What the agent behind answers.
fn forward(request: &Request, to: SocketAddr) -> Result<(String, Vec<u8>)> {
    let mut far = TcpStream::connect(to)?;
    let Request { method, path, headers, body } = request;
    let mut head = format!("{method} {path} HTTP/1.0\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("connection")) {
        head += &format!("{name}: {value}\r\n");
    }
    far.write_all((head + "\r\n").as_bytes())?;
    far.write_all(body)?;
    let mut answer = Vec::new();
    far.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    let body = answer.split_off(end);
    let text = String::from_utf8_lossy(&answer).replacen("HTTP/1.0", "HTTP/1.1", 1);
    let kept = text.lines().filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        !line.is_empty() && !matches!(name.as_str(), "content-length" | "connection" | "transfer-encoding")
    });
    Ok((kept.map(|line| format!("{line}\r\n")).collect(), body))
}
