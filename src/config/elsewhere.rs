//! Directives of a Redis server that mean nothing to a sentinel.
//!
//! The original reads its file with the eyes of a server: whatever a server would accept it accepts, and whatever a
//! server would refuse it refuses. So do we, with the same words, so that a file goes from one to the other. What the
//! tables know is what 7.0 knows; of other servers the names are known, and the words and ranges that they take besides.

use super::error::Wrong;
use super::settings::{number, one, one_of, yes_no};

/// Looks at a directive that is not ours. Whether it is known at all is told first, what is wrong with it second.
pub(super) fn check(name: &str, args: &[String]) -> Option<Result<(), Wrong>> {
    let among = |names: &str| names.split_whitespace().any(|known| known == name);
    if among(YES_NO) {
        return Some(one(name, args).and_then(|value| yes_no(value).map(|_| ())));
    }
    if among(TEXTS) {
        return Some(one(name, args).and_then(|value| text(name, value)));
    }
    if is_newer_word(name, args) {
        return Some(Ok(()));
    }
    if let Some((least, most, _)) = NUMBERS.iter().find(|(.., names)| among(names)) {
        return Some(one(name, args).and_then(|value| number(value, *least..=*most).map(|_: i64| ())));
    }
    if let Some((least, _)) = SIZES.iter().find(|(_, names)| among(names)) {
        return Some(one(name, args).and_then(|value| size(value, *least)));
    }
    if let Some((_, words)) = CHOICES.iter().find(|(known, _)| *known == name) {
        return Some(one(name, args).and_then(|value| one_of(value, words).map(|_| ())));
    }
    if let Some(result) = several(name, args) {
        return Some(result);
    }
    if name.contains('.') {
        // A module's.
        return Some(match args.is_empty() {
            true => Err(Wrong::as_theirs("Module config specified without value")),
            false => Ok(()),
        });
    }
    (among(NEWER) && !args.is_empty()).then_some(Ok(()))
}

/// Whether the value is one that only servers after 7.0 take.
fn is_newer_word(name: &str, args: &[String]) -> bool {
    let words: Vec<&str> = args.iter().flat_map(|arg| arg.split_whitespace()).collect();
    match (name, words.as_slice()) {
        ("repl-diskless-load", [word]) => word.eq_ignore_ascii_case("flush-before-load"),
        ("io-threads", [word]) => word.parse().is_ok_and(|threads: u16| (1..=256).contains(&threads)),
        ("shutdown-on-sigint" | "shutdown-on-sigterm", words) => {
            let has = |name: &str| words.iter().any(|word| word.eq_ignore_ascii_case(name));
            let known = |word: &&str| {
                ["safe", "failover"].iter().any(|new| word.eq_ignore_ascii_case(new))
                    || one_of(word, SHUTDOWN).is_ok()
            };
            (has("safe") || has("failover")) && words.iter().all(known) && !(has("save") && has("nosave"))
        }
        _ => false,
    }
}

/// Directives with rules of their own.
fn several(name: &str, args: &[String]) -> Option<Result<(), Wrong>> {
    let split: Vec<&str> = match args {
        [all] => all.split_whitespace().collect(),
        _ => args.iter().map(String::as_str).collect(),
    };
    let wrong = |text: &str| Err(Wrong::as_theirs(text));
    Some(match name {
        "loadmodule" if !args.is_empty() => Ok(()),
        "save" => match split.len().is_multiple_of(2) && split.chunks(2).all(is_save_point) {
            true => Ok(()),
            false => wrong("Invalid save parameters"),
        },
        "replicaof" | "slaveof" => match split.as_slice() {
            [host, port] if host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one") => Ok(()),
            [_, port] if port.parse::<u16>().is_ok() => Ok(()),
            [_, _] => wrong("Invalid master port"),
            _ => wrong("wrong number of arguments"),
        },
        "client-output-buffer-limit" => buffer_limits(&split),
        "oom-score-adj-values" => match split.len() == 3 {
            true if split.iter().all(|text| text.parse().is_ok_and(|n: i32| n.abs() <= 2000)) => Ok(()),
            true => wrong("Invalid oom-score-adj-values, elements must be between -2000 and 2000."),
            false => wrong("wrong number of arguments"),
        },
        "latency-tracking-info-percentiles" => percentiles(&split),
        "maxmemory-clients" => one(name, args).and_then(|value| match value.strip_suffix('%') {
            Some(share) => match share.parse::<u64>() {
                Ok(0..=100) => Ok(()),
                Ok(_) => Err(Wrong::as_theirs("percentage argument must be less or equal to 100")),
                Err(_) => Err(Wrong::as_theirs("argument must be a memory or percent value")),
            },
            None => {
                size(value, 0).map_err(|wrong| wrong.theirs("argument must be a memory or percent value"))
            }
        }),
        "notify-keyspace-events" => one(name, args).and_then(|value| {
            match value.chars().all(|class| "Ag$lshzxeKEtmdn".contains(class)) {
                true => Ok(()),
                false => wrong("Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
            }
        }),
        "cluster-announce-hostname" => one(name, args).and_then(|value| {
            match value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')) {
                true => Ok(()),
                false => wrong("Hostnames may only contain alphanumeric characters, hyphens or dots"),
            }
        }),
        "shutdown-on-sigint" | "shutdown-on-sigterm" => {
            let known = split.iter().try_for_each(|word| one_of(word, SHUTDOWN).map(|_| ()));
            let both =
                ["save", "nosave"].iter().all(|word| split.iter().any(|w| w.eq_ignore_ascii_case(word)));
            match (split.is_empty(), both) {
                (true, _) => one_of("", SHUTDOWN).map(|_| ()),
                (_, true) => wrong("shutdown options SAVE and NOSAVE can't be used simultaneously"),
                _ => known,
            }
        }
        _ => return None,
    })
}

