//! The programs that the demo needs.

use std::path::{Path, PathBuf};

/// The Redis server: the one that is named, or the first on PATH.
pub(super) fn redis_server(named: Option<&Path>) -> Result<PathBuf, String> {
    let names = ["redis-server", "valkey-server"];
    find(named, &names).map_err(|problem| {
        format!(
            "{problem}. The demo needs a Redis server: `just demo` fetches one on Debian and Ubuntu without installing \
             it; else install one (apt-get install redis-server, dnf install valkey), or name it: --redis-server PROGRAM"
        )
    })
}

/// Consul: the one that is named, or the one on PATH, or none.
pub(super) fn consul(named: Option<&Path>, none: bool) -> Result<Option<PathBuf>, String> {
    match named {
        _ if none => Ok(None),
        Some(_) => find(named, &[]).map(Some),
        None => Ok(find(None, &["consul"]).ok()),
    }
}

fn find(named: Option<&Path>, names: &[&str]) -> Result<PathBuf, String> {
    if let Some(program) = named.filter(|program| program.components().count() > 1) {
        // The processes have other folders of their own.
        let program = std::path::absolute(program).unwrap_or_else(|_| program.into());
        return if program.is_file() {
            Ok(program)
        } else {
            Err(format!("there is no {}", program.display()))
        };
    }
    let names: Vec<_> =
        named.into_iter().chain(names.iter().filter(|_| named.is_none()).map(Path::new)).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found =
        names.iter().find_map(|name| folders.iter().map(|dir| dir.join(name)).find(|path| path.is_file()));
    found.ok_or_else(|| {
        let names: Vec<_> = names.iter().map(|name| name.display().to_string()).collect();
        format!("no {} on PATH", names.join(" and no "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = redis_server(Some(Path::new("/nowhere/redis"))).expect_err("there is none");
        assert!(error.starts_with("there is no /nowhere/redis. The demo needs a Redis server"), "{error}");
        let error = redis_server(Some(Path::new("no-such-redis"))).expect_err("there is none");
        assert!(error.starts_with("no no-such-redis on PATH"), "{error}");
        assert_eq!(consul(Some(Path::new("/bin/sh")), true), Ok(None));
    }
}
