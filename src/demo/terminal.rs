//! The terminal: keys as they are pressed, and a screen that goes away with the demo.

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::io::{self, IsTerminal, Read, Write};
use std::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Another screen, without a cursor and without wrapped lines.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// Back from it.
pub(super) const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// How the terminal was before; for whoever must put it back in a hurry.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Keys, as they are pressed and without showing them. Ctrl-C remains a signal. The terminal is put back when it is
/// dropped, and also when the demo panics.
#[derive(Debug)]
pub(super) struct Keys {
    pressed: UnboundedReceiver<u8>,
}

impl Keys {
    /// Takes the keyboard; nothing when there is none.
    pub(super) fn take() -> Option<Keys> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut wanted = before.clone();
        wanted.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        wanted.special_codes[SpecialCodeIndex::VMIN] = 1;
        wanted.special_codes[SpecialCodeIndex::VTIME] = 0;
        // Ctrl-Z would leave the screen as it is, and the terminal without its manners.
        wanted.special_codes[SpecialCodeIndex::VSUSP] = 0;
        *lock() = Some(before);
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            leave();
            usual(info);
        }));
        tcsetattr(io::stdin(), OptionalActions::Now, &wanted).ok()?;
        let (keys, pressed) = unbounded_channel();
        // It waits for a key when the demo ends, and ends with it.
        std::thread::spawn(move || {
            let mut byte = [0];
            while let Ok(1) = io::stdin().read(&mut byte) {
                if keys.send(byte[0]).is_err() {
                    return;
                }
            }
        });
        Some(Keys { pressed })
    }

    /// The next key; never, when the keyboard is gone.
    pub(super) async fn next(&mut self) -> u8 {
        match self.pressed.recv().await {
            Some(key) => key,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = lock().take() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Puts everything back as it was, whatever of it had been changed.
fn leave() {
    let before = BEFORE.try_lock().ok().and_then(|mut before| before.take());
    if let Some(before) = before {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
    if io::stdout().is_terminal() {
        let _ = io::stdout().write_all(LEAVE.as_bytes()).and_then(|()| io::stdout().flush());
    }
}

/// A screen. It goes away when it is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    shown: Vec<String>,
    size: (usize, usize),
}

impl Screen {
    /// Enters it; nothing where there is none: in a pipe, or on a terminal that can do nothing.
    pub(super) fn enter() -> Option<Screen> {
        let dumb = std::env::var("TERM").map_or(true, |term| term.is_empty() || term == "dumb");
        if dumb || !io::stdout().is_terminal() {
            return None;
        }
        put(ENTER).ok()?;
        Some(Screen { shown: Vec::new(), size: (0, 0) })
    }

    /// Its columns and rows.
    pub(super) fn size() -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => (80, 24),
        }
    }

    /// Shows these lines, and writes only those that have changed.
    pub(super) fn show(&mut self, lines: Vec<String>, size: (usize, usize)) -> io::Result<()> {
        let mut text = String::new();
        if size != self.size {
            text += "\x1b[2J";
            self.shown.clear();
            self.size = size;
        }
        for (number, line) in lines.iter().enumerate() {
            if self.shown.get(number) != Some(line) {
                // Cleared first: behind a line as wide as the screen the cursor stands on its last letter.
                text += &format!("\x1b[{};1H\x1b[K{line}", number + 1);
            }
        }
        self.shown = lines;
        if text.is_empty() { Ok(()) } else { put(&text) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Who has closed the terminal has no screen to get back.
        let _ = put(LEAVE);
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