fn is_save_point(pair: &[&str]) -> bool {
    let [seconds, changes] = pair else { return false };
    seconds.parse().is_ok_and(|n: u32| n >= 1) && changes.parse::<u32>().is_ok()
}

fn buffer_limits(words: &[&str]) -> Result<(), Wrong> {
    if !words.len().is_multiple_of(4) {
        return Err(Wrong::as_theirs("Wrong number of arguments in buffer limit configuration."));
    }
    for limit in words.chunks(4) {
        if !["normal", "slave", "replica", "pubsub"].iter().any(|class| class.eq_ignore_ascii_case(limit[0]))
        {
            return Err(Wrong::as_theirs("Invalid client class specified in buffer limit configuration."));
        }
        if size(limit[1], 0).is_err() || size(limit[2], 0).is_err() || limit[3].parse::<u32>().is_err() {
            let text = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            return Err(Wrong::as_theirs(text));
        }
    }
    Ok(())
}

fn percentiles(words: &[&str]) -> Result<(), Wrong> {
    for word in words {
        match word.parse::<f64>() {
            Ok(share) if (0.0..=100.0).contains(&share) => {}
            Ok(_) => {
                let text = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
                return Err(Wrong::as_theirs(text));
            }
            Err(_) => return Err(Wrong::as_theirs("Invalid latency-tracking-info-percentiles parameters")),
        }
    }
    Ok(())
}

fn text(name: &str, value: &str) -> Result<(), Wrong> {
    let kind = if name == "appenddirname" { "dirname" } else { "filename" };
    let is_name = matches!(name, "dbfilename" | "appendfilename" | "appenddirname");
    match is_name {
        true if value.is_empty() && name != "dbfilename" => {
            Err(Wrong::as_theirs(format!("{name} can't be empty")))
        }
        true if value.contains('/') => {
            Err(Wrong::as_theirs(format!("{name} can't be a path, just a {kind}")))
        }
        _ => Ok(()),
    }
}

/// A number with a unit: `1k` is a thousand, `1kb` is 1024.
fn size(value: &str, least: u64) -> Result<(), Wrong> {
    let digits = value.len() - value.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let unit: Option<u64> = match value[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" => Some(1000),
        "kb" => Some(1 << 10),
        "m" => Some(1_000_000),
        "mb" => Some(1 << 20),
        "g" => Some(1_000_000_000),
        "gb" => Some(1 << 30),
        _ => None,
    };
    // The original reads nothing as zero.
    let count = if digits == 0 { Ok(0) } else { value[..digits].parse::<u64>() };
    let bytes = match (unit, count) {
        (Some(unit), Ok(count)) => count.checked_mul(unit),
        _ => None,
    };
    match bytes {
        Some(bytes) if bytes >= least => Ok(()),
        Some(_) => {
            Err(Wrong::as_theirs(format!("argument must be between {least} and {} inclusive", i64::MAX)))
        }
        None => Err(Wrong::as_theirs("argument must be a memory value")),
    }
}

const SHUTDOWN: &str = "default, save, nosave, now, force";

const INT: i64 = i32::MAX as i64;

