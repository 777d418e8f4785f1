//! A recording of everything that happens to the core: one JSON line each, enough to live the run again.

use consentinel_core::{Durable, Input, Recorded, Time};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use tracing::warn;

/// Writes a recording.
pub(super) struct Recorder {
    to: Option<BufWriter<File>>,
}

impl Recorder {
    /// Records into a file, or not at all.
    pub(super) fn new(path: Option<&Path>) -> io::Result<Self> {
        Ok(Recorder { to: path.map(File::create).transpose()?.map(BufWriter::new) })
    }

    /// Whether anything is recorded.
    pub(super) fn is_on(&self) -> bool {
        self.to.is_some()
    }

    /// The first line.
    pub(super) fn start(&mut self, seed: u64, now: Time, state: &Durable) {
        self.write(&Recorded::Start { seed, now, state: Box::new(state.clone()) });
    }

    /// Every other line.
    pub(super) fn input(&mut self, now: Time, input: &Input) {
        if self.is_on() {
            self.write(&Recorded::Input(now, input.clone()));
        }
    }

    /// Hands what was recorded to the system, so that a crash loses none of it.
    pub(super) fn flush(&mut self) {
        if let Some(to) = &mut self.to {
            let result = to.flush();
            self.stop_if_failed(result);
        }
    }

    fn write(&mut self, line: &Recorded) {
        let Some(to) = &mut self.to else { return };
        let result =
            serde_json::to_writer(&mut *to, line).map_err(io::Error::from).and_then(|()| to.write_all(b"\n"));
        self.stop_if_failed(result);
    }

    fn stop_if_failed(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            warn!("the recording ends here, it cannot be written: {error}");
            self.to = None;
        }
    }
}
