//! Scripts of the operator: started, awaited, killed.

use consentinel_core::{Input, JobId, ScriptEnd};
use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

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
        let child = Command::new(path).args(args).stdin(Stdio::null()).spawn();
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
            let _ = child.start_kill();
        },
    }
    how(child.wait().await)
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