/// `yes` or `no`.
const YES_NO: &str = "\
    activedefrag activerehashing always-show-logo aof-disable-auto-gc aof-load-truncated \
    aof-rewrite-incremental-fsync aof-timestamp-enabled aof-use-rdb-preamble appendonly \
    cluster-allow-pubsubshard-when-down cluster-allow-reads-when-down \
    cluster-allow-replica-migration cluster-enabled cluster-replica-no-failover \
    cluster-require-full-coverage cluster-slave-no-failover crash-log-enabled crash-memcheck-enabled \
    disable-thp dynamic-hz io-threads-do-reads jemalloc-bg-thread latency-tracking \
    lazyfree-lazy-eviction lazyfree-lazy-expire lazyfree-lazy-server-del lazyfree-lazy-user-del \
    lazyfree-lazy-user-flush lua-enable-deprecated-api no-appendfsync-on-rewrite rdb-del-sync-files \
    rdb-save-incremental-fsync rdbchecksum rdbcompression repl-disable-tcp-nodelay \
    repl-diskless-sync replica-announced replica-ignore-disk-write-errors replica-ignore-maxmemory \
    replica-lazy-flush replica-read-only replica-serve-stale-data set-proc-title \
    slave-ignore-maxmemory slave-lazy-flush slave-read-only slave-serve-stale-data \
    stop-writes-on-bgsave-error use-exit-on-panic";

/// Whole numbers: the least, the greatest, which.
const NUMBERS: &[(i64, i64, &str)] = &[
    (
        0,
        INT,
        "auto-aof-rewrite-percentage cluster-migration-barrier cluster-replica-validity-factor \
         cluster-slave-validity-factor hz lfu-decay-time lfu-log-factor list-compress-depth \
         min-replicas-max-lag min-replicas-to-write min-slaves-max-lag min-slaves-to-write \
         repl-diskless-sync-delay repl-diskless-sync-max-replicas replica-priority shutdown-timeout \
         slave-priority watchdog-period",
    ),
    (
        0,
        i64::MAX,
        "busy-reply-threshold cluster-node-timeout hash-max-listpack-entries \
         hash-max-ziplist-entries latency-monitor-threshold lua-time-limit repl-backlog-ttl \
         set-max-intset-entries slowlog-max-len stream-node-max-entries tracking-table-max-keys \
         zset-max-listpack-entries zset-max-ziplist-entries",
    ),
    (
        0,
        65535,
        "cluster-announce-bus-port cluster-announce-port cluster-announce-tls-port cluster-port \
         replica-announce-port slave-announce-port",
    ),
    (1, INT, "databases maxmemory-samples repl-ping-replica-period repl-ping-slave-period repl-timeout"),
    (i64::MIN, i64::MAX, "key-load-delay rdb-key-save-delay slowlog-log-slower-than"),
    (1, 99, "active-defrag-cycle-max active-defrag-cycle-min"),
    (0, 1000, "active-defrag-threshold-lower active-defrag-threshold-upper"),
    (-INT - 1, INT, "list-max-listpack-size list-max-ziplist-size"),
    (1, i64::MAX, "active-defrag-max-scan-fields"),
    (1, 10, "active-expire-effort"),
    (1, 128, "io-threads"),
    (0, 100, "maxmemory-eviction-tenacity"),
    (0, 4294967295, "socket-mark-id"),
    (1024, INT, "loading-process-events-interval-bytes"),
];

/// Sizes such as `100mb`: the least, which.
const SIZES: &[(u64, &str)] = &[
    (1, "active-defrag-ignore-bytes repl-backlog-size"),
    (
        0,
        "auto-aof-rewrite-min-size cluster-link-sendbuf-limit hash-max-listpack-value \
         hash-max-ziplist-value hll-sparse-max-bytes maxmemory stream-node-max-bytes \
         zset-max-listpack-value zset-max-ziplist-value",
    ),
    (1048576, "client-query-buffer-limit proto-max-bulk-len"),
];

/// One of a few words: which, and the words.
const CHOICES: &[(&str, &str)] = &[
    ("appendfsync", "everysec, always, no"),
    ("cluster-preferred-endpoint-type", "ip, hostname, unknown-endpoint"),
    ("enable-debug-command", "no, yes, local"),
    ("enable-module-command", "no, yes, local"),
    ("enable-protected-configs", "no, yes, local"),
    (
        "maxmemory-policy",
        "volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
    ),
    ("oom-score-adj", "no, yes, relative, absolute"),
    ("propagation-error-behavior", "ignore, panic, panic-on-replicas"),
    ("repl-diskless-load", "disabled, on-empty-db, swapdb"),
    ("sanitize-dump-payload", "no, yes, clients"),
];

