//! `consentinel consul check`: whether Consul is reached, and all that is needed may be done.

use super::{Failure, Tool};
use crate::registrar::{Finding, Names, rules_as_policy, sentence};
use consentinel_core::{RegistryError, RegistryFault};
use std::process::ExitCode;

/// A name for a master that nobody has named yet: rights are much the same for all.
const SOME_MASTER: &str = "mymaster";

/// What was found, line by line.
#[derive(Default)]
struct Report {
    /// Whether the datacenter that is meant is not the agent's.
    abroad: bool,
    failures: usize,
    warnings: usize,
    missing: Vec<crate::registrar::Rule>,
}

impl Report {
    fn good(&self, text: &str) {
        println!("ok    {text}");
    }

    fn warn(&mut self, text: &str) {
        self.warnings += 1;
        println!("warn  {text}");
    }

    fn fail(&mut self, text: &str) {
        self.failures += 1;
        println!("FAIL  {text}");
    }

    fn finding(&mut self, what: &str, finding: Finding) {
        match finding {
            Finding::Allowed => self.good(what),
            Finding::Missing(rules) => {
                self.fail(&format!("{what}: not allowed"));
                self.missing.extend(rules);
            }
            Finding::Untried(error) => self.fail(&format!("{what}: {error}")),
        }
    }
}

/// Looks at everything that a daemon needs.
pub(super) async fn run(tool: &Tool, masters: &[String]) -> Result<ExitCode, Failure> {
    let mut report = Report::default();
    if look_at_consul(tool, &mut report).await {
        let mut names = Vec::new();
        for master in masters_to_check(tool, masters, &mut report).await? {
            names.push(tool.names(&master).await?);
        }
        let seeing = "seeing what else stands under our names, as DNS shows it";
        report.finding(seeing, tool.client.try_seeing().await);
        for names in &names {
            look_at_master(tool, names, &mut report).await;
        }
        match report.abroad {
            true => report.warn(
                "the datacenter in the settings is not the agent's: a session for the lock can be had only once \
                 something is published there, and was not tried; redis-sentinel stands in the agent's own",
            ),
            false => report.finding("a session for the lock", tool.client.try_session().await),
        }
    }
    if !report.missing.is_empty() {
        println!(
            "\nThe token needs, besides what it may already do:\n\n{}",
            rules_as_policy(&report.missing)
        );
    }
    println!("\n{}, {}", counted(report.failures, "failure"), counted(report.warnings, "warning"));
    Ok(if report.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn counted(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// Whether there is any use in going on.
async fn look_at_consul(tool: &Tool, report: &mut Report) -> bool {
    let client = &tool.client;
    match client.leader().await {
        Ok(leader) => report.good(&format!("Consul at {}, led by {leader}", client.address())),
        Err(error) => {
            report.fail(&error.text);
            return error.kind == RegistryFault::Denied;
        }
    }
    match client.agent().await {
        Ok(agent) => {
            report.good(&format!(
                "agent {} of datacenter {}, Consul {}",
                agent.node, agent.datacenter, agent.version
            ));
            report.abroad =
                tool.survey.consul.datacenter.as_ref().is_some_and(|wanted| *wanted != agent.datacenter);
            for (what, ttl) in &agent.dns_ttls {
                report.warn(&format!(
                    "DNS answers for {what} may be kept for {ttl}: clients learn of a failover so much later \
                     (dns_config in the agent's configuration)"
                ));
            }
            for (limit, span) in &agent.short_timeouts {
                report.warn(&format!(
                    "the agent ends requests after {span} ({limit}): one that waits for changes takes up to 64 s, and is cut \
                     each time; raise it in http_config"
                ));
            }
            if agent.dns_cache {
                report.warn("the agent answers DNS out of its cache (dns_config.use_cache)");
            }
        }
        Err(error) if error.kind == RegistryFault::Denied => {
            report.warn("what the agent says about itself may not be read: DNS TTLs were not looked at");
        }
        Err(error) => report.fail(&error.text),
    }
    true
}

async fn masters_to_check(
    tool: &Tool,
    named: &[String],
    report: &mut Report,
) -> Result<Vec<String>, Failure> {
    let mut masters = match tool.masters(named).await {
        Ok(masters) => masters,
        Err(error) => {
            report.warn(error.trim_end());
            Vec::new()
        }
    };
    if masters.is_empty() {
        report.warn(&format!(
            "no master is named: rights are tried for one called {SOME_MASTER}; name one, or a configuration with -c"
        ));
        masters.push(SOME_MASTER.into());
    }
    Ok(masters)
}

async fn look_at_master(tool: &Tool, names: &Names, report: &mut Report) {
    let client = &tool.client;
    let group = &names.group;
    let what = format!("{group}: writing service {} on node {}", names.service, names.node);
    report.finding(&what, client.try_writing(names).await);
    match client.look(names).await {
        Ok(view) => {
            if view.is_agent {
                report.fail(&format!(
                    "{group}: an agent of Consul runs under the node name {}: it takes away whatever we write \
                     there; rename the agent or the master",
                    names.node
                ));
            }
            for name in &view.published.damaged {
                report.warn(&format!(
                    "{group}: '{name}' on node {} is not as it was written, or somebody else's: a daemon will \
                     repair it",
                    names.node
                ));
            }
            let published = |record: &consentinel_core::Record| {
                format!("{group}: {} is published by epoch {}", record.master.joined(), record.epoch)
            };
            report.good(
                &view
                    .published
                    .record
                    .as_ref()
                    .map_or_else(|| format!("{group}: not published yet"), published),
            );
        }
        Err(error) => tell(report, &error),
    }
    match client.strangers(names).await {
        Ok(strangers) => {
            for stranger in strangers {
                match stranger.is_answered {
                    true => report.fail(&sentence(group, &stranger)),
                    false => report.warn(&format!(
                        "{group}: {stranger} is critical: once it is not, DNS answers it beside ours"
                    )),
                }
            }
        }
        Err(error) => tell(report, &error),
    }
}

fn tell(report: &mut Report, error: &RegistryError) {
    report.fail(&error.text);
}
