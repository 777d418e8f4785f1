//! Stores a server's INFO as it was answered, in little memory: there may be thousands of servers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The lines of an INFO, in half bytes. What they begin with is nearly always the same, and in the same order, and what
/// follows is mostly a number:
///
/// | half byte | what it stands for |
/// | --- | --- |
/// | 0 to 9 | a digit |
/// | 10 | a full stop |
/// | 11 | a line with the known beginning whose turn it is |
/// | 12 | such a line whose value is `0`, whole |
/// | 13 | another line: the next two say which known beginning it has, or with zero that it has none |
/// | 14 | the next one says how many other bytes follow, less one; each takes two |
/// | 15 | nothing: it fills the last byte |
#[derive(Clone, Default, PartialEq)]
pub struct StoredInfo(Box<[u8]>);

const STOP: u8 = 10;
const USUAL: u8 = 11;
const ZERO: u8 = 12;
const OTHER: u8 = 13;
const BYTES: u8 = 14;
const NOTHING: u8 = 15;

/// So many bytes in a row at most.
const MOST_BYTES: usize = 16;

/// Among so many lines at the top a server names its versions.
const HEAD: usize = 12;

/// So many digits in a row are worth an end of the bytes before them.
const DIGITS: usize = 3;

/// So many bytes of a text are kept: nothing depends on them, and servers are many.
const MAX_KEPT: usize = 64 << 10;

/// Longer lines tell nothing: no server writes them.
const MAX_LINE: usize = 4 << 10;

impl StoredInfo {
    /// Keeps a text, 64 kB of it at most.
    ///
    /// ```
    /// use consentinel_core::StoredInfo;
    /// let text = "# Server\r\nredis_version:7.0.15\r\nnew_in_8:1\r\n";
    /// assert_eq!(StoredInfo::new(text).to_string(), text);
    /// ```
    pub fn new(text: &str) -> Self {
        StoredInfo::read(text, |_, _| ())
    }

    /// Keeps a text, and tells each field with its value: in one pass, as thousands of servers answer every ten seconds.
    pub(crate) fn read<'a>(text: &'a str, mut tell: impl FnMut(&'a str, &'a str)) -> Self {
        let mut halves = Vec::with_capacity(text.len().min(MAX_KEPT) / 3);
        let (mut rest, mut expected, mut room) = (text, 0, MAX_KEPT);
        while !rest.is_empty() {
            let usual = KNOWN.get(expected).filter(|known| rest.starts_with(**known));
            let skipped = usual.map_or(0, |known| known.len());
            let end = rest.as_bytes()[skipped..].iter().position(|c| *c == b'\n');
            let end = end.map_or(rest.len(), |at| skipped + at);
            let line = rest[..end].strip_suffix('\r').unwrap_or(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
            let known = usual.map(|_| expected).or_else(|| beginning(line));
            let value = known.map_or(line, |known| &line[KNOWN[known].len()..]);
            room = room.saturating_sub(line.len() + 2);
            match known {
                _ if room == 0 => {}
                Some(_) if usual.is_some() && value == "0" => halves.push(ZERO),
                Some(_) if usual.is_some() => {
                    halves.push(USUAL);
                    pack(value.as_bytes(), &mut halves);
                }
                known => {
                    let mark = known.map_or(0, |known| known as u8 + 1);
                    halves.extend([OTHER, mark >> 4, mark & 15]);
                    pack(value.as_bytes(), &mut halves);
                }
            }
            expected = known.map_or(expected, |known| known + 1);
            if line.len() > MAX_LINE {
                continue;
            }
            match known.map(|known| KNOWN[known].trim_end_matches(':')) {
                Some(field) => tell(field, value),
                None => line.split_once(':').into_iter().for_each(|(field, value)| tell(field, value)),
            }
        }
        let byte = |pair: &[u8]| pair[0] << 4 | pair.get(1).unwrap_or(&NOTHING);
        StoredInfo(halves.chunks(2).map(byte).collect())
    }

    /// The version that a server says it is of, in its own numbering.
    ///
    /// ```
    /// use consentinel_core::StoredInfo;
    /// assert_eq!(StoredInfo::new("# Server\r\nredis_version:7.0.15\r\n").version().as_deref(), Some("7.0.15"));
    /// let valkey = "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.0\r\n";
    /// assert_eq!(StoredInfo::new(valkey).version().as_deref(), Some("8.1.0"));
    /// ```
    pub fn version(&self) -> Option<String> {
        let text = self.unpacked(HEAD);
        let text = String::from_utf8_lossy(&text);
        let of = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        of("valkey_version:").or_else(|| of("redis_version:"))
    }

    /// Whether nothing was ever answered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many lines of the text at most, as bytes.
    fn unpacked(&self, lines: usize) -> Vec<u8> {
        let mut halves = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let (mut text, mut begun, mut turn) = (Vec::new(), 0, 0);
        while let Some(half) = halves.next() {
            let known = match half {
                0..=9 => {
                    text.push(b'0' + half);
                    continue;
                }
                STOP => {
                    text.push(b'.');
                    continue;
                }
                BYTES => {
                    let count = halves.next().map_or(0, |less| less + 1);
                    text.extend((0..count).map_while(|_| whole(&mut halves)));
                    continue;
                }
                USUAL | ZERO => Some(turn),
                OTHER => whole(&mut halves).and_then(|mark| usize::from(mark).checked_sub(1)),
                _ => break,
            };
            if begun > 0 {
                text.extend_from_slice(b"\r\n");
            }
            if begun == lines {
                return text;
            }
            begun += 1;
            if let Some((known, beginning)) = known.and_then(|known| Some((known, KNOWN.get(known)?))) {
                text.extend_from_slice(beginning.as_bytes());
                turn = known + 1;
            }
            if half == ZERO {
                text.push(b'0');
            }
        }
        if begun > 0 {
            text.extend_from_slice(b"\r\n");
        }
        text
    }
}