/// Any text.
const TEXTS: &str = "\
    aof_rewrite_cpulist appenddirname appendfilename bgsave_cpulist bind-source-addr bio_cpulist \
    cluster-announce-ip cluster-config-file dbfilename ignore-warnings list-max-ziplist-entries \
    list-max-ziplist-value lua-replicate-commands masterauth masteruser proc-title-template \
    replica-announce-ip server_cpulist slave-announce-ip";

/// What only other servers know: Redis 6.2, Redis up to 8, Valkey up to 9.
const NEWER: &str = "\
    active-defrag-cycle-us aof-rewrite-cpulist availability-zone bgsave-cpulist bio-cpulist cluster-announce-client-ipv4 cluster-announce-client-ipv6 \
    cluster-announce-client-port cluster-announce-client-tls-port cluster-announce-human-nodename \
    cluster-blacklist-ttl cluster-compatibility-sample-ratio cluster-config-save-behavior cluster-databases \
    cluster-message-gossip-perc cluster-manual-failover-timeout cluster-ping-interval \
    cluster-slot-migration-log-max-len cluster-slot-stats-enabled commandlog-execution-slower-than \
    commandlog-large-reply-max-len commandlog-large-request-max-len commandlog-reply-larger-than \
    commandlog-request-larger-than commandlog-slow-execution-max-len debug-context \
    dual-channel-replication-enabled enable-debug-assert events-per-io-thread extended-redis-compatibility gopher-enabled \
    hash-seed hide-user-data-from-log import-mode io-threads-always-active io-uring-enabled \
    lazyexpire-nested-arbitrary-keys list-max-listpack-entries locale-collate log-timestamp-format lookahead lua-enable-insecure-api \
    max-new-connections-per-cycle max-new-tls-connections-per-cycle min-string-size-avoid-copy-reply \
    min-string-size-avoid-copy-reply-threaded mptcp repl-mptcp \
    min-io-threads-avoid-copy-reply prefetch-batch-max-size primaryauth primaryuser rdb-version-check rdma-bind rdma-completion-vector \
    rdma-port rdma-rx-size repl-diskless-sync-enabled repl-rdb-channel replica-full-sync-buffer-limit \
    rdb-del-sync-files-enabled server-cpulist set-max-listpack-entries set-max-listpack-value slot-migration-max-failover-repl-bytes \
    unixsocketgroup";

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(|word| word.replace("''", "")).collect();
        match check(&words[0], &words[1..]) {
            None => "unknown".into(),
            Some(Ok(())) => "fine".into(),
            Some(Err(wrong)) => wrong.theirs,
        }
    }

    #[test]
    fn what_a_server_would_accept_is_accepted() {
        for line in [
            "appendonly no",
            "appendonly YES",
            "save ''",
            "save 900 1 300 10",
            "save",
            "maxmemory 100mb",
            "maxmemory-clients 5%",
            "client-output-buffer-limit replica 1mb 1gb 60 pubsub 1 2 3",
            "enable-debug-command local",
            "replicaof no one",
            "latency-tracking-info-percentiles 50 99 99.9",
            "oom-score-adj-values 0 200 800",
            "loadmodule /x.so a b",
            "search.threads 4",
            "hide-user-data-from-log yes",
            "shutdown-on-sigterm nosave now",
        ] {
            assert_eq!(told(line), "fine", "{line}");
        }
    }

    #[test]
    fn what_a_server_would_refuse_is_refused_in_its_words() {
        for (line, text) in [
            ("appendonly maybe", "argument must be 'yes' or 'no'"),
            ("appendonly yes no", "wrong number of arguments"),
            ("databases 0", "argument must be between 1 and 2147483647 inclusive"),
            ("databases many", "argument couldn't be parsed into an integer"),
            ("maxmemory 1.5gb", "argument must be a memory value"),
            ("appendfsync never", "argument(s) must be one of the following: everysec, always, no"),
            ("save 10", "Invalid save parameters"),
            ("proto-max-bulk-len 1k", "argument must be between 1048576 and 9223372036854775807 inclusive"),
            ("dbfilename a/b", "dbfilename can't be a path, just a filename"),
            ("search.threads", "Module config specified without value"),
            ("appendonlyy no", "unknown"),
        ] {
            assert_eq!(told(line), text, "{line}");
        }
    }
}
