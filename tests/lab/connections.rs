//! Which connections a process holds.

use std::collections::BTreeSet;

/// How many TCP connections a process holds to a port, over IPv4: what was begun and not yet closed counts, too.
pub fn connections_to(pid: u32, port: u16) -> usize {
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let remote = format!(":{port:04X}");
    let inode = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let matches = words.get(2).is_some_and(|address| address.ends_with(&remote));
        matches.then(|| words.get(9).and_then(|inode| inode.parse::<u64>().ok())).flatten()
    };
    let to_port: BTreeSet<u64> = table.lines().skip(1).filter_map(inode).collect();
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return 0 };
    let links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    let inodes = links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
    inodes.filter(|inode| to_port.contains(inode)).count()
}
