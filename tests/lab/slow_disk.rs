//! Disks that take their time: a library, preloaded into a program, delays each of its fsync calls.

use crate::{Extra, Folder};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/slow_fsync.c");

/// One disk for each sentinel, as quick as the machine's at first.
#[derive(Debug)]
pub struct SlowDisks {
    folder: Folder,
    library: PathBuf,
    count: usize,
}

impl SlowDisks {
    /// Compiles the library, for so many sentinels.
    pub fn new(count: usize) -> SlowDisks {
        let folder = Folder::new();
        let library = folder.path().join("slow_fsync.so");
        let done =
            Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(SOURCE).status();
        assert!(done.is_ok_and(|status| status.success()), "cc compiles {SOURCE}");
        let disks = SlowDisks { folder, library, count };
        (0..count).for_each(|number| disks.set(number, Duration::ZERO));
        disks
    }

    /// What each sentinel is started with, for `Setup::extra`.
    pub fn extras(&self) -> Vec<Extra> {
        let text = |path: &Path| path.display().to_string();
        let extra = |number| {
            let extra = Extra::default().variable("LD_PRELOAD", &text(&self.library));
            extra.variable("SLOW_FSYNC_FILE", &text(&self.file(number)))
        };
        (0..self.count).map(extra).collect()
    }

    /// From now on each fsync of that sentinel takes so much longer.
    pub fn set(&self, number: usize, delay: Duration) {
        // Renamed into place: a reader finds the old number or the new one.
        let aside = self.folder.path().join("next");
        std::fs::write(&aside, delay.as_millis().to_string()).expect("the folder is ours");
        std::fs::rename(aside, self.file(number)).expect("the folder is ours");
    }

    /// The same for all sentinels.
    pub fn set_all(&self, delay: Duration) {
        (0..self.count).for_each(|number| self.set(number, delay));
    }

    fn file(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("delay-{number}"))
    }
}