/// The byte that the next two halves make.
fn whole(halves: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(halves.next()? << 4 | halves.next()?)
}

/// What follows the beginning of a line, in half bytes.
fn pack(mut rest: &[u8], halves: &mut Vec<u8>) {
    while let Some((&first, others)) = rest.split_first() {
        if let Some(half) = as_half(first) {
            halves.push(half);
            rest = others;
            continue;
        }
        let many_digits = |at: &usize| {
            let next = &rest[*at..(*at + DIGITS).min(rest.len())];
            next.iter().all(|byte| as_half(*byte).is_some())
        };
        let end = (1..rest.len().min(MOST_BYTES)).find(many_digits).unwrap_or(rest.len().min(MOST_BYTES));
        halves.extend([BYTES, end as u8 - 1]);
        halves.extend(rest[..end].iter().flat_map(|byte| [byte >> 4, byte & 15]));
        rest = &rest[end..];
    }
}

fn as_half(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'.' => Some(STOP),
        _ => None,
    }
}

impl std::fmt::Display for StoredInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.unpacked(usize::MAX)))
    }
}

impl std::fmt::Debug for StoredInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InfoText({} bytes)", self.0.len())
    }
}

/// Which of the known beginnings a line has whose turn it is not.
fn beginning(line: &str) -> Option<usize> {
    // Headings and empty lines are the only ones without a colon.
    let end = line.bytes().take(MAX_NAME).position(|c| c == b':')?;
    PLACES.get(&line[..=end]).copied()
}

