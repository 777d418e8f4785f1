//! The releases of servers and sentinels that the tests know.

use crate::redis::on_path;
use std::path::PathBuf;

/// Whose server, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// What the machine has: Redis 7.0 where it is Debian bookworm.
    #[default]
    Machine,
    /// Redis 6.2.
    Redis62,
    /// Redis 7.4.
    Redis74,
    /// Redis 8.0.
    Redis8,
    /// Valkey 8.1.
    Valkey8,
    /// Valkey 9.1.
    Valkey9,
}

impl Release {
    pub(crate) fn server(self) -> PathBuf {
        match self {
            Release::Machine => on_path(&["redis-server", "valkey-server"]),
            Release::Redis62 => cached("bin/redis-server-6.2"),
            Release::Redis74 => cached("bin/redis-server-7.4"),
            Release::Redis8 => cached("bin/redis-server-8.0"),
            Release::Valkey8 => cached("bin/valkey-server-8.1"),
            Release::Valkey9 => cached("bin/valkey-server-9.1"),
        }
    }

    pub(crate) fn sentinel(self) -> PathBuf {
        match self {
            Release::Machine => on_path(&["redis-sentinel", "valkey-sentinel"]),
            Release::Redis62 => cached("bin/redis-sentinel-6.2"),
            Release::Redis74 => cached("bin/redis-sentinel-7.4"),
            Release::Redis8 => cached("bin/redis-sentinel-8.0"),
            Release::Valkey8 => cached("bin/valkey-sentinel-8.1"),
            Release::Valkey9 => cached("bin/valkey-sentinel-9.1"),
        }
    }
}

/// What `just deps` has put into its own folder.
pub fn cached(name: &str) -> PathBuf {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.cache")).join(name);
    assert!(path.is_file(), "there is no {name}: run `just deps`");
    path
}
