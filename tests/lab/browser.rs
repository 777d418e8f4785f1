//! A real Chromium without a screen, driven by chromedriver over plain HTTP.

use crate::process::Process;
use crate::redis::find_on_path;
use crate::wait::eventually;
use crate::{Folder, free_port};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A browser on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page. It is gone when this is dropped.
#[derive(Debug)]
pub struct Browser {
    port: u16,
    session: String,
    folder: PathBuf,
    // Dropped last: the browser is its child, and goes with the session.
    _driver: Process,
}

/// How the page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Whether the user likes it dark.
    pub dark: bool,
}

impl Browser {
    /// Starts one that keeps a record of all that it fetches and complains of.
    pub fn start(folder: &Folder) -> Browser {
        let find = |names: &[&str]| {
            find_on_path(names).unwrap_or_else(|| panic!("no {}: did `just deps` run?", names[0]))
        };
        let folder = folder.sub("browser");
        let port = free_port();
        let driver = Process::start(
            &find(&["chromedriver"]),
            &[format!("--port={port}"), "--allowed-ips=127.0.0.1".into()],
            &folder.join("log"),
        );
        let mut browser = Browser { port, session: String::new(), folder, _driver: driver };
        eventually("chromedriver answers", PATIENCE, || browser.send("GET", "/status", &Value::Null).ok());
        let profile = format!("--user-data-dir={}", browser.folder.join("profile").display());
        // Within a container there is no room for a sandbox of its own, and it sees no page but ours.
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--hide-scrollbars",
            &profile,
        ];
        let wanted = json!({
            "goog:chromeOptions": { "binary": find(&["chromium", "chromium-browser"]), "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let made = browser.send("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        let made = made.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        browser.session = format!("/session/{}", made["sessionId"].as_str().expect("a session has an id"));
        browser
    }

    /// Goes to an address.
    pub fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// What a script in the page returns.
    pub fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text of the first element that fits; nothing when there is none.
    pub fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({})?.textContent ?? ''", json!(selector));
        self.run(&script).as_str().unwrap_or_default().to_owned()
    }

    /// A command of the browser's own protocol.
    pub fn tell(&self, command: &str, parameters: &Value) -> Value {
        self.call("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// From now on the page is looked at like this.
    pub fn look(&self, look: Look) {
        let Look { width, height, dark } = look;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.tell("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.tell("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// A picture of the whole page, as a PNG file.
    pub fn picture(&self, to: &Path) {
        let shot =
            self.tell("Page.captureScreenshot", &json!({ "format": "png", "captureBeyondViewport": true }));
        let bytes = base64(shot["data"].as_str().expect("a picture"));
        std::fs::write(to, bytes).expect("the folder is ours");
    }

    /// What the page has complained of since this was asked last: errors, and what its policy has forbidden.
    pub fn complaints(&self) -> Vec<String> {
        let all = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        let text = |entry: &Value| format!("{}: {}", entry["level"], entry["message"]);
        all.as_array().map(|all| all.iter().map(text).collect()).unwrap_or_default()
    }

    /// The addresses that were asked for since this was asked last.
    pub fn requests(&self) -> Vec<String> {
        let all = self.call("POST", "/se/log", &json!({ "type": "performance" }));
        let url = |entry: &Value| {
            let entry: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &entry["message"];
            (message["method"] == "Network.requestWillBeSent").then_some(())?;
            message["params"]["request"]["url"].as_str().map(str::to_owned)
        };
        all.as_array().map(|all| all.iter().filter_map(url).collect()).unwrap_or_default()
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("{}{path}", self.session);
        self.send(method, &path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let (status, text) = self.exchange(method, path, body).map_err(|error| error.to_string())?;
        let mut answer: Value =
            serde_json::from_str(&text).map_err(|error| format!("{status}: {error}: {text}"))?;
        match status {
            200 => Ok(answer["value"].take()),
            _ => Err(format!("{status}: {}", answer["value"]["message"])),
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, String)> {
        let nonsense = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not HTTP");
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        // It keeps the connection open, whatever it is asked: the length tells where the answer ends.
        let mut reader = BufReader::new(stream);
        let (mut status, mut length) = (String::new(), 0);
        reader.read_line(&mut status)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().map_err(|_| nonsense())?;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(nonsense)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; chromedriver is killed then.
        if !self.session.is_empty() {
            let _ = self.exchange("DELETE", &self.session, &Value::Null);
        }
    }
}

/// Bytes out of text as chromedriver sends it.
fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |byte: u8| DIGITS.iter().position(|digit| *digit == byte).map(|at| at as u32);
    let digits: Vec<u32> = text.bytes().filter_map(value).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let number = four.iter().fold(0, |sum, digit| sum << 6 | digit) << (6 * (4 - four.len()));
        number.to_be_bytes().into_iter().skip(1).take(four.len() * 3 / 4)
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_read_with_and_without_an_end_that_is_filled_up() {
        assert_eq!(base64("aGVsbG8="), b"hello");
        assert_eq!(base64("aGVsbA=="), b"hell");
        assert_eq!(base64("aGVs"), b"hel");
        assert_eq!(base64("/+8"), [0xff, 0xef]);
    }
}