/// What lines begin with, in the order of a server of version 7.
#[rustfmt::skip]
const KNOWN: &[&str] = &[
    "redis_version:", "redis_git_sha1:", "redis_git_dirty:", "redis_build_id:", "redis_mode:", "os:",
    "arch_bits:", "monotonic_clock:", "multiplexing_api:", "atomicvar_api:", "gcc_version:",
    "process_id:", "process_supervised:", "run_id:", "tcp_port:", "server_time_usec:",
    "uptime_in_seconds:", "uptime_in_days:", "hz:", "configured_hz:", "lru_clock:", "executable:",
    "config_file:", "io_threads_active:", "connected_clients:", "cluster_connections:", "maxclients:",
    "client_recent_max_input_buffer:", "client_recent_max_output_buffer:", "blocked_clients:",
    "tracking_clients:", "clients_in_timeout_table:", "used_memory:", "used_memory_human:",
    "used_memory_rss:", "used_memory_rss_human:", "used_memory_peak:", "used_memory_peak_human:",
    "used_memory_peak_perc:", "used_memory_overhead:", "used_memory_startup:", "used_memory_dataset:",
    "used_memory_dataset_perc:", "allocator_allocated:", "allocator_active:", "allocator_resident:",
    "total_system_memory:", "total_system_memory_human:", "used_memory_lua:", "used_memory_vm_eval:",
    "used_memory_lua_human:", "used_memory_scripts_eval:", "number_of_cached_scripts:",
    "number_of_functions:", "number_of_libraries:", "used_memory_vm_functions:", "used_memory_vm_total:",
    "used_memory_vm_total_human:", "used_memory_functions:", "used_memory_scripts:",
    "used_memory_scripts_human:", "maxmemory:", "maxmemory_human:", "maxmemory_policy:",
    "allocator_frag_ratio:", "allocator_frag_bytes:", "allocator_rss_ratio:", "allocator_rss_bytes:",
    "rss_overhead_ratio:", "rss_overhead_bytes:", "mem_fragmentation_ratio:", "mem_fragmentation_bytes:",
    "mem_not_counted_for_evict:", "mem_replication_backlog:", "mem_total_replication_buffers:",
    "mem_clients_slaves:", "mem_clients_normal:", "mem_cluster_links:", "mem_aof_buffer:",
    "mem_allocator:", "active_defrag_running:", "lazyfree_pending_objects:", "lazyfreed_objects:",
    "loading:", "async_loading:", "current_cow_peak:", "current_cow_size:", "current_cow_size_age:",
    "current_fork_perc:", "current_save_keys_processed:", "current_save_keys_total:",
    "rdb_changes_since_last_save:", "rdb_bgsave_in_progress:", "rdb_last_save_time:",
    "rdb_last_bgsave_status:", "rdb_last_bgsave_time_sec:", "rdb_current_bgsave_time_sec:", "rdb_saves:",
    "rdb_last_cow_size:", "rdb_last_load_keys_expired:", "rdb_last_load_keys_loaded:", "aof_enabled:",
    "aof_rewrite_in_progress:", "aof_rewrite_scheduled:", "aof_last_rewrite_time_sec:",
    "aof_current_rewrite_time_sec:", "aof_last_bgrewrite_status:", "aof_rewrites:",
    "aof_rewrites_consecutive_failures:", "aof_last_write_status:", "aof_last_cow_size:",
    "module_fork_in_progress:", "module_fork_last_cow_size:", "total_connections_received:",
    "total_commands_processed:", "instantaneous_ops_per_sec:", "total_net_input_bytes:",
    "total_net_output_bytes:", "total_net_repl_input_bytes:", "total_net_repl_output_bytes:",
    "instantaneous_input_kbps:", "instantaneous_output_kbps:", "instantaneous_input_repl_kbps:",
    "instantaneous_output_repl_kbps:", "rejected_connections:", "sync_full:", "sync_partial_ok:",
    "sync_partial_err:", "expired_keys:", "expired_stale_perc:", "expired_time_cap_reached_count:",
    "expire_cycle_cpu_milliseconds:", "evicted_keys:", "evicted_clients:",
    "total_eviction_exceeded_time:", "current_eviction_exceeded_time:", "keyspace_hits:",
    "keyspace_misses:", "pubsub_channels:", "pubsub_patterns:", "pubsubshard_channels:",
    "latest_fork_usec:", "total_forks:", "migrate_cached_sockets:", "slave_expires_tracked_keys:",
    "active_defrag_hits:", "active_defrag_misses:", "active_defrag_key_hits:",
    "active_defrag_key_misses:", "total_active_defrag_time:", "current_active_defrag_time:",
    "tracking_total_keys:", "tracking_total_items:", "tracking_total_prefixes:",
    "unexpected_error_replies:", "total_error_replies:", "dump_payload_sanitizations:",
    "total_reads_processed:", "total_writes_processed:", "io_threaded_reads_processed:",
    "io_threaded_writes_processed:", "reply_buffer_shrinks:", "reply_buffer_expands:", "role:",
    "master_host:", "master_port:", "master_link_status:", "master_last_io_seconds_ago:",
    "master_sync_in_progress:", "slave_read_repl_offset:", "slave_repl_offset:", "slave_priority:",
    "slave_read_only:", "replica_announced:", "master_link_down_since_seconds:",
    "min_slaves_good_slaves:", "connected_slaves:", "master_failover_state:", "master_replid:",
    "master_replid2:", "master_repl_offset:", "second_repl_offset:", "repl_backlog_active:",
    "repl_backlog_size:", "repl_backlog_first_byte_offset:", "repl_backlog_histlen:", "used_cpu_sys:",
    "used_cpu_user:", "used_cpu_sys_children:", "used_cpu_user_children:", "used_cpu_sys_main_thread:",
    "used_cpu_user_main_thread:", "cluster_enabled:",
];

/// Longer than the longest of them.
const MAX_NAME: usize = 64;

/// Where each of them stands: a server may say half a million lines of other kinds.
static PLACES: LazyLock<BTreeMap<&str, usize>> =
    LazyLock::new(|| KNOWN.iter().enumerate().map(|(at, known)| (*known, at)).collect());

const _: () = assert!(KNOWN.len() < u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_usual_answer_takes_less_than_a_quarter_of_its_length() {
        let value = |at: usize| if at.is_multiple_of(2) { "0" } else { "12345678" };
        let lines = KNOWN.iter().enumerate().map(|(at, known)| format!("{known}{}\r\n", value(at)));
        let text: String = lines.collect();
        let packed = StoredInfo::new(&text);
        assert_eq!(packed.to_string(), text);
        assert!(packed.0.len() * 4 < text.len(), "{} of {}", packed.0.len(), text.len());
    }

    #[test]
    fn names_and_paths_take_little_more_than_themselves() {
        let text = "executable:/usr/bin/redis-server\r\nrun_id:0123abc456789def0123abc4567\r\n";
        let packed = StoredInfo::new(text);
        assert_eq!(packed.to_string(), text);
        assert!(packed.0.len() < 60, "{}", packed.0.len());
    }

    proptest! {
        #[test]
        fn every_text_comes_back(
            text in "((role:|run_id:|loading:|async_loading:|x|# S)?[a-z0-9\u{e9}: .]{0,40}\r\n)*"
        ) {
            prop_assert_eq!(StoredInfo::new(&text).to_string(), text);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = StoredInfo(bytes.into()).to_string();
        }
    }
}
