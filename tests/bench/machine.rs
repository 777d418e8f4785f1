//! When and where it was measured.

use std::process::Command;

/// The line above the tables.
pub(crate) fn headline() -> String {
    format!(
        "{}; {}.\nMilliseconds, median / p99 (of fewer than 100 rounds: the longest).",
        output("date", &["+%Y-%m-%d"]),
        machine()
    )
}

fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let redis = output("redis-server", &["--version"]);
    let version = redis.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or_default();
    format!("{cores} cores of {model}, Linux {}, Redis {version}", output("uname", &["-r"]))
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
