//! The thread that writes the log.
//!
//! Whoever logs puts a line into a queue and goes on. When the thread cannot keep up, because a disk is slow or nobody
//! reads the pipe, lines are dropped and counted, and the count is the first thing that is written when it goes on.

use super::output::Output;
use super::syslog::Syslog;
use consentinel_core::Level;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Lines that may wait.
const MOST_LINES: usize = 4096;

/// Bytes that may wait.
const MOST_BYTES: usize = 4 << 20;

/// Bytes that are written at once.
const BATCH: usize = 64 << 10;

enum Message {
    Line { text: String, message: String, level: Level },
    Reopen,
    Flush(SyncSender<()>),
}

#[derive(Debug, Default)]
struct Counts {
    lines: AtomicUsize,
    bytes: AtomicUsize,
    dropped: AtomicU64,
}

/// The near end of the queue.
#[derive(Clone)]
pub(super) struct Writer {
    /// Bounded by the counts: a bounded one would take the memory for all that may wait at once.
    queue: Sender<Message>,
    counts: Arc<Counts>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(output: Output, syslog: Option<Syslog>) -> io::Result<Writer> {
        let (queue, messages) = channel();
        let counts = Arc::new(Counts::default());
        let mut desk = Desk { output, syslog, counts: counts.clone(), buffer: Vec::new(), lines: 0 };
        std::thread::Builder::new()
            .name("log".into())
            .stack_size(128 << 10)
            .spawn(move || desk.work(&messages))?;
        Ok(Writer { queue, counts })
    }

    /// Takes a line over; `message` is what syslog is told. Never waits.
    pub(super) fn write(&self, text: String, message: String, level: Level) {
        let length = text.len();
        if self.counts.admit(length) && self.queue.send(Message::Line { text, message, level }).is_ok() {
            return;
        }
        self.counts.release(length);
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for the file to be opened anew.
    pub(super) fn reopen(&self) {
        // The thread ends with the last writer.
        let _ = self.queue.send(Message::Reopen);
    }

    /// Waits until everything before is written, but no longer than that.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(patience);
        }
    }
}

impl Counts {
    /// One more line waits, if there is room for it; to be released in either case.
    fn admit(&self, length: usize) -> bool {
        let lines = self.lines.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(length, Ordering::Relaxed) + length;
        lines <= MOST_LINES && bytes <= MOST_BYTES
    }

    /// One line less waits.
    fn release(&self, length: usize) {
        self.lines.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(length, Ordering::Relaxed);
    }
}

/// The far end.
struct Desk {
    output: Output,
    syslog: Option<Syslog>,
    counts: Arc<Counts>,
    buffer: Vec<u8>,
    lines: u64,
}

impl Desk {
    fn work(&mut self, messages: &Receiver<Message>) {
        while let Ok(message) = messages.recv() {
            self.take(message);
            while self.buffer.len() < BATCH {
                let Ok(message) = messages.try_recv() else { break };
                self.take(message);
            }
            self.write();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Line { text, message, level } => {
                self.counts.release(text.len());
                self.lines += 1;
                self.buffer.extend_from_slice(text.as_bytes());
                if let Some(syslog) = &mut self.syslog {
                    syslog.send(level, &message);
                }
            }
            Message::Reopen => {
                self.write();
                self.output.reopen();
            }
            Message::Flush(done) => {
                self.write();
                // Whoever asked may have lost patience.
                let _ = done.try_send(());
            }
        }
    }

    fn write(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        let dropped = self.counts.dropped.swap(0, Ordering::Relaxed);
        let result = self.tell_dropped(dropped).and_then(|()| self.output.write(&self.buffer));
        if result.is_err() {
            // Whoever cannot log cannot log that either; it is told when it is possible again.
            self.counts.dropped.fetch_add(dropped + self.lines, Ordering::Relaxed);
        }
        self.buffer.clear();
        self.buffer.shrink_to(BATCH);
        self.lines = 0;
    }

    fn tell_dropped(&mut self, dropped: u64) -> io::Result<()> {
        if dropped == 0 {
            return Ok(());
        }
        let pid = std::process::id();
        let stamp = crate::clock::log_stamp();
        let text = format!("{dropped} lines of the log were dropped here: they could not be written in time");
        let line = match self.buffer.first() {
            Some(b'{') => {
                let time = crate::clock::rfc3339();
                format!(
                    "{}\n",
                    serde_json::json!({ "time": time, "level": "warning", "pid": pid, "message": text })
                )
            }
            _ => format!("{pid}:X {stamp} # {text}\n"),
        };
        self.output.write(line.as_bytes())
    }
}
