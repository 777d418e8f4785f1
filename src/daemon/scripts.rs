//! Scripts of the operator: started, awaited, killed.

use consentinel_core::{Input, JobId, ScriptEnd};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// What the environment may hold for us and no script is to know.
const SECRETS: [&str; 2] = ["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH"];

/// The scripts that are running.
pub(super) struct Scripts {
    inputs: mpsc::Sender<Input>,
    running: HashMap<JobId, oneshot::Sender<()>>,
}

impl Scripts {
    /// None yet; how they end is told to `inputs`.
    pub(super) fn new(inputs: mpsc::Sender<Input>) -> Self {
        Scripts { inputs, running: HashMap::new() }
    }

    /// Starts a script in the working directory, and says as which process; `Input::ScriptEnded` follows.
    pub(super) fn run(&mut self, job: JobId, path: &str, args: &[String]) -> Option<u32> {
        let inputs = self.inputs.clone();
        let mut command = Command::new(path);
        for name in SECRETS {
            command.env_remove(name);
        }
        // A group of its own: what it has started ends with it.
        let child = command.args(args).stdin(Stdio::null()).process_group(0).spawn();
        let (kill, killed) = oneshot::channel();
        if let Err(error) = &child {
            warn!("the script {path} cannot be started: {error}");
        }
        let pid = child.as_ref().ok().and_then(Child::id);
        self.running.insert(job, kill);
        tokio::spawn(async move {
            let end = match child {
                Ok(child) => end_of(child, killed).await,
                Err(_) => ScriptEnd::NotStarted,
            };
            let _ = inputs.send(Input::ScriptEnded { job, end }).await;
        });
        pid
    }

    /// Kills a script.
    pub(super) fn kill(&mut self, job: JobId) {
        if let Some(kill) = self.running.remove(&job) {
            let _ = kill.send(());
        }
    }

    /// A script has ended.
    pub(super) fn forget(&mut self, job: JobId) {
        self.running.remove(&job);
    }
}

async fn end_of(mut child: Child, killed: oneshot::Receiver<()>) -> ScriptEnd {
    tokio::select! {
        status = child.wait() => return how(status),
        request = killed => if request.is_ok() {
            kill_group(&mut child);
        },
    }
    how(child.wait().await)
}

/// Kills a script that has not been awaited yet, so that its number is still its own, with all that it has started.
fn kill_group(child: &mut Child) {
    let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(Err(error)) = group.map(|group| kill_process_group(group, Signal::KILL)) {
        warn!("the processes of a script cannot be killed: {error}");
    }
    let _ = child.start_kill();
}

fn how(status: std::io::Result<ExitStatus>) -> ScriptEnd {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => ScriptEnd::Exit(code),
            (None, Some(signal)) => ScriptEnd::Signal(signal),
            (None, None) => ScriptEnd::NotStarted,
        },
        Err(_) => ScriptEnd::NotStarted,
    }
}
