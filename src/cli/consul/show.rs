//! `consentinel consul show`: what is in Consul, beside what should be there.

use super::daemon::{self, Told};
use super::{Failure, Tool, line};
use crate::cli::ask::Reach;
use crate::registrar::{CatalogView, Names};
use consentinel_core::Entry;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// One master, as Consul holds it and as a daemon wants it.
struct Shown {
    names: Names,
    view: CatalogView,
    /// What a daemon says, or why it says nothing.
    told: Option<Result<Told, String>>,
}

/// An entry in words, from either side.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    role: String,
    address: String,
    health: String,
    epoch: String,
    sentence: String,
}

/// How an entry stands between what is and what should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// Nobody knows what should be, or it is so.
    Same,
    /// It should be there, and is not.
    Missing,
    /// It is there, and should not be.
    Surplus,
    /// It is there, and should be another.
    Different,
}

/// Shows masters.
pub(super) async fn run(
    tool: &Tool,
    masters: &[String],
    as_json: bool,
    sentinel: Option<&str>,
) -> Result<ExitCode, Failure> {
    let mut all = Vec::new();
    for master in tool.masters(masters).await? {
        let names = tool.names(&master).await?;
        let view = tool.client.look(&names).await.map_err(line)?;
        let told = ask_daemon(tool, sentinel, &master).await;
        all.push(Shown { names, view, told });
    }
    if as_json {
        println!("{:#}", Value::Array(all.iter().map(Shown::as_json).collect()));
    } else if all.is_empty() {
        println!("Nothing is published in Consul at {}.", tool.client.address());
    }
    if !as_json {
        all.iter().for_each(Shown::print);
    }
    Ok(if all.iter().all(Shown::is_good) { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// Nothing where no daemon is known.
async fn ask_daemon(tool: &Tool, sentinel: Option<&str>, master: &str) -> Option<Result<Told, String>> {
    let configured = Reach::configured(&tool.survey.settings);
    let reach = match sentinel {
        Some(at) => configured.to(at),
        None if tool.survey.masters.is_empty() => return None,
        None => configured,
    };
    Some(daemon::ask(&reach, master).await)
}

impl From<&Entry> for Row {
    fn from(entry: &Entry) -> Row {
        Row {
            role: entry.role.name().into(),
            address: entry.addr.joined(),
            health: entry.health.as_str().into(),
            epoch: entry.epoch.to_string(),
            sentence: entry.sentence.clone(),
        }
    }
}

impl From<&BTreeMap<String, String>> for Row {
    fn from(fields: &BTreeMap<String, String>) -> Row {
        let text = |field: &str| fields.get(field).cloned().unwrap_or_default();
        Row {
            role: text("role"),
            address: text("address"),
            health: text("health"),
            epoch: text("epoch"),
            sentence: text("sentence"),
        }
    }
}

/// What is beside what should be.
fn compare(is: Vec<Row>, should: Option<Vec<Row>>) -> Vec<(Mark, Row)> {
    let Some(mut should) = should else { return is.into_iter().map(|row| (Mark::Same, row)).collect() };
    let mut rows = Vec::new();
    for row in is {
        let same_place = |other: &Row| (&other.role, &other.address) == (&row.role, &row.address);
        match should.iter().position(same_place).map(|at| should.remove(at)) {
            Some(other) if other == row => rows.push((Mark::Same, row)),
            Some(_) => rows.push((Mark::Different, row)),
            None => rows.push((Mark::Surplus, row)),
        }
    }
    rows.extend(should.into_iter().map(|row| (Mark::Missing, row)));
    rows
}

impl Mark {
    fn as_str(self) -> &'static str {
        match self {
            Mark::Same => "",
            Mark::Missing => "missing",
            Mark::Surplus => "surplus",
            Mark::Different => "different",
        }
    }
}

impl Shown {
    fn told(&self) -> Option<&Told> {
        self.told.as_ref()?.as_ref().ok()
    }

    fn rows(&self) -> Vec<(Mark, Row)> {
        let is = self.view.published.entries.iter().map(Row::from).collect();
        // A daemon that does not know enough yet wants nothing.
        let should = self.told().filter(|told| !told.desired.is_empty());
        compare(is, should.map(|told| told.desired.iter().map(Row::from).collect()))
    }

    fn is_good(&self) -> bool {
        self.view.published.damaged.is_empty() && self.rows().iter().all(|(mark, _)| *mark == Mark::Same)
    }

    fn lock(&self) -> String {
        match &self.view.folder.locked_by {
            Some(_) => self.view.folder.holder.clone(),
            None => "nobody".into(),
        }
    }

    fn print(&self) {
        let Shown { names, view, .. } = self;
        println!("{}: service {}, node {}", names.group, names.service, names.node);
        match &view.published.record {
            Some(record) => println!(
                "  epoch {}: {} by {} at {}; health is written by {}",
                record.epoch,
                record.master.joined(),
                record.publisher,
                view.folder.published_at,
                self.lock(),
            ),
            None => println!("  not published"),
        }
        match &self.told {
            Some(Ok(told)) => {
                let text = |field: &str| told.fields.get(field).map_or("", String::as_str);
                println!("  the daemon says: {} {}", text("state"), text("error"));
            }
            Some(Err(why)) => println!("  what should be there is not known: {why}"),
            None => {}
        }
        let rows = self.rows();
        let widest = |of: fn(&Row) -> &str| rows.iter().map(|(_, row)| of(row).len()).max().unwrap_or(0);
        let (address, epoch) = (widest(|row| &row.address).max(7), widest(|row| &row.epoch).max(5));
        if !rows.is_empty() {
            println!("  {:9} {:7} {:address$} {:8} {:epoch$} WHY", "", "ROLE", "ADDRESS", "HEALTH", "EPOCH");
        }
        for (mark, row) in &rows {
            let mark = mark.as_str();
            println!(
                "  {mark:9} {:7} {:address$} {:8} {:epoch$} {}",
                row.role, row.address, row.health, row.epoch, row.sentence
            );
        }
        for name in &view.published.damaged {
            println!("  not as it was written, or somebody else's: {name}");
        }
        println!();
    }

    fn as_json(&self) -> Value {
        let Shown { names, view, .. } = self;
        let record = view.published.record.as_ref();
        let rows = self.rows().into_iter().map(|(mark, row)| {
            json!({ "difference": mark.as_str(), "role": row.role, "address": row.address,
                "health": row.health, "epoch": row.epoch, "sentence": row.sentence })
        });
        json!({
            "master": names.group.as_str(),
            "service": names.service,
            "replica_service": names.replica_service,
            "node": names.node,
            "fence": view.published.fence.0,
            "record": record.map(|record| json!({
                "epoch": record.epoch.0,
                "master": record.master.joined(),
                "run_id": record.run_id.as_str(),
                "publisher": record.publisher.as_str(),
                "published_at": view.folder.published_at,
            })),
            "lock": view.folder.locked_by.as_ref().map(|_| view.folder.holder.clone()),
            "entries": rows.collect::<Vec<_>>(),
            "damaged": view.published.damaged,
            "history": view.folder.history,
            "daemon": match &self.told {
                Some(Ok(told)) => json!(told.fields),
                Some(Err(why)) => json!({ "error": why }),
                None => Value::Null,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(address: &str, health: &str) -> Row {
        let text = |text: &str| text.to_owned();
        Row {
            role: text("replica"),
            address: text(address),
            health: text(health),
            epoch: text("1"),
            sentence: text("why"),
        }
    }

    #[test]
    fn differences_are_marked() {
        let is = vec![row("a:1", "passing"), row("b:1", "passing"), row("c:1", "passing")];
        let should = vec![row("b:1", "critical"), row("d:1", "passing"), row("a:1", "passing")];
        let marks: Vec<_> =
            compare(is.clone(), Some(should)).into_iter().map(|(mark, row)| (mark, row.address)).collect();
        let expected =
            [(Mark::Same, "a:1"), (Mark::Different, "b:1"), (Mark::Surplus, "c:1"), (Mark::Missing, "d:1")];
        assert_eq!(marks, expected.map(|(mark, address)| (mark, address.to_owned())));
        assert!(compare(is, None).iter().all(|(mark, _)| *mark == Mark::Same));
    }
}
