//! `consentinel consul deregister`: takes entries out of Consul.

use super::{Failure, Tool, line};
use crate::cli::confirm::confirmed;
use crate::registrar::{CatalogView, Names};
use std::process::ExitCode;

/// Says what is there, asks, and takes it away.
pub(super) async fn run(tool: &Tool, master: &str, yes: bool) -> Result<ExitCode, Failure> {
    let names = tool.names(master).await?;
    let view = tool.client.look(&names).await.map_err(line)?;
    if is_empty(&view) {
        println!("Nothing of {master} is in Consul at {}.", tool.client.address());
        return Ok(ExitCode::SUCCESS);
    }
    tell(tool, &names, &view);
    if !yes && !confirmed()? {
        println!("Nothing was done.");
        return Ok(ExitCode::FAILURE);
    }
    match tool.client.deregister(&names, view.published.fence).await.map_err(line)? {
        true => {
            println!("{master} is out of Consul.");
            Ok(ExitCode::SUCCESS)
        }
        false => Err("the record has changed meanwhile, and nothing was done: look again\n".into()),
    }
}

/// Says what others have registered under a master's names, asks, and takes it away.
pub(super) async fn run_foreign(tool: &Tool, master: &str, yes: bool) -> Result<ExitCode, Failure> {
    let names = tool.names(master).await?;
    let strangers = tool.client.strangers(&names).await.map_err(line)?;
    let address = tool.client.address();
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
        tool.client.remove(stranger).await.map_err(|error| format!("{stranger}: {error}\n"))?;
        println!("Taken away: {stranger}.");
    }
    Ok(ExitCode::SUCCESS)
}

fn is_empty(view: &CatalogView) -> bool {
    let published = &view.published;
    let nothing_in_kv = published.fence.0 == 0 && view.folder == Default::default();
    nothing_in_kv && !view.has_node
}

fn tell(tool: &Tool, names: &Names, view: &CatalogView) {
    println!("From Consul at {} this is taken away:", tool.client.address());
    println!("  node {}", names.node);
    for entry in &view.published.entries {
        println!("  {} {}", names.service_of(entry.role), entry.addr.joined());
    }
    for name in &view.published.damaged {
        println!("  {name} (not ours, or altered)");
    }
    println!("  keys {}*", names.folder);
    if view.folder.locked_by.is_some() {
        println!(
            "Beware: {} still publishes it and will put it back. Say SENTINEL REMOVE {} to all sentinels first.",
            view.folder.holder, names.group
        );
    }
}
