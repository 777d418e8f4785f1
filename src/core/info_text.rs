//! A server's INFO as it was answered, in little memory: there may be thousands of servers.

/// The lines of an INFO. What they begin with is nearly always the same, and is kept as one number a line.
#[derive(Clone, Default, PartialEq)]
pub struct InfoText(Box<[u8]>);

impl InfoText {
    /// Keeps a text.
    ///
    /// ```
    /// use consentinel_core::InfoText;
    /// let text = "# Server\r\nredis_version:7.0.15\r\nnew_in_8:1\r\n";
    /// assert_eq!(InfoText::new(text).to_string(), text);
    /// ```
    pub fn new(text: &str) -> Self {
        let mut packed = Vec::with_capacity(text.len() / 2);
        let mut expected = 0;
        for line in text.lines() {
            let rest = match beginning(line, expected) {
                Some(known) => {
                    expected = known + 1;
                    packed.push(FIRST + known as u8);
                    &line[KNOWN[known].len()..]
                }
                None => {
                    packed.push(VERBATIM);
                    line
                }
            };
            packed.extend_from_slice(rest.as_bytes());
            packed.push(b'\n');
        }
        InfoText(packed.into())
    }

    /// The version that a server says it is of, in its own numbering.
    ///
    /// ```
    /// use consentinel_core::InfoText;
    /// assert_eq!(InfoText::new("# Server\r\nredis_version:7.0.15\r\n").version().as_deref(), Some("7.0.15"));
    /// let valkey = "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.0\r\n";
    /// assert_eq!(InfoText::new(valkey).version().as_deref(), Some("8.1.0"));
    /// ```
    pub fn version(&self) -> Option<String> {
        let mut version = None;
        for (known, rest) in self.lines() {
            match (known, rest) {
                (REDIS_VERSION, number) => version = Some(String::from_utf8_lossy(number).into_owned()),
                ("", rest) => {
                    if let Some(number) = rest.strip_prefix(b"valkey_version:") {
                        return Some(String::from_utf8_lossy(number).into_owned());
                    }
                    if rest.is_empty() && version.is_some() {
                        // The first section is over.
                        return version;
                    }
                }
                _ => {}
            }
        }
        version
    }

    /// What each line begins with, as far as that is known, and the rest of it.
    fn lines(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.0.split_inclusive(|c| *c == b'\n').filter_map(|line| {
            let (mark, rest) = line.split_first()?;
            let known = mark.checked_sub(FIRST).and_then(|at| KNOWN.get(usize::from(at)));
            Some((known.copied().unwrap_or_default(), rest.strip_suffix(b"\n").unwrap_or(rest)))
        })
    }

    /// Whether nothing was ever answered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for InfoText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (known, rest) in self.lines() {
            write!(f, "{known}{}\r\n", String::from_utf8_lossy(rest))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for InfoText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InfoText({} bytes)", self.0.len())
    }
}

/// Which of the known beginnings a line has; they come in nearly the same order each time.
fn beginning(line: &str, expected: usize) -> Option<usize> {
    let fits = |at: &usize| KNOWN.get(*at).is_some_and(|known| line.starts_with(known));
    if fits(&expected) {
        return Some(expected);
    }
    // Headings and empty lines are the only ones without a colon.
    line.contains(':').then(|| (0..KNOWN.len()).find(fits)).flatten()
}

const REDIS_VERSION: &str = "redis_version:";
const VERBATIM: u8 = 0;
/// The number of the first beginning: above the line feed that ends every line.
const FIRST: u8 = b'\n' + 1;

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

const _: () = assert!(KNOWN.len() <= (u8::MAX - FIRST) as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_usual_answer_takes_less_than_half_of_its_length() {
        let text: String = KNOWN.iter().map(|known| format!("{known}12345678\r\n")).collect();
        let packed = InfoText::new(&text);
        assert_eq!(packed.to_string(), text);
        assert!(packed.0.len() * 2 < text.len(), "{} of {}", packed.0.len(), text.len());
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "((role:|run_id:|x|# S)?[a-z\u{e9}: ]{0,5}\r\n)*") {
            prop_assert_eq!(InfoText::new(&text).to_string(), text);
        }
    }
}
