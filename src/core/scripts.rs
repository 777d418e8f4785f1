//! When scripts are due: one queue for all groups, a few at a time, failures repeated.

use crate::timers::Key;
use crate::{Action, Detail, Event, JobId, ScriptEnd, ScriptView, Time, context::Context};
use std::collections::VecDeque;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Scripts {
    queue: VecDeque<Job>,
    last: u64,
}

struct Job {
    id: JobId,
    path: String,
    args: Vec<String>,
    retries: u32,
    state: JobState,
}

enum JobState {
    Waiting { until: Time },
    Running { since: Time, killed: bool, pid: Option<u32> },
}

impl Job {
    fn is_running(&self) -> bool {
        matches!(self.state, JobState::Running { .. })
    }
}

impl Scripts {
    /// Queues a run. When the queue is full, the oldest that has not begun gives way.
    pub(crate) fn queue(&mut self, path: &str, args: Vec<String>, now: Time) {
        self.last += 1;
        let (id, path) = (JobId(self.last), path.to_owned());
        self.queue.push_back(Job { id, path, args, retries: 0, state: JobState::Waiting { until: now } });
        if self.queue.len() > MAX_QUEUE
            && let Some(oldest) = self.queue.iter().position(|job| !job.is_running())
        {
            self.queue.remove(oldest);
        }
    }

    /// A run has begun as that process.
    pub(crate) fn note_pid(&mut self, id: JobId, of: u32) {
        if let Some(JobState::Running { pid, .. }) =
            self.queue.iter_mut().find(|job| job.id == id).map(|job| &mut job.state)
        {
            *pid = Some(of);
        }
    }

    pub(crate) fn view(&self) -> Vec<ScriptView> {
        let view = |job: &Job| ScriptView {
            argv: std::iter::once(&job.path).chain(&job.args).cloned().collect(),
            running_since: match job.state {
                JobState::Running { since, .. } => Some(since),
                JobState::Waiting { .. } => None,
            },
            due: match job.state {
                JobState::Running { since, .. } => since,
                JobState::Waiting { until } => until,
            },
            retries: job.retries,
            pid: match job.state {
                JobState::Running { pid, .. } => pid,
                JobState::Waiting { .. } => None,
            },
        };
        self.queue.iter().map(view).collect()
    }
}

impl Context {
    /// Starts what is due, kills what has been running for too long, and says when to look again.
    pub(crate) fn advance_scripts(&mut self) {
        let (now, limit) = (self.now, self.config.timing.script_max_runtime);
        let mut running = self.scripts.queue.iter().filter(|job| job.is_running()).count();
        let mut next = Time::NEVER;
        let mut overdue = Vec::new();
        for job in &mut self.scripts.queue {
            match &mut job.state {
                JobState::Waiting { until } if now < *until => next = next.min(*until),
                JobState::Waiting { .. } if running < MAX_RUNNING => {
                    let (path, args) = (job.path.clone(), job.args.clone());
                    self.out.push_back(Action::RunScript { job: job.id, path, args });
                    job.state = JobState::Running { since: now, killed: false, pid: None };
                    running += 1;
                    next = next.min(now + limit);
                }
                JobState::Running { since, killed, .. } if !*killed && now >= *since + limit => {
                    *killed = true;
                    self.out.push_back(Action::KillScript(job.id));
                    overdue.push(format!("{} {}", job.path, job.id));
                }
                JobState::Running { since, killed: false, .. } => next = next.min(*since + limit),
                // A place that becomes free is noticed when a script ends.
                JobState::Waiting { .. } | JobState::Running { .. } => {}
            }
        }
        for script in overdue {
            self.event(Event::ScriptTimeout, Detail::Text(script), None);
        }
        self.timers.set(Key::Scripts, Some(next));
    }

    /// A script has ended: done, to be repeated, or given up.
    pub(crate) fn on_script_ended(&mut self, id: JobId, end: ScriptEnd) {
        let Some(at) = self.scripts.queue.iter().position(|job| job.id == id) else { return };
        let job = &mut self.scripts.queue[at];
        let again = matches!(end, ScriptEnd::Signal(_) | ScriptEnd::Exit(1)) && job.retries + 1 < MAX_TRIES;
        if again {
            let delay = self.config.timing.script_retry_delay * 2_u32.pow(job.retries);
            job.retries += 1;
            job.state = JobState::Waiting { until: self.now + delay };
        } else {
            let job = self.scripts.queue.remove(at).expect("its place was found above");
            let (signal, status) = match end {
                ScriptEnd::Exit(status) => (0, status),
                ScriptEnd::Signal(signal) => (signal, 0),
                ScriptEnd::NotStarted => (0, 2),
            };
            if (signal, status) != (0, 0) {
                let text = format!("{} {signal} {status}", job.path);
                self.event(Event::ScriptError, Detail::Text(text), None);
            }
        }
        self.advance_scripts();
    }
}

const MAX_QUEUE: usize = 256;
const MAX_RUNNING: usize = 16;
const MAX_TRIES: u32 = 10;

/// The longest wait before a repetition is some hours: long, but it ends.
const _: () = assert!(MAX_TRIES < 32 && Duration::from_secs(30).as_secs() << MAX_TRIES < u32::MAX as u64);
