//! `consentinel consul deregister`

use super::{Desk, Failure, line};
use crate::cli::confirm::confirmed;
use crate::registrar::{Names, Sight};
use std::process::ExitCode;

/// Says what is there, asks, and takes it away.
pub(super) async fn run(desk: &Desk, master: &str, yes: bool) -> Result<ExitCode, Failure> {
    let names = desk.names(master).await?;
    let sight = desk.errand.look(&names).await.map_err(line)?;
    if is_empty(&sight) {
        println!("Nothing of {master} is in Consul at {}.", desk.errand.address());
        return Ok(ExitCode::SUCCESS);
    }
    tell(desk, &names, &sight);
    if !yes && !confirmed()? {
        println!("Nothing was done.");
        return Ok(ExitCode::FAILURE);
    }
    match desk.errand.deregister(&names, sight.published.fence).await.map_err(line)? {
        true => {
            println!("{master} is out of Consul.");
            Ok(ExitCode::SUCCESS)
        }
        false => Err("the record has changed meanwhile, and nothing was done: look again\n".into()),
    }
}

/// Says what others have registered under a master's names, asks, and takes it away.
pub(super) async fn run_foreign(desk: &Desk, master: &str, yes: bool) -> Result<ExitCode, Failure> {
    let names = desk.names(master).await?;
    let strangers = desk.errand.strangers(&names).await.map_err(line)?;
    let address = desk.errand.address();
    if strangers.is_empty() {
        println!("Nothing of others stands under the names of {master} in Consul at {address}.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("From Consul at {address} this is taken away:");
    for stranger in &strangers {
        println!("  {stranger}");
    }
    println!(
        "Whoever has registered it may do so again: an agent that has it in its configuration, or another fleet of \
         sentinels. Take it away there first."
    );
    if !yes && !confirmed()? {
        println!("Nothing was done.");
        return Ok(ExitCode::FAILURE);
    }
    for stranger in &strangers {
        desk.errand.remove(stranger).await.map_err(|error| format!("{stranger}: {error}\n"))?;
        println!("Taken away: {stranger}.");
    }
    Ok(ExitCode::SUCCESS)
}

fn is_empty(sight: &Sight) -> bool {
    let published = &sight.published;
    let nothing_in_kv = published.fence.0 == 0 && sight.folder == Default::default();
    nothing_in_kv && !sight.has_node
}

fn tell(desk: &Desk, names: &Names, sight: &Sight) {
    println!("From Consul at {} this is taken away:", desk.errand.address());
    println!("  node {}", names.node);
    for entry in &sight.published.entries {
        println!("  {} {}", names.service_of(entry.role), entry.addr.joined());
    }
    for name in &sight.published.damaged {
        println!("  {name} (not ours, or altered)");
    }
    println!("  keys {}*", names.folder);
    if sight.folder.locked_by.is_some() {
        println!(
            "Beware: {} still publishes it and will put it back. Say SENTINEL REMOVE {} to all sentinels first.",
            sight.folder.holder, names.group
        );
    }
}
