//! Asks systemd about units, starts and stops them, where it runs.

use super::Failure;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// The services by which Debian runs sentinels.
const USUAL: [&str; 2] = ["redis-sentinel.service", "valkey-sentinel.service"];

/// A service, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unit {
    /// Its name.
    pub(super) name: String,
    /// Whether it runs, or tries to.
    pub(super) active: bool,
    /// Whether it is started at boot.
    pub(super) enabled: bool,
    /// Its process.
    #[serde(skip)]
    pub(super) main_pid: Option<u32>,
    #[serde(skip)]
    command: String,
}

impl Unit {
    /// How it is, in words.
    pub(super) fn condition(&self) -> &'static str {
        match (self.active, self.enabled) {
            (true, _) => "runs",
            (false, true) => "does not run now, but would at the next boot",
            (false, false) => "does not run",
        }
    }

    /// The words for systemctl that make it what it was.
    pub(super) fn back(&self) -> Vec<Vec<&str>> {
        let mut steps = vec![vec![if self.enabled { "enable" } else { "disable" }, self.name.as_str()]];
        if self.active {
            steps.push(vec!["start", self.name.as_str()]);
        }
        steps
    }
}

/// Whether systemd is what runs this machine.
fn is_there() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The services that run a sentinel by this file, or as this process, now or at the next boot.
pub(super) fn units_of(file: &Path, pid: Option<u32>) -> Result<Vec<Unit>, Failure> {
    let mut names: Vec<String> = USUAL.map(str::to_owned).to_vec();
    names.extend(pid.and_then(service_of).filter(|name| !USUAL.contains(&name.as_str())));
    let mut units = Vec::new();
    for name in names {
        let Some(unit) = unit(&name)? else { continue };
        let by_file = unit.command.split([' ', ';']).any(|word| Path::new(word) == file);
        let is_it = pid.is_some() && unit.main_pid == pid;
        if (by_file || is_it) && (unit.active || unit.enabled) && name != super::SERVICE {
            units.push(unit);
        }
    }
    Ok(units)
}

/// The service in whose group a process is.
fn service_of(pid: u32) -> Option<String> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let group = groups.lines().next()?.rsplit('/').next()?;
    group.ends_with(".service").then(|| group.to_owned())
}

/// A service, if there is one of that name.
pub(super) fn unit(name: &str) -> Result<Option<Unit>, Failure> {
    if !is_there() {
        return Ok(None);
    }
    let text =
        systemctl(&["show", "--property=LoadState,ActiveState,UnitFileState,MainPID,ExecStart", name])?;
    let field = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_default().to_owned()
    };
    if field("LoadState") != "loaded" {
        return Ok(None);
    }
    Ok(Some(Unit {
        name: name.to_owned(),
        active: matches!(field("ActiveState").as_str(), "active" | "activating" | "reloading"),
        enabled: field("UnitFileState").starts_with("enabled"),
        main_pid: field("MainPID").parse().ok().filter(|pid| *pid != 0),
        command: field("ExecStart"),
    }))
}

/// Runs systemctl; what it complains about is the error.
pub(super) fn systemctl(words: &[impl AsRef<str>]) -> Result<String, Failure> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let said = format!("systemctl {}", words.join(" "));
    let output = Command::new("systemctl")
        .args(["--quiet", "--no-pager"])
        .args(&words)
        .output()
        .map_err(|error| format!("{said} cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{said} failed: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}
